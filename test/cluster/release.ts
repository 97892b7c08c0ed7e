/** finwait in the test cluster, by the commands that docs/install.md gives. */

import { join } from 'node:path';
import { kubectl } from './control-plane.ts';
import { importImage } from './images.ts';
import { kubeconfigOf, NODES, RUN } from './layout.ts';
import { PRODUCT_IMAGE, productArchive } from './product-image.ts';
import { programPath } from './programs.ts';
import { attempt, inNetns, run } from './run.ts';

const CHART = join(import.meta.dirname, '../../charts/finwait');
export const NAMESPACE = 'finwait';

/** Puts the product's image into both nodes. */
export async function loadProductImage(): Promise<void> {
  const archive = await productArchive((line) => console.log(line));
  for (const node of NODES) await importImage(node, archive);
}

function helm(...args: readonly string[]): Promise<string> {
  const env = {
    KUBECONFIG: kubeconfigOf('admin'),
    HELM_CACHE_HOME: join(RUN, 'helm'),
    HELM_CONFIG_HOME: join(RUN, 'helm'),
    HELM_DATA_HOME: join(RUN, 'helm'),
  };
  return run([programPath('helm'), ...args, '--namespace', NAMESPACE], { env, timeoutMs: 360_000 });
}

const WAIT = ['--wait', '--timeout', '300s'];

/** The namespace, as a cluster that enforces Pod Security wants it. */
export async function makeNamespace(): Promise<void> {
  await kubectl('create', 'namespace', NAMESPACE);
  await kubectl('label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=privileged');
}

/** Installs the release; answers what Helm tells the user. */
export function install(values: Readonly<Record<string, string | number>>): Promise<string> {
  const [repository = '', tag = ''] = PRODUCT_IMAGE.split(/:(?=[^/:]+$)/);
  const all = { 'image.repository': repository, 'image.tag': tag, ...values };
  return helm('install', 'finwait', CHART, ...WAIT, ...setting(all));
}

export function upgrade(values: Readonly<Record<string, string | number>>): Promise<string> {
  return helm('upgrade', 'finwait', CHART, '--reset-then-reuse-values', ...WAIT, ...setting(values));
}

export function uninstall(): Promise<string> {
  return helm('uninstall', 'finwait', ...WAIT);
}

export function helmTest(): Promise<string> {
  return helm('test', 'finwait', '--logs', '--timeout', '300s');
}

function setting(values: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
}

/** Objects of a kind, in a namespace or in all. */
// biome-ignore lint/suspicious/noExplicitAny: objects of every kind
export async function objectsOf(kind: string, namespace?: string): Promise<any[]> {
  const scope = namespace === undefined ? ['--all-namespaces'] : ['--namespace', namespace];
  return JSON.parse(await kubectl('get', kind, ...scope, '-o', 'json')).items;
}

/** The pod that holds the Lease, and how it sees the fleet. */
export async function leaderName(): Promise<string> {
  const path = ['get', 'lease', 'finwait-operator', '--namespace', NAMESPACE];
  return kubectl(...path, '-o', 'jsonpath={.spec.holderIdentity}');
}

interface Overview {
  readonly nodes: readonly { readonly name: string; readonly lastReportMs: number }[];
}

/** What a replica shows on its web port, fetched through the API server. */
export async function overviewOf(pod: string): Promise<Overview> {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${pod}:7460/proxy/api/v1/overview`;
  return JSON.parse(await kubectl('get', '--raw', path));
}

/** The agent's pod on a node, for `inPod`. */
export async function agentOn(node: string): Promise<string> {
  const which = [
    '--selector',
    'app.kubernetes.io/component=agent',
    '--field-selector',
    `spec.nodeName=${node}`,
  ];
  return (await kubectl('get', 'pods', ...which, '--namespace', NAMESPACE, '-o', 'name')).trim();
}

/** Runs a command in a pod, or in one of a DaemonSet or Deployment; answers its output. */
export function inPod(workload: string, ...command: readonly string[]): Promise<string> {
  return kubectl('exec', workload, '--namespace', NAMESPACE, '--', ...command);
}

/** What finwait made on the nodes: TUN devices and nftables tables. */
export function onNodes(): string[] {
  return NODES.flatMap(({ name, netns }) => {
    const links = attempt(...inNetns(netns, ['ip', '-brief', 'link'])).split('\n');
    const tables = attempt(...inNetns(netns, ['nft', 'list', 'tables'])).split('\n');
    return [...links, ...tables].filter((line) => /finwait/.test(line)).map((line) => `${name}: ${line}`);
  });
}

/** What the release made in the cluster, but for what is kept on purpose. */
export async function inCluster(): Promise<string[]> {
  const kinds = [
    'daemonsets,deployments,replicasets,pods,services,endpointslices,serviceaccounts,secrets,configmaps',
    'roles,rolebindings,leases,poddisruptionbudgets,networkpolicies,clusterroles,clusterrolebindings,crds',
  ];
  const names = await Promise.all(
    kinds.map((list) => kubectl('get', list, '--all-namespaces', '-o', 'name', '--ignore-not-found')),
  );
  return names
    .join('\n')
    .split('\n')
    .filter((name) => /finwait/.test(name));
}
