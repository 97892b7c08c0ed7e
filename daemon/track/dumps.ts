/** Reads of the kernel's tables, each through a netlink socket of its own that is closed again. */

import { EINVAL, ENOENT, EOPNOTSUPP } from '../kernel/libc.ts';
import type { OnDatagram } from '../kernel/netlink-events.ts';
import type { NetlinkCounters } from '../kernel/netlink-socket.ts';
import { NetlinkError, NetlinkSocket } from '../kernel/netlink-socket.ts';
import { Routing } from '../kernel/routing.ts';
import type { ConntrackCpuStats } from '../netlink/conntrack-stats.ts';
import { decodeCpuStats, encodeStatsDump } from '../netlink/conntrack-stats.ts';
import { encodeFlowDump, NETLINK_NETFILTER } from '../netlink/ctnetlink.ts';
import type { DiagExtras } from '../netlink/inet-diag.ts';
import { ALL_STATES, encodeDiagDump, encodeDiagDumpOfBoth, NETLINK_SOCK_DIAG } from '../netlink/inet-diag.ts';
import { readingConntrack, readingSockets } from './refusals.ts';

/** What a dump of sockets is asked for. */
export interface SocketQuestion extends DiagExtras {
  /** Bit mask of `1 << KERNEL_STATE.X`; absent: every state. */
  readonly states?: number;
}

/** Hands over the payload of each message of a dump, a view that lives until the next. */
export type OnPayload = (payload: Uint8Array) => void;

/**
 * Every TCP socket of this network namespace, of both families.
 * @param faults what the netlink socket had to drop is added here
 * @param between is called before each part of the table is waited for
 * @throws FinwaitError SOCK_DIAG_DENIED, SOCK_DIAG_MISSING, NETLINK_FAILED
 */
export function dumpSockets(
  onSocket: OnDatagram,
  faults: NetlinkCounters,
  question: SocketQuestion = {},
  between = () => {},
): void {
  readingSockets(() =>
    withSocket(NETLINK_SOCK_DIAG, faults, (socket) => dumpSocketsOf(socket, onSocket, question, between)),
  );
}

/** Answers of a kernel that does not know the older form of the request. */
const UNKNOWN_REQUEST: ReadonlySet<number> = new Set([EINVAL, ENOENT, EOPNOTSUPP]);

/**
 * The same for the network namespace that the netlink socket was made in. Each dump walks the table of the whole
 * machine, so both families are asked for in one where that is possible.
 * @throws NetlinkError
 */
export function dumpSocketsOf(
  socket: NetlinkSocket,
  onSocket: OnDatagram,
  question: SocketQuestion = {},
  between = () => {},
): void {
  const { states = ALL_STATES } = question;
  const encode = (seq: number) => encodeDiagDumpOfBoth(seq, states, question);
  try {
    socket.dump(encode, 'dump the TCP sockets', onSocket, between);
  } catch (error) {
    if (!(error instanceof NetlinkError) || !UNKNOWN_REQUEST.has(error.errno)) throw error;
    for (const family of [4, 6] as const) {
      const encodeOne = (seq: number) => encodeDiagDump(seq, family, states, question);
      socket.dump(encodeOne, `dump the IPv${family} TCP sockets`, onSocket, between);
    }
  }
}

/**
 * Every flow of this network namespace, of every protocol.
 * @param faults what the netlink socket had to drop is added here
 * @throws FinwaitError CONNTRACK_DENIED, CONNTRACK_MISSING, NETLINK_FAILED
 */
export function dumpFlows(onFlow: OnPayload, faults: NetlinkCounters): void {
  readingConntrack(() =>
    withSocket(NETLINK_NETFILTER, faults, (socket) => {
      socket.request(encodeFlowDump, 'dump the conntrack flows', (message) => onFlow(message.payload));
    }),
  );
}

/** The names of the devices of this network namespace by their index; empty where they may not be asked for. */
export function deviceNames(): ReadonlyMap<number, string> {
  try {
    using routing = new Routing();
    return new Map(routing.links().map(({ index, name }) => [index, name]));
  } catch (error) {
    if (error instanceof NetlinkError) return new Map();
    throw error;
  }
}

/**
 * The same row by row, without making anything for a row.
 * @param between is called before each part of the table is waited for
 * @throws FinwaitError CONNTRACK_DENIED, CONNTRACK_MISSING, NETLINK_FAILED
 */
export function dumpFlowRows(onFlow: OnDatagram, between: () => void, faults: NetlinkCounters): void {
  readingConntrack(() =>
    withSocket(NETLINK_NETFILTER, faults, (socket) => {
      socket.dump(encodeFlowDump, 'dump the conntrack flows', onFlow, between);
    }),
  );
}

/**
 * What each processor counts of conntrack.
 * @throws FinwaitError CONNTRACK_DENIED, CONNTRACK_MISSING, NETLINK_FAILED
 */
export function dumpConntrackStats(faults: NetlinkCounters): ConntrackCpuStats[] {
  const all: ConntrackCpuStats[] = [];
  readingConntrack(() =>
    withSocket(NETLINK_NETFILTER, faults, (socket) => {
      socket.request(encodeStatsDump, 'read the statistics of conntrack', ({ payload }) => {
        const stats = decodeCpuStats(payload);
        if (stats.ok) all.push(stats.value);
        else faults.undecodable++;
      });
    }),
  );
  return all;
}

function withSocket(protocol: number, faults: NetlinkCounters, use: (socket: NetlinkSocket) => void): void {
  using socket = NetlinkSocket.open(protocol, faults);
  use(socket);
}
