/** How many sockets of each state each pod has: exact, the pods with the most in TIME-WAIT and CLOSE-WAIT first. */

import type { PodSockets, SocketSummary, TcpStateName } from '#contract';
import { CONTRACT_LIMITS, TCP_STATES } from '#contract';
import type { NamespaceOfSockets } from './namespace-sockets.ts';
import type { SocketTable } from './socket-table.ts';

type Counts = Map<TcpStateName, number>;

/**
 * @param own of its sockets those count that a process of a pod holds: a pod may use the host's network namespace
 * @param others of a pod's namespace all sockets are the pod's, also those without a process
 */
export function summarizePods(
  own: SocketTable,
  others: readonly Pick<NamespaceOfSockets, 'table' | 'pod'>[],
): Pick<SocketSummary, 'pods' | 'podsFolded'> {
  const pods = new Map<string, Counts>();
  own.forEachOfPods(({ uid }, state) => add(pods, uid, state, 1));
  for (const { table, pod } of others) {
    if (pod === undefined) continue;
    for (const [state, count] of table.counts()) add(pods, pod.uid, state, count[4] + count[6]);
  }
  const largestFirst = [...pods].sort(([, a], [, b]) => waiting(b) - waiting(a) || total(b) - total(a));
  return {
    pods: largestFirst
      .slice(0, CONTRACT_LIMITS.pods)
      .map(([uid, counts]) => ({ uid, states: states(counts) })),
    podsFolded: Math.max(0, pods.size - CONTRACT_LIMITS.pods),
  };
}

function add(pods: Map<string, Counts>, uid: string, state: TcpStateName, count: number): void {
  const counts = pods.get(uid) ?? new Map();
  pods.set(uid, counts.set(state, (counts.get(state) ?? 0) + count));
}

function waiting(counts: Counts): number {
  return (counts.get('TIME-WAIT') ?? 0) + (counts.get('CLOSE-WAIT') ?? 0);
}

function total(counts: Counts): number {
  return counts.values().reduce((sum, count) => sum + count, 0);
}

function states(counts: Counts): PodSockets['states'] {
  return TCP_STATES.map((state) => ({ state, count: counts.get(state) ?? 0 })).filter(
    ({ count }) => count > 0,
  );
}
