/** `finwait sockets --by ...`: rows counted in groups. Pure. */

import type { Holder, ProcessRef, TcpStateName } from '#contract';
import { TCP_STATES } from '#contract';
import type { SocketRow } from './sockets-rows.ts';
import { descending, processSortValue } from './sockets-rows.ts';
import type { SocketGrouping, SocketSortKey } from './sockets-settings.ts';
import type { SortValue } from './table.ts';
import { sortableEnd, sorted } from './table.ts';

export interface SocketGroup {
  /** Set when grouped by process. */
  readonly process: ProcessRef | null;
  readonly attribution: Holder['attribution'];
  /** Set when grouped by pod or container; null for those of no pod. */
  readonly pod: string | null;
  readonly podName: string | null;
  readonly containerId: string | null;
  /** Set when grouped by namespace: its inode. */
  readonly netns: number | null;
  /** Set when grouped by destination or port; `port` is the service's: the local one when inbound. */
  readonly direction: Holder['direction'] | null;
  /** Set when grouped by destination. */
  readonly peer: string | null;
  readonly port: number | null;
  readonly count: number;
  /** With `--watch`: more or less than at the reading before. */
  readonly change: number | null;
  readonly states: Readonly<Partial<Record<TcpStateName, number>>>;
  /** Age of the oldest whose age is known. */
  readonly ageMs: number | null;
  readonly ageBasis: SocketRow['ageBasis'];
  readonly recvQueue: number;
}

const GROUP_SORTS: Readonly<Partial<Record<SocketSortKey, (group: SocketGroup) => SortValue>>> = {
  count: (group) => descending(group.count),
  change: (group) => descending(group.change),
  age: (group) => descending(group.ageMs),
  process: (group) => processSortValue(group.process),
  peer: (group) =>
    group.peer === null ? undefined : sortableEnd({ address: group.peer, port: group.port ?? 0 }),
  state: (group) => TCP_STATES.findIndex((state) => group.states[state] !== undefined),
  'recv-q': (group) => descending(group.recvQueue),
  pod: ({ podName, pod }) => podName ?? pod ?? undefined,
  netns: ({ netns }) => netns ?? undefined,
};

/** What tells a group from the others of a reading, and is the same in each. */
export function groupName(by: SocketGrouping | undefined): (group: SocketGroup) => string {
  if (by === 'state') return ({ states }) => Object.keys(states).join();
  return ({ process, pod, containerId, netns, direction, peer, port }) =>
    [process?.pid, pod, containerId, netns, direction, peer, port].join(' ');
}

export const GROUP_SORT_KEYS = Object.keys(GROUP_SORTS) as readonly SocketSortKey[];

/** Without a key: the largest group first. */
export function sortGroups(
  groups: readonly SocketGroup[],
  key: SocketSortKey | undefined,
  reverse: boolean,
): readonly SocketGroup[] {
  const sortValue = GROUP_SORTS[key ?? 'count'];
  return sortValue === undefined ? groups : sorted(groups, sortValue, reverse);
}

/** What tells the groups apart. */
const KEYS: Readonly<Record<SocketGrouping, (row: SocketRow) => string>> = {
  state: ({ state }) => state,
  process: ({ process, netns }) => `${process?.pid} ${process === null ? netns : ''}`,
  destination: (row) => `${row.direction} ${row.peer.address} ${servicePort(row)}`,
  port: (row) => `${row.direction} ${servicePort(row)}`,
  pod: ({ pod }) => `${pod?.uid}`,
  container: ({ pod }) => `${pod?.uid} ${pod?.containerId}`,
  namespace: ({ netns }) => `${netns}`,
};

export function groupSockets(rows: readonly SocketRow[], by: SocketGrouping): SocketGroup[] {
  const members = new Map<string, SocketRow[]>();
  for (const row of rows) {
    const key = KEYS[by](row);
    const group = members.get(key);
    if (group === undefined) members.set(key, [row]);
    else group.push(row);
  }
  return [...members.values()].map((group) => groupOf(group, by));
}

function servicePort({ direction, local, peer }: SocketRow): number {
  return direction === 'inbound' ? local.port : peer.port;
}

function groupOf(rows: readonly SocketRow[], by: SocketGrouping): SocketGroup {
  const oldest = rows.reduce((a, b) => ((b.ageMs ?? -1) > (a.ageMs ?? -1) ? b : a));
  const states: Partial<Record<TcpStateName, number>> = {};
  for (const { state } of rows) states[state] = (states[state] ?? 0) + 1;
  return {
    ...groupKey(rows, by),
    count: rows.length,
    change: null,
    states,
    ageMs: oldest.ageMs,
    ageBasis: oldest.ageBasis,
    recvQueue: rows.reduce((sum, row) => sum + (row.state === 'LISTEN' ? 0 : row.recvQueue), 0),
  };
}

type GroupKey = Omit<SocketGroup, 'count' | 'change' | 'states' | 'ageMs' | 'ageBasis' | 'recvQueue'>;

const NO_KEY: GroupKey = {
  process: null,
  attribution: 'unknown',
  pod: null,
  podName: null,
  containerId: null,
  netns: null,
  direction: null,
  peer: null,
  port: null,
};

function groupKey(rows: readonly SocketRow[], by: SocketGrouping): GroupKey {
  const [first] = rows;
  if (first === undefined) return NO_KEY;
  const { process, netns, pod, podName, direction, peer } = first;
  switch (by) {
    case 'state':
      return NO_KEY;
    case 'process': {
      const certain = rows.find((row) => row.attribution !== 'listener') ?? first;
      return { ...NO_KEY, process, attribution: certain.attribution };
    }
    case 'pod':
      return { ...NO_KEY, pod: pod?.uid ?? null, podName };
    case 'container':
      return { ...NO_KEY, pod: pod?.uid ?? null, podName, containerId: pod?.containerId ?? null };
    case 'namespace': {
      const known = rows.find((row) => row.pod !== null && row.podBy === 'namespace');
      return { ...NO_KEY, netns, pod: known?.pod?.uid ?? null, podName: known?.podName ?? null };
    }
    case 'destination':
      return { ...NO_KEY, direction, peer: peer.address, port: servicePort(first) };
    case 'port':
      return { ...NO_KEY, direction, port: servicePort(first) };
  }
}
