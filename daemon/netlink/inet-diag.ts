/**
 * The kernel's TCP sockets: a dump request and its answers. Ports and addresses are big-endian, all else is in
 * host order (little-endian).
 * linux/inet_diag.h, linux/tcp.h; net/ipv4/inet_diag.c tells which fields a TIME-WAIT socket has.
 */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import { encodeMessage, NLM_F_DUMP, NLM_F_REQUEST, viewOf, walkAttributes } from './message.ts';

export const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;

/** Numbers of the states, net/tcp_states.h. NEW_SYN_RECV is shown as SYN_RECV; see `decodeDiagSocket`. */
export const KERNEL_STATE = {
  ESTABLISHED: 1,
  SYN_SENT: 2,
  SYN_RECV: 3,
  FIN_WAIT1: 4,
  FIN_WAIT2: 5,
  TIME_WAIT: 6,
  CLOSE: 7,
  CLOSE_WAIT: 8,
  LAST_ACK: 9,
  LISTEN: 10,
  CLOSING: 11,
} as const;

/** A dump of every state. */
export const ALL_STATES = 0xfff;

const REQUEST_BYTES = 56;
const MESSAGE_BYTES = 72;
const INET_DIAG_INFO = 2;
const INET_DIAG_SKV6ONLY = 11;

/** What `idiag_timer` says is running. */
export const TIMER = { none: 0, retransmit: 1, keepalive: 2, timeWait: 3, zeroWindowProbe: 4 } as const;

/**
 * `struct inet_diag_msg`. In LISTEN the receive queue counts connections waiting to be accepted and the send
 * queue is the backlog. A TIME-WAIT socket, and one that waits in SYN-RECEIVED or in an accept queue, has no inode.
 */
export interface DiagSocket {
  /** Of the socket, not of its packets: an AF_INET6 socket may speak IPv4 through v4-mapped addresses. */
  readonly family: 4 | 6;
  readonly state: number;
  readonly timer: number;
  readonly retransmits: number;
  /** When the timer fires. In TIME-WAIT: how long the socket stays. */
  readonly expiresMs: number;
  readonly localPort: number;
  readonly remotePort: number;
  readonly interfaceIndex: number;
  /** The kernel's number for this socket; the one that takes its place in TIME-WAIT has another. */
  readonly cookie: number;
  readonly receiveQueue: number;
  readonly sendQueue: number;
  readonly uid: number;
  readonly inode: number;
}

/** Where things lie in the payload, for keys and addresses that are made only when they are needed. */
export const DIAG_FIELDS = {
  /** Ports, addresses and interface: what tells connections apart. */
  tuple: [4, 44],
  /** The tuple and the cookie: what tells listeners apart that share an address (SO_REUSEPORT). */
  tupleAndCookie: [4, 52],
  local: [8, 24],
  remote: [24, 40],
} as const;

/** A dump request for TCP sockets of one family. @param states bit mask of `1 << KERNEL_STATE.X` */
export function encodeDiagDump(seq: number, family: 4 | 6, states: number): Uint8Array {
  const request = new Uint8Array(REQUEST_BYTES);
  request[0] = family === 4 ? AF_INET : AF_INET6;
  request[1] = IPPROTO_TCP;
  request[2] = 1 << (INET_DIAG_INFO - 1);
  viewOf(request).setUint32(4, states, true);
  return encodeMessage(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, seq, request);
}

/** One socket of a dump. The kernel itself writes SYN_RECV for its request sockets (NEW_SYN_RECV). */
export function decodeDiagSocket(payload: Uint8Array): Decoded<DiagSocket> {
  if (payload.length < MESSAGE_BYTES) return undecodable('shorter than inet_diag_msg');
  const view = viewOf(payload);
  const family = view.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) return undecodable('neither IPv4 nor IPv6');
  return decoded({
    family: family === AF_INET ? 4 : 6,
    state: view.getUint8(1),
    timer: view.getUint8(2),
    retransmits: view.getUint8(3),
    localPort: view.getUint16(4),
    remotePort: view.getUint16(6),
    interfaceIndex: view.getUint32(40, true),
    cookie: view.getUint32(44, true) + view.getUint32(48, true) * 2 ** 32,
    expiresMs: view.getUint32(52, true),
    receiveQueue: view.getUint32(56, true),
    sendQueue: view.getUint32(60, true),
    uid: view.getUint32(64, true),
    inode: view.getUint32(68, true),
  });
}

/** The bytes of an address of a message that `decodeDiagSocket` accepted: 4 or 16, a view. */
export function diagAddress(payload: Uint8Array, end: 'local' | 'remote'): Uint8Array {
  const [start, stop] = DIAG_FIELDS[end];
  return payload.subarray(start, payload[0] === AF_INET ? start + 4 : stop);
}

/** What the attributes of a message tell, as far as finwait uses them. */
export interface DiagDetails {
  /** Only of IPv6 sockets: an IPv6 listener without it takes IPv4 connections as well. */
  readonly v6Only?: boolean;
  readonly info?: TcpInfo;
}

/**
 * The part of `struct tcp_info` that finwait uses. Older kernels send a shorter one, which lacks the last fields.
 * Times are how long ago something was, in milliseconds.
 */
export interface TcpInfo {
  readonly lastDataSentMs: number;
  readonly lastDataReceivedMs: number;
  readonly lastAckReceivedMs: number;
  /** Smoothed, in microseconds; 0 when it was never measured. */
  readonly rttUs: number;
  readonly rttVarUs: number;
  /** Segments retransmitted over the connection's life. */
  readonly retransmits: number;
  /** Since Linux 4.2. */
  readonly bytesAcked?: number;
  readonly bytesReceived?: number;
}

/** The attributes of a message that `decodeDiagSocket` accepted. */
export function decodeDiagDetails(payload: Uint8Array): Decoded<DiagDetails> {
  const view = viewOf(payload);
  const details: { v6Only?: boolean; info?: TcpInfo } = {};
  const whole = walkAttributes(view, MESSAGE_BYTES, payload.length, (type, start, end) => {
    if (type === INET_DIAG_INFO && end - start >= INFO_BYTES) details.info = tcpInfo(view, start, end);
    if (type === INET_DIAG_SKV6ONLY && end > start) details.v6Only = view.getUint8(start) !== 0;
  });
  return whole ? decoded(details) : undecodable('attribute length out of bounds');
}

/** Length of `tcp_info` up to `tcpi_total_retrans`: what every kernel since 2.6 sends. */
const INFO_BYTES = 104;
const INFO_BYTES_WITH_TOTALS = 136;

function tcpInfo(view: DataView, start: number, end: number): TcpInfo {
  const u32 = (offset: number) => view.getUint32(start + offset, true);
  const u64 = (offset: number) => u32(offset) + u32(offset + 4) * 2 ** 32;
  return {
    lastDataSentMs: u32(44),
    lastDataReceivedMs: u32(52),
    lastAckReceivedMs: u32(56),
    rttUs: u32(68),
    rttVarUs: u32(72),
    retransmits: u32(100),
    ...(end - start >= INFO_BYTES_WITH_TOTALS ? { bytesAcked: u64(120), bytesReceived: u64(128) } : {}),
  };
}
