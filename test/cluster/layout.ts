/**
 * Where everything of the test cluster is: folders, names, addresses. All of it can be found again by a later run,
 * so that what a crashed run left can be taken away.
 */

import { homedir } from 'node:os';
import { join } from 'node:path';

/** Built programs, kept from run to run. */
export const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'finwait');

/** Everything one run of the cluster writes: state, logs, sockets, keys. */
export const RUN = '/var/tmp/fw-cluster';
export const LOGS = join(RUN, 'logs');
export const PKI = join(RUN, 'pki');
export const IMAGES = join(RUN, 'images');
/** One line a process: name, pid, start time in clock ticks. */
export const PROCESSES = join(RUN, 'processes');

export const BRIDGE = 'fwkube0';
export const HOST_ADDRESS = '10.99.0.1';
export const API_SERVER = `https://${HOST_ADDRESS}:6443`;
export const CLUSTER_CIDR = '10.244.0.0/16';
export const SERVICE_CIDR = '10.96.0.0/16';
export const API_SERVICE_ADDRESS = '10.96.0.1';
export const DNS_SERVICE_ADDRESS = '10.96.0.10';
/** Name of the pod network in the CNI configuration. */
export const CNI_NETWORK = 'fw-pods';
export const CLUSTER_DOMAIN = 'cluster.local';

export interface NodeLayout {
  readonly name: string;
  /** Network namespace the node lives in. */
  readonly netns: string;
  readonly address: string;
  readonly podCidr: string;
  readonly dir: string;
  /** Path below each cgroup v1 controller. */
  readonly cgroup: string;
}

function node(letter: string, index: number): NodeLayout {
  return {
    name: `node-${letter}`,
    netns: `fwkube${letter}`,
    address: `10.99.0.${10 + index}`,
    podCidr: `10.244.${index}.0/24`,
    dir: join(RUN, `node-${letter}`),
    cgroup: `/fw-node-${letter}`,
  };
}

export const NODES: readonly NodeLayout[] = [node('a', 1), node('b', 2)];

export function kubeconfigOf(user: string): string {
  return join(PKI, `${user}.kubeconfig`);
}

export function containerdSocket(layout: NodeLayout): string {
  return join(layout.dir, 'containerd.sock');
}
