/** The socket table as a report carries it: exact counts, the largest groups, and what did not fit as sums. */

import type { Family, Holder, Listener, PodRef, SocketSummary, TcpStateName } from '#contract';
import { CONTRACT_LIMITS, TCP_STATES } from '#contract';
import type { NamespaceOfSockets } from './namespace-sockets.ts';
import { summarizePods } from './pod-summary.ts';
import type { SocketTable, TrackedSocket } from './socket-table.ts';

type Group = { -readonly [Field in keyof Holder]: Holder[Field] };

/**
 * @param own the sockets of finwait's own network namespace: the only one whose listeners it can probe
 * @param others those of other namespaces; undefined where these are not looked into, and pods not told apart
 * @param nowMs the clock of the sweeps
 */
export function summarizeSockets(
  own: SocketTable,
  others: readonly NamespaceOfSockets[] | undefined,
  nowMs: number,
): SocketSummary {
  const groups = new Map<string, Group>();
  const listeners: Listener[] = [];
  for (const socket of own.sockets()) {
    if (socket.state === 'LISTEN') listeners.push(listenerOf(socket));
    else if (isHeld(socket)) addTo(groups, socket, socket.pod, nowMs - socket.sinceMs);
  }
  for (const { table, pod } of others ?? []) {
    for (const socket of table.sockets()) {
      if (isHeld(socket)) addTo(groups, socket, socket.pod ?? pod, nowMs - socket.sinceMs);
    }
  }
  const { kept, left } = largest([...groups.values()]);
  listeners.sort((a, b) => a.local.port - b.local.port || (a.local.address < b.local.address ? -1 : 1));
  return {
    states: stateCounts([own, ...(others ?? []).map(({ table }) => table)]),
    holders: kept,
    folded: fold(left),
    listeners: listeners.slice(0, CONTRACT_LIMITS.listeners),
    listenersFolded: Math.max(0, listeners.length - CONTRACT_LIMITS.listeners),
    ...(others === undefined ? {} : summarizePods(own, others)),
  };
}

function stateCounts(tables: readonly SocketTable[]): SocketSummary['states'] {
  const counts = new Map<TcpStateName, Record<Family, number>>();
  for (const table of tables) {
    for (const [state, { 4: v4, 6: v6 }] of table.counts()) {
      const sum = counts.get(state) ?? { 4: 0, 6: 0 };
      counts.set(state, { 4: sum[4] + v4, 6: sum[6] + v6 });
    }
  }
  return TCP_STATES.flatMap((state) =>
    ([4, 6] as const)
      .map((family) => ({ family, state, count: counts.get(state)?.[family] ?? 0 }))
      .filter(({ count }) => count > 0),
  );
}

function isHeld(socket: TrackedSocket): socket is TrackedSocket & { readonly state: Holder['state'] } {
  return socket.state === 'TIME-WAIT' || socket.state === 'CLOSE-WAIT';
}

function addTo(
  groups: Map<string, Group>,
  socket: TrackedSocket & { readonly state: Holder['state'] },
  pod: PodRef | undefined,
  ageMs: number,
): void {
  const { state, direction, process, attribution, peer } = socket;
  const port = direction === 'inbound' ? socket.local.port : peer.port;
  const key = `${state} ${direction} ${process?.pid} ${attribution} ${peer.address} ${port} ${pod?.uid} ${pod?.containerId}`;
  const group = groups.get(key);
  if (group === undefined) {
    groups.set(key, {
      state,
      direction,
      process,
      attribution,
      ...(pod === undefined ? {} : { pod }),
      peer: peer.address,
      port,
      count: 1,
      oldestMs: ageMs,
    });
  } else {
    group.count++;
    group.oldestMs = Math.max(group.oldestMs, ageMs);
  }
}

/** The groups a report has room for, largest first. Many in TIME-WAIT do not crowd out those in CLOSE-WAIT. */
function largest(groups: Group[]): { kept: Group[]; left: Group[] } {
  const largestFirst = (a: Group, b: Group) => b.count - a.count || b.oldestMs - a.oldestMs;
  groups.sort(largestFirst);
  const room = CONTRACT_LIMITS.holders;
  const timeWait = groups.filter(({ state }) => state === 'TIME-WAIT');
  const closeWait = groups.filter(({ state }) => state === 'CLOSE-WAIT');
  const closeWaitRoom = Math.min(closeWait.length, Math.max(room / 2, room - timeWait.length));
  const timeWaitRoom = room - closeWaitRoom;
  return {
    kept: [...closeWait.slice(0, closeWaitRoom), ...timeWait.slice(0, timeWaitRoom)].sort(largestFirst),
    left: [...closeWait.slice(closeWaitRoom), ...timeWait.slice(timeWaitRoom)],
  };
}

function fold(groups: readonly Holder[]): SocketSummary['folded'] {
  const sums = new Map<TcpStateName, { state: TcpStateName; groups: number; sockets: number }>();
  for (const { state, count } of groups) {
    const sum = sums.get(state) ?? { state, groups: 0, sockets: 0 };
    sums.set(state, { state, groups: sum.groups + 1, sockets: sum.sockets + count });
  }
  return [...sums.values()];
}

function listenerOf({ local, family, process, diag }: TrackedSocket): Listener {
  return { local, family, process, acceptQueue: diag.receiveQueue, backlog: diag.sendQueue };
}
