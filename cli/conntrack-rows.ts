/** The rows of `finwait conntrack` as `--json` prints them: made of flows, selected, put in order. Pure. */

import type { Endpoint, PodRef, ProcessRef } from '#contract';
import { CONNTRACK_TCP_STATES } from '../daemon/netlink/ctnetlink.ts';
import type { Flow } from '../daemon/track/conntrack-flows.ts';
import type { ConntrackSettings, FlowRowKey } from './conntrack-settings.ts';
import { isPod } from './pod-names.ts';
import { descending, isProcess, processSortValue } from './sockets-rows.ts';
import type { SortValue } from './table.ts';
import { passes, sortableEnd, sorted } from './table.ts';

/** What stands for the state of a flow whose state the kernel does not tell. */
export const OFFLOADED = 'OFFLOADED';
export const FLOW_STATE_NAMES = [...CONNTRACK_TCP_STATES, OFFLOADED] as const;
export type FlowStateName = (typeof FLOW_STATE_NAMES)[number];

/** Whose an end of a flow is, where it is on this machine. */
export interface FlowHolder {
  readonly process: ProcessRef | null;
  /** How the process is known: it has the socket, or only listens on its port. */
  readonly attribution: 'socket' | 'listener' | 'unknown';
  readonly pod: PodRef | null;
  readonly podName: string | null;
}

/** The names of these fields are stable. What the kernel does not tell is null. */
export interface FlowRow extends Flow {
  /** A probe of finwait made it. */
  readonly own: boolean;
  /** Whose the ends are; null where nobody is known, or nobody asked. */
  readonly opener: FlowHolder | null;
  readonly acceptor: FlowHolder | null;
}

/** Whether a row passes every filter given; several values of one filter widen it. */
export function flowFilter(settings: ConntrackSettings): (row: FlowRow) => boolean {
  const { state, mark, zone, minAge, nat, unreplied, assured, own, notOwn, ipv4, ipv6 } = settings;
  const { address, port, source, destination, sourcePort, destinationPort, process, pod } = settings;
  const states = new Set<string>(state);
  // Probes of what is filtered are unreplied by nature: they would hide whose handshakes are not answered.
  const hidesOwn = notOwn || (unreplied && !own);
  return (row) =>
    (states.size === 0 || states.has(row.state ?? 'NONE')) &&
    (ipv4 === ipv6 || row.family === (ipv4 ? 4 : 6)) &&
    (!hidesOwn || own || !row.own) &&
    (!own || notOwn || row.own) &&
    (!nat || row.natSource !== null || row.natDestination !== null) &&
    (!unreplied || !row.replied) &&
    (!assured || row.assured) &&
    passes(mark, (each) => each === row.mark) &&
    passes(zone, (each) => each === row.zone) &&
    (minAge === undefined || (row.ageMs ?? row.idleMs ?? 0) >= minAge) &&
    passes(address, ({ matches }) => ends(row).some((end) => matches(end.address))) &&
    passes(port, (each) => ends(row).some((end) => each === end.port)) &&
    passes(source, ({ matches }) => sources(row).some((end) => matches(end.address))) &&
    passes(sourcePort, (each) => sources(row).some((end) => each === end.port)) &&
    passes(destination, ({ matches }) => destinations(row).some((end) => matches(end.address))) &&
    passes(destinationPort, (each) => destinations(row).some((end) => each === end.port)) &&
    passes(process, (each) => holders(row).some((holder) => isProcess(holder?.process ?? null, each))) &&
    passes(pod, (each) => holders(row).some((holder) => isPod(holder?.pod ?? null, holder?.podName, each)));
}

function ends(row: FlowRow): Endpoint[] {
  return [...sources(row), ...destinations(row)];
}

function sources({ source, natSource }: FlowRow): Endpoint[] {
  return natSource === null ? [source] : [source, natSource];
}

function destinations({ destination, natDestination }: FlowRow): Endpoint[] {
  return natDestination === null ? [destination] : [destination, natDestination];
}

/** Those that are known; of a flow of which none is, nobody. */
function holders({ opener, acceptor }: FlowRow): readonly (FlowHolder | null)[] {
  const known = [opener, acceptor].filter((each) => each !== null);
  return known.length === 0 ? [null] : known;
}

export function bytesOf({ sent, received }: FlowRow): number | null {
  return sent === null || received === null ? null : sent.bytes + received.bytes;
}

export function stateOrder(name: string): number {
  return (FLOW_STATE_NAMES as readonly string[]).indexOf(name);
}

const FLOW_SORTS: Readonly<Record<FlowRowKey, (row: FlowRow) => SortValue>> = {
  state: (row) => stateOrder(row.state ?? OFFLOADED),
  left: (row) => row.timeoutMs ?? undefined,
  idle: (row) => descending(row.idleMs),
  age: (row) => descending(row.ageMs),
  source: (row) => sortableEnd(row.source),
  destination: (row) => sortableEnd(row.destination),
  nat: ({ natDestination, natSource }) => {
    const end = natDestination ?? natSource;
    return end === null ? undefined : sortableEnd(end);
  },
  mark: (row) => row.mark,
  zone: (row) => row.zone,
  packets: ({ sent, received }) =>
    sent === null || received === null ? undefined : -(sent.packets + received.packets),
  bytes: (row) => descending(bytesOf(row)),
  process: ({ opener, acceptor }) => processSortValue(opener?.process ?? acceptor?.process ?? null),
  pod: ({ opener, acceptor }) =>
    [opener, acceptor].map((each) => each?.podName ?? each?.pod?.uid).find((each) => each !== undefined),
};

/** Without a key: by state, those first that will be forgotten first. */
export function sortFlows(
  rows: readonly FlowRow[],
  key: FlowRowKey | undefined,
  reverse: boolean,
): readonly FlowRow[] {
  if (key !== undefined) return sorted(rows, FLOW_SORTS[key], reverse);
  return sorted(sorted(rows, FLOW_SORTS.left, reverse), FLOW_SORTS.state, reverse);
}
