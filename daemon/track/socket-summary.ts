/** The socket table as a report carries it: exact counts, the largest groups, and what did not fit as sums. */

import type { Family, Holder, Listener, SocketSummary, TcpStateName, UnreadData } from '#contract';
import { CONTRACT_LIMITS, TCP_STATES } from '#contract';
import { KERNEL_STATE } from '../netlink/inet-diag.ts';
import { Largest } from './largest.ts';
import type { NamespaceOfSockets } from './namespace-sockets.ts';
import { summarizePods } from './pod-summary.ts';
import { TIME_WAIT_MS } from './socket-record.ts';
import type { SocketTable, TrackedSocket } from './socket-table.ts';

type Writable<T> = { -readonly [Field in keyof T]: T[Field] };
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
  const held = new HeldSum();
  addHeld(held, { table: own }, nowMs);
  for (const namespace of others ?? []) addHeld(held, namespace, nowMs);
  const listeners = Array.from(own.sockets(LISTEN), listenerOf);
  const { kept, folded } = held.told();
  listeners.sort((a, b) => a.local.port - b.local.port || (a.local.address < b.local.address ? -1 : 1));
  return {
    states: stateCounts([own, ...(others ?? []).map(({ table }) => table)]),
    holders: kept,
    folded,
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

function addHeld(held: HeldSum, namespace: Namespace, nowMs: number): void {
  for (const groups of namespace.table.held()) {
    for (let group = 0; group < groups.size; group++) {
      const state = groups.state(group);
      const count = groups.count(group);
      const sinceMs = nowMs - groups.sinceMs(group);
      // A namespace whose turn has not come yet tells of sockets that may be gone.
      const oldestMs = state === 'TIME-WAIT' ? Math.min(sinceMs, TIME_WAIT_MS) : sinceMs;
      held.offer({ state, count, oldestMs }, () => ({
        ...whoseIs(groups.socket(group), namespace),
        state,
        count,
        oldestMs,
        ...(state === 'CLOSE-WAIT' ? { unread: groups.unread(group) } : {}),
      }));
    }
  }
}

function whoseIs(
  { direction, process, attribution, peer, local, ...socket }: TrackedSocket,
  { pod: podOfNamespace, inode }: Omit<Namespace, 'table'>,
): Omit<Holder, 'state' | 'count' | 'oldestMs' | 'unread'> {
  const pod = socket.pod ?? podOfNamespace;
  const podBy = socket.podBy ?? (podOfNamespace === undefined ? undefined : 'namespace');
  const netns = pod === undefined ? inode : undefined;
  return {
    direction,
    process,
    attribution,
    ...(pod === undefined ? {} : { pod }),
    ...(podBy === undefined ? {} : { podBy }),
    ...(netns === undefined ? {} : { netns }),
    peer: peer.address,
    port: direction === 'inbound' ? local.port : peer.port,
  };
}

function keyOf({ state, direction, process, attribution, peer, port, pod, netns }: Holder): string {
  return `${state} ${direction} ${process?.pid} ${attribution} ${peer} ${port} ${pod?.uid} ${pod?.containerId} ${netns}`;
}

/** The groups a report has room for; the others are summed up, and there may be as many as sockets. */
class HeldSum {
  readonly #ofState = {
    'TIME-WAIT': { groups: 0, sockets: 0, largest: new Largest<Holder>(CONTRACT_LIMITS.holders) },
    'CLOSE-WAIT': { groups: 0, sockets: 0, largest: new Largest<Holder>(CONTRACT_LIMITS.holders) },
  };

  offer(
    { state, count, oldestMs }: Pick<Holder, 'state' | 'count' | 'oldestMs'>,
    holder: () => Holder,
  ): void {
    const sum = this.#ofState[state];
    sum.groups++;
    sum.sockets += count;
    sum.largest.offer(count, oldestMs, holder);
  }

  /** Many in TIME-WAIT do not crowd out those in CLOSE-WAIT. */
  told(): { readonly kept: Holder[]; readonly folded: SocketSummary['folded'] } {
    const room = CONTRACT_LIMITS.holders;
    const timeWait = united(this.#ofState['TIME-WAIT'].largest.all);
    const closeWait = united(this.#ofState['CLOSE-WAIT'].largest.all);
    const closeWaitRoom = Math.min(closeWait.length, Math.max(room / 2, room - timeWait.length));
    const kept = [...closeWait.slice(0, closeWaitRoom), ...timeWait.slice(0, room - closeWaitRoom)];
    return {
      kept: kept.sort(largestFirst).map(({ parts: _, ...holder }) => holder),
      folded: (['CLOSE-WAIT', 'TIME-WAIT'] as const).flatMap((state) => {
        const told = kept.filter((each) => each.state === state);
        const groups = this.#ofState[state].groups - sumBy(told, ({ parts }) => parts);
        const sockets = this.#ofState[state].sockets - sumBy(told, ({ count }) => count);
        return groups === 0 ? [] : [{ state, groups, sockets }];
      }),
    };
  }
}

/** One that is made of several. */
type United = Writable<Holder> & { parts: number };

/** Of both families, and of what only the way tells apart by which its pod is known. */
function united(holders: readonly Holder[]): United[] {
  const groups = new Map<string, United>();
  for (const holder of holders) {
    const key = keyOf(holder);
    const known = groups.get(key);
    if (known === undefined) {
      groups.set(key, { ...holder, parts: 1 });
      continue;
    }
    known.parts++;
    known.count += holder.count;
    known.oldestMs = Math.max(known.oldestMs, holder.oldestMs);
    if (known.unread !== undefined && holder.unread !== undefined)
      known.unread = sumOf(known.unread, holder.unread);
  }
  return [...groups.values()].sort(largestFirst);
}

function largestFirst(a: Holder, b: Holder): number {
  return b.count - a.count || b.oldestMs - a.oldestMs;
}

function sumBy(groups: readonly United[], of: (group: United) => number): number {
  return groups.reduce((sum, group) => sum + of(group), 0);
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

function listenerOf({ local, family, process, diag }: TrackedSocket): Listener {
  return { local, family, process, acceptQueue: diag.receiveQueue, backlog: diag.sendQueue };
}
