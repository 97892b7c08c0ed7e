/**
 * Takes the cluster away without a trace, in the order that leaves nothing busy: pods by the API (so that CNI takes
 * down its own namespaces), kubelets, every container, the rest, mounts, tables, namespaces, cgroups, links, files.
 * Also what a run that died left: nothing here needs the cluster to be whole.
 */

import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kubectl } from './control-plane.ts';
import type { NodeLayout } from './layout.ts';
import { CNI_NETWORK, containerdSocket, kubeconfigOf, NODES, RUN } from './layout.ts';
import { removeNetwork } from './network.ts';
import { end, isAlive, running, startTimeOf } from './processes.ts';
import { attempt } from './run.ts';

const CGROUP_ROOT = '/sys/fs/cgroup';
const FOREIGN = join(RUN, 'foreign-namespaces');
const CNI_CACHE = '/var/lib/cni/results';

export async function removeCluster(): Promise<void> {
  const processes = running();
  if (processes.some(({ name }) => name === 'kube-apiserver') && existsSync(kubeconfigOf('admin'))) {
    await deletePods();
  }
  const named = (prefix: string) => processes.filter(({ name }) => name.startsWith(prefix));
  await Promise.all(named('kubelet-').map((process) => end(process)));
  for (const node of NODES) removeContainers(node);
  await Promise.all(processes.map((process) => end(process)));
  await endShims();
  unmountBelow(RUN);
  removeNetwork();
  for (const node of NODES) removeCgroups(node);
  removePodNamespaces();
  removeCniCache();
  rmSync(RUN, { recursive: true, force: true });
}

async function deletePods(): Promise<void> {
  const kinds = 'deployments,daemonsets,statefulsets,replicasets,jobs,cronjobs';
  for (const args of [
    ['delete', kinds, '--all', '--all-namespaces', '--wait=false'],
    ['delete', 'pods', '--all', '--all-namespaces', '--grace-period=1', '--timeout=20s'],
  ]) {
    await kubectl('--request-timeout=20s', ...args).catch(() => {});
  }
}

function removeContainers(node: NodeLayout): void {
  const ctr = (...args: string[]) => attempt('ctr', '-a', containerdSocket(node), '-n', 'k8s.io', ...args);
  if (!existsSync(containerdSocket(node))) return;
  for (const task of ctr('tasks', 'list', '-q').split('\n').filter(Boolean))
    ctr('tasks', 'delete', '-f', task);
  for (const container of ctr('containers', 'list', '-q').split('\n').filter(Boolean)) {
    ctr('containers', 'delete', container);
  }
}

/** Shims outlive containerd; they are known by the cluster's folder in their arguments. */
async function endShims(): Promise<void> {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  for (const pid of pids) {
    const startTime = startTimeOf(pid);
    if (startTime === undefined || !argumentsOf(pid).some((argument) => argument.startsWith(`${RUN}/`)))
      continue;
    const shim = { name: 'shim', pid, startTime };
    if (pid !== process.pid && isAlive(shim)) await end(shim, 1_000);
  }
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** Notes which pod namespaces are on the machine before the cluster makes its own. */
export function noteForeignNamespaces(): void {
  writeFileSync(FOREIGN, podNamespaces().join('\n'));
}

/** Pod namespaces that a killed node did not take down: made since the cluster began, and nobody lives in them. */
function removePodNamespaces(): void {
  if (!existsSync(FOREIGN)) return;
  const foreign = readFileSync(FOREIGN, 'utf8').split('\n');
  for (const name of podNamespaces().filter((candidate) => !foreign.includes(candidate))) {
    if (attempt('ip', 'netns', 'pids', name).trim() === '') attempt('ip', 'netns', 'delete', name);
  }
}

function podNamespaces(): string[] {
  return existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.startsWith('cni-')) : [];
}

/** What the CNI library remembers of each sandbox, in a folder it shares with other clusters. */
function removeCniCache(): void {
  if (!existsSync(CNI_CACHE)) return;
  const results = readdirSync(CNI_CACHE).map((name) => ({
    path: join(CNI_CACHE, name),
    ...readResult(name),
  }));
  const ours = new Set(results.filter((r) => r.networkName === CNI_NETWORK).map((r) => r.containerId));
  for (const { path } of results.filter((result) => ours.has(result.containerId))) rmSync(path);
}

function readResult(name: string): { networkName?: string; containerId?: string } {
  try {
    return JSON.parse(readFileSync(join(CNI_CACHE, name), 'utf8'));
  } catch {
    return {};
  }
}

function unmountBelow(dir: string): void {
  const points = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => point.startsWith(`${dir}/`));
  for (const point of points.reverse()) attempt('umount', '--lazy', point);
}

function removeCgroups(node: NodeLayout): void {
  for (const controller of readdirSync(CGROUP_ROOT)) removeTree(join(CGROUP_ROOT, controller, node.cgroup));
}

/** Cgroup folders go only by rmdir, the innermost first. */
function removeTree(dir: string): void {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(dir, entry.name));
  }
  try {
    rmdirSync(dir);
  } catch {
    // A process that is just ending still holds it; the next clean-up takes it.
  }
}
