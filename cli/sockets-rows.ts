/** The rows of `finwait sockets` as `--json` prints them: taken from the table, selected, ordered, grouped. Pure. */

import type { Endpoint, Family, Holder, ProcessRef, TcpStateName } from '#contract';
import { TCP_STATES } from '#contract';
import { TIMER } from '../daemon/netlink/inet-diag.ts';
import type { TrackedSocket } from '../daemon/track/socket-table.ts';
import type { SocketGrouping, SocketSortKey, SocketsSettings } from './sockets-settings.ts';
import type { SortValue } from './table.ts';
import { passes, sortableEnd, sorted } from './table.ts';

/** The names of these fields are stable. What the kernel does not tell is null. */
export interface SocketRow {
  readonly state: TcpStateName;
  readonly family: Family;
  readonly local: Endpoint;
  /** Of a listener: the unspecified address and port 0. */
  readonly peer: Endpoint;
  readonly direction: Holder['direction'];
  readonly process: ProcessRef | null;
  readonly attribution: Holder['attribution'];
  /** Time in this state; at least so long when the basis is `last-ack`. */
  readonly ageMs: number | null;
  readonly ageBasis: 'time-wait-timer' | 'last-ack' | null;
  /** Bytes; of a listener the connections that wait to be accepted. */
  readonly recvQueue: number;
  /** Bytes; of a listener its backlog. */
  readonly sendQueue: number;
  readonly timer: { readonly kind: string; readonly expiresMs: number; readonly retransmits: number } | null;
  readonly rttUs: number | null;
  readonly retransmits: number | null;
  readonly lastDataReceivedMs: number | null;
  readonly lastDataSentMs: number | null;
  readonly lastAckReceivedMs: number | null;
  readonly bytesReceived: number | null;
  readonly bytesAcked: number | null;
  readonly uid: number;
  /** 0 when no process holds the socket: in TIME-WAIT, orphaned, or not accepted yet. */
  readonly inode: number;
  /** The device the socket is bound to. */
  readonly interface: string | null;
  /** A listener on IPv6 that takes IPv4 connections as well. */
  readonly dualStack: boolean;
  /** It is finwait's own program, or the other end of one of its probes. */
  readonly own: boolean;
}

export interface SocketGroup {
  /** Set when grouped by process. */
  readonly process: ProcessRef | null;
  readonly attribution: Holder['attribution'];
  /** Set when grouped by destination; `port` is the service's: the local one when inbound. */
  readonly direction: Holder['direction'] | null;
  readonly peer: string | null;
  readonly port: number | null;
  readonly count: number;
  readonly states: Readonly<Partial<Record<TcpStateName, number>>>;
  /** Age of the oldest whose age is known. */
  readonly ageMs: number | null;
  readonly ageBasis: SocketRow['ageBasis'];
  readonly recvQueue: number;
}

/** What a row needs of its surroundings. */
export interface RowContext {
  readonly nowMs: number;
  readonly interfaceName: (index: number) => string;
  /** Whether an address is one of finwait's probes. */
  readonly isProbe: (address: string) => boolean;
}

const TIMER_KINDS: Readonly<Record<number, string>> = {
  [TIMER.retransmit]: 'retransmit',
  [TIMER.keepalive]: 'keepalive',
  [TIMER.timeWait]: 'time-wait',
  [TIMER.zeroWindowProbe]: 'zero-window-probe',
};

export function socketRow(socket: TrackedSocket, { nowMs, interfaceName, isProbe }: RowContext): SocketRow {
  const { state, family, local, peer, direction, process, attribution, diag, dualStack } = socket;
  const info = state === 'LISTEN' ? undefined : socket.details?.info;
  const knowsAge = socket.sinceBasis === 'kernel';
  const timerKind = TIMER_KINDS[diag.timer];
  return {
    state,
    family,
    local,
    peer,
    direction,
    process,
    attribution,
    ageMs: knowsAge ? Math.round(nowMs - socket.sinceMs) : null,
    ageBasis: knowsAge ? (state === 'TIME-WAIT' ? 'time-wait-timer' : 'last-ack') : null,
    recvQueue: diag.receiveQueue,
    sendQueue: diag.sendQueue,
    timer:
      timerKind === undefined
        ? null
        : { kind: timerKind, expiresMs: diag.expiresMs, retransmits: diag.retransmits },
    rttUs: info?.rttUs ?? null,
    retransmits: info?.retransmits ?? null,
    lastDataReceivedMs: info?.lastDataReceivedMs ?? null,
    lastDataSentMs: info?.lastDataSentMs ?? null,
    lastAckReceivedMs: info?.lastAckReceivedMs ?? null,
    bytesReceived: info?.bytesReceived ?? null,
    bytesAcked: info?.bytesAcked ?? null,
    uid: diag.uid,
    inode: diag.inode,
    interface: diag.interfaceIndex === 0 ? null : interfaceName(diag.interfaceIndex),
    dualStack,
    own: isProbe(peer.address) || (process?.name.startsWith('finwait') ?? false),
  };
}

/** The rows that pass every filter given; several values of one filter widen it. */
export function selectSockets(rows: readonly SocketRow[], settings: SocketsSettings): SocketRow[] {
  const { process, address, port, localPort, peerPort, minAge, own, notOwn, ipv4, ipv6 } = settings;
  const states = new Set(selectedStates(settings));
  return rows.filter(
    (row) =>
      states.has(row.state) &&
      (ipv4 === ipv6 || row.family === (ipv4 ? 4 : 6)) &&
      (own === notOwn || row.own === own) &&
      (minAge === 0 || (row.ageMs ?? -1) >= minAge) &&
      passes(process, (filter) => isProcess(row.process, filter)) &&
      passes(address, ({ matches }) => matches(row.local.address) || matches(row.peer.address)) &&
      passes(port, (each) => each === row.local.port || each === row.peer.port) &&
      passes(localPort, (each) => each === row.local.port) &&
      passes(peerPort, (each) => each === row.peer.port),
  );
}

function selectedStates({ listening, state }: SocketsSettings): readonly TcpStateName[] {
  if (listening) return ['LISTEN'];
  return state.length > 0 ? state : TCP_STATES.filter((each) => each !== 'LISTEN');
}

function isProcess(process: ProcessRef | null, filter: string): boolean {
  if (process === null) return filter === 'unknown';
  return /^\d+$/.test(filter)
    ? process.pid === Number(filter)
    : process.name.toLowerCase().includes(filter.toLowerCase());
}

const SOCKET_SORTS: Readonly<Record<Exclude<SocketSortKey, 'count'>, (row: SocketRow) => SortValue>> = {
  state: (row) => TCP_STATES.indexOf(row.state),
  age: (row) => descending(row.ageMs),
  process: (row) => processSortValue(row.process),
  peer: (row) => sortableEnd(row.peer),
  local: (row) => sortableEnd(row.local),
  'recv-q': (row) => descending(row.recvQueue),
  'send-q': (row) => descending(row.sendQueue),
  rtt: (row) => descending(row.rttUs),
  retransmits: (row) => descending(row.retransmits),
};

const GROUP_SORTS: Readonly<Partial<Record<SocketSortKey, (group: SocketGroup) => SortValue>>> = {
  count: (group) => descending(group.count),
  age: (group) => descending(group.ageMs),
  process: (group) => processSortValue(group.process),
  peer: (group) =>
    group.peer === null ? undefined : sortableEnd({ address: group.peer, port: group.port ?? 0 }),
  state: (group) => TCP_STATES.findIndex((state) => group.states[state] !== undefined),
  'recv-q': (group) => descending(group.recvQueue),
};

export const GROUP_SORT_KEYS = Object.keys(GROUP_SORTS) as readonly SocketSortKey[];

/** Largest first: negated, so that one ascending order serves all keys. */
function descending(value: number | null): number | undefined {
  return value === null ? undefined : -value;
}

function processSortValue(process: ProcessRef | null): string | undefined {
  return process === null ? undefined : `${process.name} ${String(process.pid).padStart(10, '0')}`;
}

/** Without a key: by state, the oldest of each first. */
export function sortSockets(
  rows: readonly SocketRow[],
  key: Exclude<SocketSortKey, 'count'> | undefined,
  reverse: boolean,
): readonly SocketRow[] {
  if (key !== undefined) return sorted(rows, SOCKET_SORTS[key], reverse);
  return sorted(sorted(rows, SOCKET_SORTS.age, reverse), SOCKET_SORTS.state, reverse);
}

/** Without a key: the largest group first. */
export function sortGroups(
  groups: readonly SocketGroup[],
  key: SocketSortKey | undefined,
  reverse: boolean,
): readonly SocketGroup[] {
  const sortValue = GROUP_SORTS[key ?? 'count'];
  return sortValue === undefined ? groups : sorted(groups, sortValue, reverse);
}

type GroupKey = Pick<SocketGroup, 'process' | 'attribution' | 'direction' | 'peer' | 'port'>;

export function groupSockets(rows: readonly SocketRow[], by: SocketGrouping): SocketGroup[] {
  const members = new Map<string, SocketRow[]>();
  for (const row of rows) {
    const key = by === 'state' ? row.state : by === 'process' ? `${row.process?.pid}` : destinationOf(row);
    const group = members.get(key);
    if (group === undefined) members.set(key, [row]);
    else group.push(row);
  }
  return [...members.values()].map((group) => groupOf(group, by));
}

function destinationOf(row: SocketRow): string {
  return `${row.direction} ${row.peer.address} ${servicePort(row)}`;
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
    states,
    ageMs: oldest.ageMs,
    ageBasis: oldest.ageBasis,
    recvQueue: rows.reduce((sum, row) => sum + (row.state === 'LISTEN' ? 0 : row.recvQueue), 0),
  };
}

const NO_KEY: GroupKey = { process: null, attribution: 'unknown', direction: null, peer: null, port: null };

function groupKey(rows: readonly SocketRow[], by: SocketGrouping): GroupKey {
  const [first] = rows;
  if (first === undefined || by === 'state') return NO_KEY;
  if (by === 'process') {
    const certain = rows.find((row) => row.attribution !== 'listener') ?? first;
    return { ...NO_KEY, process: first.process, attribution: certain.attribution };
  }
  return { ...NO_KEY, direction: first.direction, peer: first.peer.address, port: servicePort(first) };
}
