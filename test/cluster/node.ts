/** One node: containerd, kubelet and kube-proxy in the node's network namespace and cgroup. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { kubectl } from './control-plane.ts';
import { PAUSE_IMAGE } from './images.ts';
import type { NodeLayout } from './layout.ts';
import {
  CLUSTER_CIDR,
  CLUSTER_DOMAIN,
  CNI_NETWORK,
  containerdSocket,
  DNS_SERVICE_ADDRESS,
  kubeconfigOf,
  PKI,
} from './layout.ts';
import { start } from './processes.ts';
import { programPath } from './programs.ts';
import { attempt, inNetns } from './run.ts';

const CGROUP_ROOT = '/sys/fs/cgroup';
const READY_TIMEOUT_MS = 180_000;

/** Starts containerd; images can be imported from then on. */
export async function startContainerd(node: NodeLayout): Promise<void> {
  const cni = join(node.dir, 'cni');
  mkdirSync(cni, { recursive: true });
  writeFileSync(join(cni, '10-bridge.conflist'), JSON.stringify(cniConfig(node)));
  const config = join(node.dir, 'containerd.toml');
  writeFileSync(config, containerdConfig(node, cni));
  start(`containerd-${node.name}`, inNetns(node.netns, ['containerd', '--config', config]));
  for (
    const deadline = Date.now() + 90_000;
    attempt('ctr', '-a', containerdSocket(node), 'version') === '';
  ) {
    if (Date.now() > deadline) throw new Error(`containerd of ${node.name} does not answer`);
    await delay(50);
  }
}

/** Starts kubelet and kube-proxy. */
export function startKubelet(node: NodeLayout): void {
  makeCgroups(node);
  const config = join(node.dir, 'kubelet.json');
  writeFileSync(config, JSON.stringify(kubeletConfig(node)));
  start(
    `kubelet-${node.name}`,
    inNetns(node.netns, [
      programPath('kubelet'),
      `--config=${config}`,
      `--kubeconfig=${kubeconfigOf(node.name)}`,
      `--hostname-override=${node.name}`,
      `--node-ip=${node.address}`,
      `--root-dir=${join(node.dir, 'kubelet')}`,
    ]),
  );
  start(
    `kube-proxy-${node.name}`,
    inNetns(node.netns, [
      programPath('kube-proxy'),
      `--kubeconfig=${kubeconfigOf('proxy')}`,
      `--hostname-override=${node.name}`,
      '--proxy-mode=nftables',
      `--cluster-cidr=${CLUSTER_CIDR}`,
      '--conntrack-max-per-core=0',
      '--healthz-bind-address=',
      `--metrics-bind-address=${node.address}:10249`,
    ]),
  );
}

/** Resolves when every node is Ready. */
export async function nodesReady(count: number): Promise<void> {
  const jsonpath = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}';
  for (const deadline = Date.now() + READY_TIMEOUT_MS; ; await delay(200)) {
    const states = (await kubectl('get', 'nodes', '-o', `jsonpath=${jsonpath}`)).trim().split('\n');
    if (states.filter((state) => state === 'True').length === count) return;
    if (Date.now() > deadline) throw new Error(`nodes do not get ready: ${states.join(' ')}`);
  }
}

/** Every cgroup v1 controller needs the node's folder; cpuset's is unusable until its files are copied. */
function makeCgroups(node: NodeLayout): void {
  for (const controller of readdirSync(CGROUP_ROOT)) {
    if (controller === 'unified') continue;
    const dir = join(CGROUP_ROOT, controller, node.cgroup);
    mkdirSync(dir, { recursive: true });
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      const above = join(CGROUP_ROOT, controller, file);
      if (existsSync(above)) writeFileSync(join(dir, file), readFileSync(above));
    }
  }
}

function cniConfig(node: NodeLayout): object {
  return {
    cniVersion: '1.0.0',
    name: CNI_NETWORK,
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(node.dir, 'ipam'),
          ranges: [[{ subnet: node.podCidr }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true }, backend: 'nftables' },
    ],
  };
}

function containerdConfig(node: NodeLayout, cni: string): string {
  return [
    'version = 2',
    `root = "${join(node.dir, 'containerd')}"`,
    `state = "${join(node.dir, 'containerd-state')}"`,
    `[grpc]`,
    `  address = "${containerdSocket(node)}"`,
    `[plugins."io.containerd.grpc.v1.cri"]`,
    `  sandbox_image = "${PAUSE_IMAGE}"`,
    // Without CAP_SYS_RESOURCE no sandbox starts otherwise.
    '  restrict_oom_score_adj = true',
    `[plugins."io.containerd.grpc.v1.cri".cni]`,
    '  bin_dir = "/usr/lib/cni"',
    `  conf_dir = "${cni}"`,
    '',
  ].join('\n');
}

function kubeletConfig(node: NodeLayout): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: node.address,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(PKI, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: join(PKI, `${node.name}.crt`),
    tlsPrivateKeyFile: join(PKI, `${node.name}.key`),
    containerRuntimeEndpoint: `unix://${containerdSocket(node)}`,
    clusterDomain: CLUSTER_DOMAIN,
    clusterDNS: [DNS_SERVICE_ADDRESS],
    cgroupDriver: 'cgroupfs',
    cgroupRoot: node.cgroup,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    healthzPort: 0,
    podLogsDir: join(node.dir, 'pod-logs'),
    resolvConf: '/dev/null',
    imageMinimumGCAge: '24h',
    shutdownGracePeriod: '0s',
  };
}
