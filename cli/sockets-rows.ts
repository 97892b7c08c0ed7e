/** The rows of `finwait sockets` as `--json` prints them: taken from the table, selected, ordered, grouped. Pure. */

import type { Endpoint, Family, Holder, PodRef, ProcessRef, TcpStateName } from '#contract';
import { TCP_STATES } from '#contract';
import type { SocketMemory, TcpTransmission } from '../daemon/netlink/inet-diag.ts';
import { SHUTDOWN, TIMER } from '../daemon/netlink/inet-diag.ts';
import type { QueueTrend } from '../daemon/track/socket-record.ts';
import type { TrackedSocket } from '../daemon/track/socket-table.ts';
import { isPod } from './pod-names.ts';
import type { SocketRowKey, SocketsSettings } from './sockets-settings.ts';
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
  /** The pod of the socket, by its control group, its process, or the network namespace it is in. */
  readonly pod: PodRef | null;
  readonly podBy: NonNullable<Holder['podBy']> | null;
  /** NAMESPACE/NAME, where the kubelet's folders tell. */
  readonly podName: string | null;
  /** Inode of its network namespace. */
  readonly netns: number;
  /** Time in this state; at least so long but for the timer of TIME-WAIT. */
  readonly ageMs: number | null;
  readonly ageBasis: 'time-wait-timer' | 'last-ack' | 'seen' | null;
  /** Bytes; of a listener the connections that wait to be accepted. */
  readonly recvQueue: number;
  /** Bytes; of a listener its backlog. */
  readonly sendQueue: number;
  /** How the receive queue last changed while it was watched; null in one look. */
  readonly queueTrend: QueueTrend | null;
  readonly timer: { readonly kind: string; readonly expiresMs: number; readonly retransmits: number } | null;
  readonly rttUs: number | null;
  readonly retransmits: number | null;
  readonly lastDataReceivedMs: number | null;
  readonly lastDataSentMs: number | null;
  readonly lastAckReceivedMs: number | null;
  readonly bytesReceived: number | null;
  readonly bytesAcked: number | null;
  /** Which half does not take part any more: a peer's FIN ends receiving. */
  readonly shutdown: 'receive' | 'send' | 'both' | null;
  /** What the kernel has taken for it, in bytes. */
  readonly memory: SocketMemory | null;
  /** How it sends: round-trip times, windows, rates. */
  readonly transmission: TcpTransmission | null;
  /** Name of its congestion control. */
  readonly congestion: string | null;
  /** False: a bind() before its connect() took the port for all destinations. */
  readonly bindAddressNoPort: boolean | null;
  readonly uid: number;
  /** 0 when no process holds the socket: in TIME-WAIT, orphaned, or not accepted yet. */
  readonly inode: number;
  /** The kernel's own number for it, hexadecimal, as ss shows it behind `sk:`. */
  readonly cookie: string;
  /** The device the socket is bound to. */
  readonly interface: string | null;
  /** A listener on IPv6 that takes IPv4 connections as well. */
  readonly dualStack: boolean;
  /** It is finwait's own program, or the other end of one of its probes. */
  readonly own: boolean;
}

/** What a row needs of its surroundings. */
export interface RowContext {
  readonly nowMs: number;
  /** Whether the sockets have been read more than once. */
  readonly followed: boolean;
  readonly namespace: { readonly inode: number; readonly pod: PodRef | undefined };
  readonly interfaceName: (index: number) => string;
  /** NAMESPACE/NAME by UID. */
  readonly podNames: ReadonlyMap<string, string>;
  /** Whether an address is one of finwait's probes. */
  readonly isProbe: (address: string) => boolean;
}

const TIMER_KINDS: Readonly<Record<number, string>> = {
  [TIMER.retransmit]: 'retransmit',
  [TIMER.keepalive]: 'keepalive',
  [TIMER.timeWait]: 'time-wait',
  [TIMER.zeroWindowProbe]: 'zero-window-probe',
};

export function socketRow(socket: TrackedSocket, context: RowContext): SocketRow {
  const { nowMs, followed, namespace, interfaceName, isProbe, podNames } = context;
  const { state, family, local, peer, direction, process, attribution, diag, dualStack } = socket;
  const info = state === 'LISTEN' ? undefined : socket.details?.info;
  const ageBasis = ageBasisOf(socket, followed);
  const pod = socket.pod ?? namespace.pod ?? null;
  const timerKind = TIMER_KINDS[diag.timer];
  return {
    state,
    family,
    local,
    peer,
    direction,
    process,
    attribution,
    pod,
    podBy: pod === null ? null : (socket.podBy ?? 'namespace'),
    podName: (pod && podNames.get(pod.uid)) ?? null,
    netns: namespace.inode,
    ageMs: ageBasis === null ? null : Math.round(nowMs - socket.sinceMs),
    ageBasis,
    recvQueue: diag.receiveQueue,
    sendQueue: diag.sendQueue,
    queueTrend: followed ? socket.queue : null,
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
    shutdown: SHUTDOWNS[socket.shutdown ?? 0] ?? null,
    memory: socket.details?.memory ?? null,
    transmission: info?.transmission ?? null,
    congestion: socket.details?.congestion ?? null,
    bindAddressNoPort: socket.bindAddressNoPort ?? null,
    uid: diag.uid,
    inode: diag.inode,
    cookie: diag.cookie.toString(16),
    interface: diag.interfaceIndex === 0 ? null : interfaceName(diag.interfaceIndex),
    dualStack,
    own: isProbe(peer.address) || (process?.name.startsWith('finwait') ?? false),
  };
}

const SHUTDOWNS: Readonly<Record<number, 'receive' | 'send' | 'both'>> = {
  [SHUTDOWN.receive]: 'receive',
  [SHUTDOWN.send]: 'send',
  [SHUTDOWN.receive | SHUTDOWN.send]: 'both',
};

function ageBasisOf({ sinceBasis, state }: TrackedSocket, followed: boolean): SocketRow['ageBasis'] {
  if (sinceBasis === 'seen') return followed ? 'seen' : null;
  return state === 'TIME-WAIT' ? 'time-wait-timer' : 'last-ack';
}

type Filters = Omit<SocketsSettings, 'by' | 'sort'>;

/** Filters that ask whose a socket is, all off. */
export const ANYBODYS = { process: [], pod: [], own: false, notOwn: false } as const;

/** The rows that pass every filter given; several values of one filter widen it. */
export function selectSockets(rows: readonly SocketRow[], settings: Filters): SocketRow[] {
  const { process, pod, address, local, peer, port, localPort, peerPort, minAge, own, notOwn, ipv4, ipv6 } =
    settings;
  const states = new Set(selectedStates(settings));
  return rows.filter(
    (row) =>
      states.has(row.state) &&
      (ipv4 === ipv6 || row.family === (ipv4 ? 4 : 6)) &&
      (own === notOwn || row.own === own) &&
      (minAge === 0 || (row.ageMs ?? -1) >= minAge) &&
      passes(process, (filter) => isProcess(row.process, filter)) &&
      passes(pod, (filter) => isPod(row.pod, row.podName, filter)) &&
      passes(address, ({ matches }) => matches(row.local.address) || matches(row.peer.address)) &&
      passes(local, ({ matches }) => matches(row.local.address)) &&
      passes(peer, ({ matches }) => matches(row.peer.address)) &&
      passes(port, (each) => each === row.local.port || each === row.peer.port) &&
      passes(localPort, (each) => each === row.local.port) &&
      passes(peerPort, (each) => each === row.peer.port),
  );
}

export function selectedStates({
  listening,
  state,
  exclude,
}: Pick<Filters, 'listening' | 'state' | 'exclude'>): readonly TcpStateName[] {
  if (listening) return ['LISTEN'];
  const chosen = state.length > 0 ? state : TCP_STATES.filter((each) => each !== 'LISTEN');
  return chosen.filter((each) => !exclude.includes(each));
}

export function isProcess(process: ProcessRef | null, filter: string): boolean {
  if (process === null) return filter === 'unknown';
  return /^\d+$/.test(filter)
    ? process.pid === Number(filter)
    : process.name.toLowerCase().includes(filter.toLowerCase());
}

const SOCKET_SORTS: Readonly<Record<SocketRowKey, (row: SocketRow) => SortValue>> = {
  state: (row) => TCP_STATES.indexOf(row.state),
  age: (row) => descending(row.ageMs),
  process: (row) => processSortValue(row.process),
  peer: (row) => sortableEnd(row.peer),
  local: (row) => sortableEnd(row.local),
  'recv-q': (row) => descending(row.recvQueue),
  'send-q': (row) => descending(row.sendQueue),
  pod: ({ podName, pod }) => podName ?? pod?.uid,
  netns: (row) => row.netns,
  timer: (row) => row.timer?.expiresMs,
  rtt: (row) => descending(row.rttUs),
  retransmits: (row) => descending(row.retransmits),
  'last-recv': (row) => descending(row.lastDataReceivedMs),
  'last-sent': (row) => descending(row.lastDataSentMs),
  shutdown: (row) => row.shutdown ?? undefined,
  congestion: (row) => row.congestion ?? undefined,
  rto: ({ transmission }) => descending(transmission?.rtoMs ?? null),
  mss: ({ transmission }) => transmission?.mss,
  cwnd: ({ transmission }) => descending(transmission?.congestionWindow ?? null),
  unacked: ({ transmission }) => descending(transmission?.unacknowledged ?? null),
  rate: ({ transmission }) => descending(transmission?.deliveryRate ?? null),
  memory: ({ memory }) => (memory === null ? undefined : -(memory.receive + memory.send)),
  drops: ({ memory }) => descending(memory?.drops ?? null),
  uid: (row) => row.uid,
  inode: (row) => row.inode,
};

/** Largest first: negated, so that one ascending order serves all keys. */
export function descending(value: number | null): number | undefined {
  return value === null ? undefined : -value;
}

export function processSortValue(process: ProcessRef | null): string | undefined {
  return process === null ? undefined : `${process.name} ${String(process.pid).padStart(10, '0')}`;
}

/** Without a key: by state, the oldest of each first; of listeners those that lost most, then those that are full. */
export function sortSockets(
  rows: readonly SocketRow[],
  key: SocketRowKey | undefined,
  reverse: boolean,
): readonly SocketRow[] {
  if (key !== undefined) return sorted(rows, SOCKET_SORTS[key], reverse);
  const first = (row: SocketRow) => (row.state === 'LISTEN' ? -trouble(row) : descending(row.ageMs));
  return sorted(sorted(rows, first, reverse), SOCKET_SORTS.state, reverse);
}

/** Of a listener: what it has dropped since it listens; a little where its queue is full. */
function trouble(row: SocketRow): number {
  return (row.memory?.drops ?? 0) + (isFull(row) ? 0.5 : 0);
}

/** Whether a listener drops what comes next: the kernel takes one connection more than the backlog says. */
export function isFull({ state, recvQueue, sendQueue }: SocketRow): boolean {
  return state === 'LISTEN' && recvQueue > sendQueue;
}
