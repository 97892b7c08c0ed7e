/** The socket table as a report carries it: exact counts, the largest groups, and what did not fit as sums. */

import type { Family, Holder, Listener, SocketSummary, TcpStateName, UnreadData } from '#contract';
import { CONTRACT_LIMITS, TCP_STATES } from '#contract';
import { KERNEL_STATE } from '../netlink/inet-diag.ts';
import { nothingUnread } from './held-groups.ts';
import type { NamespaceOfSockets } from './namespace-sockets.ts';
import { summarizePods } from './pod-summary.ts';
import { TIME_WAIT_MS } from './socket-record.ts';
import type { SocketTable, TrackedSocket } from './socket-table.ts';

type Writable<T> = { -readonly [Field in keyof T]: T[Field] };
type Group = Writable<Holder>;
/** What of a namespace is summed up here; finwait's own is not named. */
type Namespace = Pick<NamespaceOfSockets, 'table' | 'pod'> & Partial<Pick<NamespaceOfSockets, 'inode'>>;

const LISTEN = 1 << KERNEL_STATE.LISTEN;

/**
 * @param own the sockets of finwait's own network namespace: the only one whose listeners it can probe
 * @param others those of other namespaces; undefined where these are not looked into, and pods not told apart
 * @param nowMs the clock of the sweeps
 */
export function summarizeSockets(
  own: SocketTable,
  others: readonly Namespace[] | undefined,
  nowMs: number,
): SocketSummary {
  const groups = new Map<string, Group>();
  addHeld(groups, { table: own }, nowMs);
  for (const namespace of others ?? []) addHeld(groups, namespace, nowMs);
  const listeners = Array.from(own.sockets(LISTEN), listenerOf);
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

function addHeld(groups: Map<string, Group>, namespace: Namespace, nowMs: number): void {
  const { table } = namespace;
  for (const { socket, count, sinceMs, unread } of table.held()) {
    const group = groupOf(groups, unread === undefined ? 'TIME-WAIT' : 'CLOSE-WAIT', socket, namespace);
    // A namespace whose turn has not come yet tells of sockets that may be gone.
    const ageMs = Math.min(nowMs - sinceMs, unread === undefined ? TIME_WAIT_MS : Number.POSITIVE_INFINITY);
    group.count += count;
    group.oldestMs = Math.max(group.oldestMs, ageMs);
    if (unread !== undefined) group.unread = sumOf(group.unread ?? nothingUnread(), unread);
  }
}

function groupOf(
  groups: Map<string, Group>,
  state: Holder['state'],
  socket: TrackedSocket,
  { pod: podOfNamespace, inode }: Omit<Namespace, 'table'>,
): Group {
  const { direction, process, attribution, peer } = socket;
  const pod = socket.pod ?? podOfNamespace;
  const podBy = socket.podBy ?? (podOfNamespace === undefined ? undefined : 'namespace');
  const netns = pod === undefined ? inode : undefined;
  const port = direction === 'inbound' ? socket.local.port : peer.port;
  const key = `${state} ${direction} ${process?.pid} ${attribution} ${peer.address} ${port} ${pod?.uid} ${pod?.containerId} ${netns}`;
  const known = groups.get(key);
  if (known !== undefined) return known;
  const group: Group = {
    state,
    direction,
    process,
    attribution,
    ...(pod === undefined ? {} : { pod }),
    ...(podBy === undefined ? {} : { podBy }),
    ...(netns === undefined ? {} : { netns }),
    peer: peer.address,
    port,
    count: 0,
    oldestMs: 0,
  };
  groups.set(key, group);
  return group;
}

function sumOf(a: UnreadData, b: UnreadData): UnreadData {
  const received = [a.lastReceivedMs, b.lastReceivedMs].filter((ms) => ms !== undefined);
  return {
    bytes: a.bytes + b.bytes,
    growing: a.growing + b.growing,
    shrinking: a.shrinking + b.shrinking,
    seenBefore: a.seenBefore + b.seenBefore,
    sending: a.sending + b.sending,
    ...(received.length === 0 ? {} : { lastReceivedMs: Math.min(...received) }),
  };
}

/** The groups a report has room for, largest first. Many in TIME-WAIT do not crowd out those in CLOSE-WAIT. */
function largest(groups: Group[]): { kept: Holder[]; left: Holder[] } {
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
