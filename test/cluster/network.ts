/**
 * The cluster's network: a bridge in the root namespace that carries the API server's address, and a network
 * namespace for each node, joined by a veth. The root namespace gets the bridge and nothing else.
 */

import type { NodeLayout } from './layout.ts';
import { BRIDGE, HOST_ADDRESS, NODES } from './layout.ts';
import { attempt, inNetns, run } from './run.ts';

export async function makeNetwork(): Promise<void> {
  await run(['ip', 'link', 'add', BRIDGE, 'type', 'bridge']);
  await run(['ip', 'address', 'add', `${HOST_ADDRESS}/24`, 'dev', BRIDGE]);
  await run(['ip', 'link', 'set', BRIDGE, 'up']);
  for (const node of NODES) await makeNodeNetns(node);
  for (const node of NODES) await routePods(node);
}

async function makeNodeNetns(node: NodeLayout): Promise<void> {
  const outer = `${node.netns}0`;
  await run(['ip', 'netns', 'add', node.netns]);
  await run(['ip', 'link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', node.netns]);
  await run(['ip', 'link', 'set', outer, 'master', BRIDGE, 'up']);
  const within = (...command: string[]) => run(inNetns(node.netns, command));
  await within('ip', 'link', 'set', 'lo', 'up');
  await within('ip', 'address', 'add', `${node.address}/24`, 'dev', 'eth0');
  await within('ip', 'link', 'set', 'eth0', 'up');
  await within('ip', 'route', 'add', 'default', 'via', HOST_ADDRESS);
  await within(
    'sh',
    '-c',
    'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
  );
}

/** The other nodes, and the root namespace, reach a node's pods through the node. */
async function routePods(node: NodeLayout): Promise<void> {
  await run(['ip', 'route', 'add', node.podCidr, 'via', node.address]);
  for (const other of NODES.filter((candidate) => candidate !== node)) {
    await run(inNetns(other.netns, ['ip', 'route', 'add', node.podCidr, 'via', node.address]));
  }
}

/** Takes away what `makeNetwork` made, or what is left of it. */
export function removeNetwork(): void {
  for (const node of NODES) {
    attempt('ip', 'link', 'delete', `${node.netns}0`);
    attempt('ip', 'netns', 'delete', node.netns);
  }
  attempt('ip', 'link', 'delete', BRIDGE);
}
