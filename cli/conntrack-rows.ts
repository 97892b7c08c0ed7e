/** The rows of `finwait conntrack` as `--json` prints them: selected, ordered, grouped. Pure. */

import { CONNTRACK_TCP_STATES } from '../daemon/netlink/ctnetlink.ts';
import type { Flow } from '../daemon/track/conntrack-flows.ts';
import type { ConntrackSettings, FlowGrouping, FlowSortKey } from './conntrack-settings.ts';
import type { SortValue } from './table.ts';
import { passes, sortableEnd, sorted } from './table.ts';

/** What stands for the state of a flow whose state the kernel does not tell. */
export const OFFLOADED = 'OFFLOADED';
export const FLOW_STATE_NAMES = [...CONNTRACK_TCP_STATES, OFFLOADED] as const;

/** The names of these fields are stable. What the kernel does not tell is null. */
export interface FlowRow extends Flow {
  /** A probe of finwait made it. */
  readonly own: boolean;
}

type FlowStateName = (typeof FLOW_STATE_NAMES)[number];

export interface FlowGroup {
  /** Set when grouped by it. */
  readonly source: string | null;
  readonly destination: string | null;
  readonly port: number | null;
  readonly zone: number | null;
  readonly count: number;
  readonly states: Readonly<Partial<Record<FlowStateName, number>>>;
  /** Both directions together; null without counters. */
  readonly bytes: number | null;
}

export function selectFlows(rows: readonly FlowRow[], settings: ConntrackSettings): FlowRow[] {
  const { state, address, port, mark, zone, minAge, nat, unreplied, own, notOwn, ipv4, ipv6 } = settings;
  // Probes of what is filtered are unreplied by nature: they would hide whose handshakes are not answered.
  const hidesOwn = notOwn || (unreplied && !own);
  return rows.filter(
    (row) =>
      passes(state, (each) => each === (row.state ?? 'NONE')) &&
      (ipv4 === ipv6 || row.family === (ipv4 ? 4 : 6)) &&
      (!hidesOwn || own || !row.own) &&
      (!own || notOwn || row.own) &&
      (!nat || row.natSource !== null || row.natDestination !== null) &&
      (!unreplied || !row.replied) &&
      passes(mark, (each) => each === row.mark) &&
      passes(zone, (each) => each === row.zone) &&
      (minAge === undefined || (row.ageMs ?? row.idleMs ?? 0) >= minAge) &&
      passes(address, ({ matches }) => ends(row).some((end) => matches(end.address))) &&
      passes(port, (each) => ends(row).some((end) => each === end.port)),
  );
}

function ends({ source, destination, natSource, natDestination }: FlowRow) {
  return [source, destination, natSource, natDestination].filter((end) => end !== null);
}

export function bytesOf({ sent, received }: FlowRow): number | null {
  return sent === null || received === null ? null : sent.bytes + received.bytes;
}

const FLOW_SORTS: Readonly<Record<Exclude<FlowSortKey, 'count'>, (row: FlowRow) => SortValue>> = {
  state: (row) => FLOW_STATE_NAMES.indexOf(row.state ?? OFFLOADED),
  left: (row) => row.timeoutMs ?? undefined,
  idle: (row) => descending(row.idleMs),
  age: (row) => descending(row.ageMs),
  source: (row) => sortableEnd(row.source),
  destination: (row) => sortableEnd(row.destination),
  bytes: (row) => descending(bytesOf(row)),
};

const GROUP_SORTS: Readonly<Partial<Record<FlowSortKey, (group: FlowGroup) => SortValue>>> = {
  count: (group) => descending(group.count),
  state: (group) => FLOW_STATE_NAMES.findIndex((state) => group.states[state] !== undefined),
  source: ({ source }) => (source === null ? undefined : sortableEnd({ address: source, port: 0 })),
  destination: ({ destination, port }) =>
    destination === null ? undefined : sortableEnd({ address: destination, port: port ?? 0 }),
  bytes: (group) => descending(group.bytes),
};

export const FLOW_GROUP_SORT_KEYS = Object.keys(GROUP_SORTS) as readonly FlowSortKey[];

/** Largest first: negated, so that one ascending order serves all keys. */
function descending(value: number | null): number | undefined {
  return value === null ? undefined : -value;
}

/** Without a key: by state, those first that will be forgotten first. */
export function sortFlows(
  rows: readonly FlowRow[],
  key: Exclude<FlowSortKey, 'count'> | undefined,
  reverse: boolean,
): readonly FlowRow[] {
  if (key !== undefined) return sorted(rows, FLOW_SORTS[key], reverse);
  return sorted(sorted(rows, FLOW_SORTS.left, reverse), FLOW_SORTS.state, reverse);
}

/** Without a key: the largest group first. */
export function sortFlowGroups(
  groups: readonly FlowGroup[],
  key: FlowSortKey | undefined,
  reverse: boolean,
): readonly FlowGroup[] {
  const sortValue = GROUP_SORTS[key ?? 'count'];
  return sortValue === undefined ? groups : sorted(groups, sortValue, reverse);
}

export function groupFlows(rows: readonly FlowRow[], by: FlowGrouping): FlowGroup[] {
  const members = new Map<string, FlowRow[]>();
  for (const row of rows) {
    const key = GROUP_KEYS[by](row);
    const group = members.get(key);
    if (group === undefined) members.set(key, [row]);
    else group.push(row);
  }
  return [...members.values()].map((group) => groupOf(group, by));
}

const GROUP_KEYS: Readonly<Record<FlowGrouping, (row: FlowRow) => string>> = {
  state: ({ state }) => state ?? OFFLOADED,
  source: ({ source }) => source.address,
  destination: (row) => endText(row),
  zone: ({ zone }) => String(zone),
};

function endText({ destination }: FlowRow): string {
  return `${destination.address} ${destination.port}`;
}

function groupOf(rows: readonly FlowRow[], by: FlowGrouping): FlowGroup {
  const [first] = rows;
  const states: Partial<Record<FlowStateName, number>> = {};
  let bytes: number | null = null;
  for (const row of rows) {
    const name = row.state ?? OFFLOADED;
    states[name] = (states[name] ?? 0) + 1;
    const own = bytesOf(row);
    if (own !== null) bytes = (bytes ?? 0) + own;
  }
  return {
    source: by === 'source' ? (first?.source.address ?? null) : null,
    destination: by === 'destination' ? (first?.destination.address ?? null) : null,
    port: by === 'destination' ? (first?.destination.port ?? null) : null,
    zone: by === 'zone' ? (first?.zone ?? null) : null,
    count: rows.length,
    states,
    bytes,
  };
}
