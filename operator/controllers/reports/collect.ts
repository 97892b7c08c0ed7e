/** Sums what the agents say of pods by workload. Pure. */

import type { Holder, TcpStateName } from '#contract';
import type { NodeView } from '../../fleet/view.ts';
import type { PodRecord, Workload } from '../../workloads/workload.ts';

export interface Holding {
  readonly workload: Workload;
  closeWait: number;
  timeWait: number;
  /** Unix time since when the oldest CLOSE-WAIT has been seen. */
  oldestSinceMs: number | undefined;
  /** By name of the pod. */
  readonly pods: Map<string, { readonly node: string; closeWait: number; timeWait: number }>;
  /** By state, direction, peer, port, process and container. */
  readonly groups: Map<string, HoldingGroup>;
}

export interface HoldingGroup {
  readonly state: 'CLOSE-WAIT' | 'TIME-WAIT';
  readonly direction: Holder['direction'];
  readonly peer: string;
  readonly port: number;
  readonly process: string | undefined;
  readonly container: string | undefined;
  count: number;
}

export interface Collected {
  /** By `workloadKey`. */
  readonly holdings: ReadonlyMap<string, Holding>;
  /** Nodes whose agent has told of its pods lately. */
  readonly heard: ReadonlySet<string>;
  /** Groups of pods the API server does not know (yet, or no longer). */
  readonly unknownPods: number;
  /** Groups a node reported of a pod that runs on another node: not believed. */
  readonly foreignPods: number;
}

export interface PodDirectory {
  podOf(uid: string): PodRecord | undefined;
  workloadOf(pod: PodRecord): Workload;
}

/** What a node said longer ago is not told as the present. */
const TOO_OLD_MS = 60_000;

function workloadKey({ kind, namespace, name }: Workload): string {
  return `${namespace}/${kind}/${name}`;
}

/** @param nodes what each node reported last; `nowMs` by the operator's clock */
export function collect(nodes: readonly NodeView[], pods: PodDirectory, nowMs: number): Collected {
  const holdings = new Map<string, Holding>();
  const heard = new Set<string>();
  let unknownPods = 0;
  let foreignPods = 0;

  const podOn = (node: string, uid: string): PodRecord | undefined => {
    const pod = pods.podOf(uid);
    if (pod === undefined) unknownPods++;
    else if (pod.node !== node) foreignPods++;
    else return pod;
    return undefined;
  };
  const holdingOf = (pod: PodRecord): Holding => {
    const workload = pods.workloadOf(pod);
    const key = workloadKey(workload);
    const holding = holdings.get(key) ?? {
      workload,
      closeWait: 0,
      timeWait: 0,
      oldestSinceMs: undefined,
      pods: new Map(),
      groups: new Map(),
    };
    holdings.set(key, holding);
    return holding;
  };

  for (const node of nodes) {
    if (node.sockets === undefined || nowMs - node.lastReportMs > TOO_OLD_MS) continue;
    if (node.sockets.pods !== undefined) heard.add(node.name);
    const counted = new Set<string>();
    for (const { uid, states } of node.sockets.pods ?? []) {
      const pod = podOn(node.name, uid);
      if (pod === undefined) continue;
      counted.add(uid);
      addPod(holdingOf(pod), pod, countOf(states, 'CLOSE-WAIT'), countOf(states, 'TIME-WAIT'));
    }
    for (const holder of node.sockets.holders) {
      if (holder.pod === undefined) continue;
      const pod = podOn(node.name, holder.pod.uid);
      if (pod === undefined) continue;
      const holding = holdingOf(pod);
      // The exact counts of a pod that did not fit into the report are at least those of its groups.
      if (!counted.has(holder.pod.uid)) {
        const { state, count } = holder;
        addPod(holding, pod, state === 'CLOSE-WAIT' ? count : 0, state === 'TIME-WAIT' ? count : 0);
      }
      addGroup(holding, pod, holder, node.lastReportMs);
    }
  }
  return { holdings, heard, unknownPods, foreignPods };
}

function countOf(states: readonly { state: TcpStateName; count: number }[], wanted: TcpStateName): number {
  return states.find(({ state }) => state === wanted)?.count ?? 0;
}

function addPod(holding: Holding, pod: PodRecord, closeWait: number, timeWait: number): void {
  holding.closeWait += closeWait;
  holding.timeWait += timeWait;
  const sum = holding.pods.get(pod.name) ?? { node: pod.node, closeWait: 0, timeWait: 0 };
  sum.closeWait += closeWait;
  sum.timeWait += timeWait;
  holding.pods.set(pod.name, sum);
}

function addGroup(holding: Holding, pod: PodRecord, holder: Holder, reportedMs: number): void {
  const { state, direction, peer, port, process, count, oldestMs } = holder;
  const container = pod.containers.find(([id]) => id === holder.pod?.containerId)?.[1];
  const key = [state, direction, peer, port, process?.name ?? '', container ?? ''].join(' ');
  const group = holding.groups.get(key);
  if (group === undefined) {
    const made = { state, direction, peer, port, process: process?.name, container, count };
    holding.groups.set(key, made);
  } else {
    group.count += count;
  }
  if (state === 'CLOSE-WAIT') {
    holding.oldestSinceMs = Math.min(
      holding.oldestSinceMs ?? Number.POSITIVE_INFINITY,
      reportedMs - oldestMs,
    );
  }
}
