/** `finwait conntrack --by ...`: flows counted in groups as they come, none of them kept. */

import type { ProcessRef } from '#contract';
import type { FlowHolder, FlowRow, FlowStateName } from './conntrack-rows.ts';
import { bytesOf, OFFLOADED, stateOrder } from './conntrack-rows.ts';
import type { FlowGrouping, FlowSortKey } from './conntrack-settings.ts';
import { descending, processSortValue } from './sockets-rows.ts';
import type { SortValue } from './table.ts';
import { sortableEnd, sorted } from './table.ts';

export interface FlowGroup {
  /** Set when grouped by it. */
  readonly source: string | null;
  readonly destination: string | null;
  readonly port: number | null;
  readonly zone: number | null;
  readonly process: ProcessRef | null;
  /** `listener` where the process is known by no other flow of the group than those it only listens for. */
  readonly attribution: FlowHolder['attribution'];
  /** UID. */
  readonly pod: string | null;
  readonly podName: string | null;
  readonly count: number;
  /** With `--watch`: more or less than at the reading before. */
  readonly change: number | null;
  readonly states: Readonly<Partial<Record<FlowStateName, number>>>;
  /** Both directions together; null without counters. */
  readonly bytes: number | null;
}

type GroupKey = Omit<FlowGroup, 'attribution' | 'count' | 'change' | 'states' | 'bytes'>;

interface Counts {
  readonly key: GroupKey;
  attribution: FlowHolder['attribution'];
  count: number;
  bytes: number | null;
  readonly states: Partial<Record<FlowStateName, number>>;
}

const NO_KEY: GroupKey = {
  source: null,
  destination: null,
  port: null,
  zone: null,
  process: null,
  pod: null,
  podName: null,
};

/** What tells the groups apart, and what is said of one. */
interface Grouping {
  readonly name: (row: FlowRow) => string;
  readonly key: (row: FlowRow) => Partial<GroupKey>;
  readonly attribution?: (row: FlowRow) => FlowHolder['attribution'] | undefined;
}

const GROUPINGS: Readonly<Record<FlowGrouping, Grouping>> = {
  state: { name: ({ state }) => state ?? OFFLOADED, key: () => ({}) },
  source: { name: ({ source }) => source.address, key: ({ source }) => ({ source: source.address }) },
  destination: {
    name: ({ destination: { address, port } }) => `${address} ${port}`,
    key: ({ destination: { address, port } }) => ({ destination: address, port }),
  },
  zone: { name: ({ zone }) => String(zone), key: ({ zone }) => ({ zone }) },
  process: {
    name: (row) => String(blamed(row)?.process?.pid),
    key: (row) => ({ process: blamed(row)?.process ?? null }),
    attribution: (row) => blamed(row)?.attribution,
  },
  pod: {
    name: (row) => String(blamed(row)?.pod?.uid),
    key: (row) => ({ pod: blamed(row)?.pod?.uid ?? null, podName: blamed(row)?.podName ?? null }),
  },
};

/** Who opened the connection, else, where that is elsewhere, who accepted it: a server is not the cause of its clients here. */
function blamed({ opener, acceptor }: FlowRow): FlowHolder | null {
  return opener ?? acceptor;
}

export class FlowGroups {
  readonly #grouping: Grouping;
  readonly #groups = new Map<string, Counts>();

  constructor(by: FlowGrouping) {
    this.#grouping = GROUPINGS[by];
  }

  add(row: FlowRow): void {
    const name = this.#grouping.name(row);
    const attribution = this.#grouping.attribution?.(row) ?? 'unknown';
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = {
        key: { ...NO_KEY, ...this.#grouping.key(row) },
        attribution,
        count: 0,
        bytes: null,
        states: {},
      };
      this.#groups.set(name, group);
    }
    if (attribution !== 'listener') group.attribution = attribution;
    const state = row.state ?? OFFLOADED;
    group.count++;
    group.states[state] = (group.states[state] ?? 0) + 1;
    const bytes = bytesOf(row);
    if (bytes !== null) group.bytes = (group.bytes ?? 0) + bytes;
  }

  *groups(): Generator<FlowGroup> {
    for (const { key, attribution, count, states, bytes } of this.#groups.values())
      yield { ...key, attribution, count, change: null, states, bytes };
  }
}

const SORTS: Readonly<Partial<Record<FlowSortKey, (group: FlowGroup) => SortValue>>> = {
  count: (group) => descending(group.count),
  change: (group) => descending(group.change),
  state: (group) => Math.min(...Object.keys(group.states).map(stateOrder)),
  source: ({ source }) => (source === null ? undefined : sortableEnd({ address: source, port: 0 })),
  destination: ({ destination, port }) =>
    destination === null ? undefined : sortableEnd({ address: destination, port: port ?? 0 }),
  bytes: (group) => descending(group.bytes),
  zone: ({ zone }) => zone ?? undefined,
  process: ({ process }) => processSortValue(process),
  pod: ({ pod, podName }) => podName ?? pod ?? undefined,
};

/** What tells a group from the others of a reading, and is the same in each. */
export function flowGroupName(by: FlowGrouping | undefined): (group: FlowGroup) => string {
  if (by === 'state') return ({ states }) => Object.keys(states).join();
  return ({ source, destination, port, zone, process, pod }) =>
    [source, destination, port, zone, process?.pid, pod].join(' ');
}

export const FLOW_GROUP_SORT_KEYS = Object.keys(SORTS) as readonly FlowSortKey[];

/** Without a key: the largest group first. */
export function sortFlowGroups(
  groups: readonly FlowGroup[],
  key: FlowSortKey | undefined,
  reverse: boolean,
): readonly FlowGroup[] {
  const sortValue = SORTS[key ?? 'count'];
  return sortValue === undefined ? groups : sorted(groups, sortValue, reverse);
}
