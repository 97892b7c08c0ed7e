/**
 * The kernel's TCP sockets: a dump request and its answers. Ports and addresses are big-endian, all else is in
 * host order (little-endian).
 * linux/inet_diag.h, linux/tcp.h; net/ipv4/inet_diag.c tells which fields a TIME-WAIT socket has.
 */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import {
  decodeCString,
  encodeMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  viewOf,
  walkAttributes,
} from './message.ts';

export const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const TCPDIAG_GETSOCK = 18;
const SOCK_DESTROY = 21;

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
const OLD_REQUEST_BYTES = 60;
const MESSAGE_BYTES = 72;
const INET_DIAG_INFO = 2;
const INET_DIAG_CONG = 4;
const INET_DIAG_SKMEMINFO = 7;
const INET_DIAG_SHUTDOWN = 8;
const INET_DIAG_SKV6ONLY = 11;
const INET_DIAG_CGROUP_ID = 21;
const INET_DIAG_SOCKOPT = 22;

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

/**
 * What the kernel adds only when it is asked to, and at a price. All else that finwait uses (shutdown, control group,
 * options) comes by itself.
 */
export interface DiagExtras {
  readonly memory?: boolean;
  readonly congestion?: boolean;
}

function extensions({ memory = false, congestion = false }: DiagExtras): number {
  const asked = [
    INET_DIAG_INFO,
    ...(memory ? [INET_DIAG_SKMEMINFO] : []),
    ...(congestion ? [INET_DIAG_CONG] : []),
  ];
  return asked.reduce((mask, extension) => mask | (1 << (extension - 1)), 0);
}

/**
 * A dump request for TCP sockets of both families in one walk of the kernel's table: the older form of the request,
 * which every kernel takes that has inet_diag at all.
 * @param states bit mask of `1 << KERNEL_STATE.X`
 */
export function encodeDiagDumpOfBoth(seq: number, states: number, extras: DiagExtras = {}): Uint8Array {
  const request = new Uint8Array(OLD_REQUEST_BYTES);
  request[0] = AF_INET;
  request[3] = extensions(extras);
  viewOf(request).setUint32(52, states, true);
  return encodeMessage(TCPDIAG_GETSOCK, NLM_F_REQUEST | NLM_F_DUMP, seq, request);
}

/** Which socket is meant, for requests about a single one. */
export interface DiagSocketId {
  readonly localPort: number;
  readonly remotePort: number;
  /** 4 or 16 bytes, both of the same length. */
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
  readonly interfaceIndex: number;
  readonly cookie: number;
}

/** Asks the kernel to abort a socket (since Linux 4.9, where CONFIG_INET_DIAG_DESTROY is set), and for an answer. */
export function encodeSocketDestroy(seq: number, id: DiagSocketId): Uint8Array {
  const request = new Uint8Array(REQUEST_BYTES);
  const view = viewOf(request);
  request[0] = id.local.length === 4 ? AF_INET : AF_INET6;
  request[1] = IPPROTO_TCP;
  view.setUint32(4, ALL_STATES, true);
  view.setUint16(8, id.localPort);
  view.setUint16(10, id.remotePort);
  request.set(id.local, 12);
  request.set(id.remote, 28);
  view.setUint32(44, id.interfaceIndex, true);
  view.setUint32(48, id.cookie % 2 ** 32, true);
  view.setUint32(52, Math.floor(id.cookie / 2 ** 32), true);
  return encodeMessage(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, seq, request);
}

/** A dump request for TCP sockets of one family. @param states bit mask of `1 << KERNEL_STATE.X` */
export function encodeDiagDump(
  seq: number,
  family: 4 | 6,
  states: number,
  extras: DiagExtras = {},
): Uint8Array {
  const request = new Uint8Array(REQUEST_BYTES);
  request[0] = family === 4 ? AF_INET : AF_INET6;
  request[1] = IPPROTO_TCP;
  request[2] = extensions(extras);
  viewOf(request).setUint32(4, states, true);
  return encodeMessage(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, seq, request);
}

/**
 * One socket of a dump. The kernel itself writes SYN_RECV for its request sockets (NEW_SYN_RECV).
 * @param view of the payload, for who decodes many and needs it again
 */
export function decodeDiagSocket(payload: Uint8Array, view = viewOf(payload)): Decoded<DiagSocket> {
  if (payload.length < MESSAGE_BYTES) return undecodable('shorter than inet_diag_msg');
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
  const start = end === 'local' ? 8 : 24;
  return payload.subarray(start, start + (payload[0] === AF_INET ? 4 : 16));
}

/** What the attributes of a message tell, as far as finwait uses them. */
export interface DiagDetails {
  /** Only of IPv6 sockets: an IPv6 listener without it takes IPv4 connections as well. */
  readonly v6Only?: boolean;
  readonly info?: TcpInfo;
  /** Bits of `SHUTDOWN`. */
  readonly shutdown?: number;
  /** Id of the control group (version 2) the socket was made in, which is the inode of its folder. Since Linux 5.8. */
  readonly cgroupId?: number;
  /** IP_BIND_ADDRESS_NO_PORT, without which a bind() before connect() takes the port for all destinations. Since Linux 5.10. */
  readonly bindAddressNoPort?: boolean;
  readonly memory?: SocketMemory;
  /** The congestion control's name. */
  readonly congestion?: string;
}

/** What a socket does not take part in any more; a peer's FIN ends receiving. */
export const SHUTDOWN = { receive: 1, send: 2 } as const;

/** `SK_MEMINFO_*`, in bytes: what the socket has taken and may take, and how often it had to drop for want of it. */
export interface SocketMemory {
  readonly receive: number;
  readonly receiveLimit: number;
  readonly send: number;
  readonly sendLimit: number;
  /** Taken in advance. */
  readonly forward: number;
  readonly queued: number;
  readonly options: number;
  /** Segments that came while the program worked on the socket. */
  readonly backlog: number;
  readonly drops: number;
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
export function decodeDiagDetails(payload: Uint8Array, view = viewOf(payload)): Decoded<DiagDetails> {
  const details: { -readonly [Field in keyof DiagDetails]: DiagDetails[Field] } = {};
  const whole = walkAttributes(view, MESSAGE_BYTES, payload.length, (type, start, end) => {
    const length = end - start;
    if (type === INET_DIAG_INFO && length >= INFO_BYTES) details.info = tcpInfo(view, start, end);
    else if (type === INET_DIAG_SKV6ONLY && length >= 1) details.v6Only = view.getUint8(start) !== 0;
    else if (type === INET_DIAG_SHUTDOWN && length >= 1) details.shutdown = view.getUint8(start);
    else if (type === INET_DIAG_CGROUP_ID && length >= 8) {
      details.cgroupId = view.getUint32(start, true) + view.getUint32(start + 4, true) * 2 ** 32;
    } else if (type === INET_DIAG_SOCKOPT && length >= 2) {
      details.bindAddressNoPort = (view.getUint8(start + 1) & 1) !== 0;
    } else if (type === INET_DIAG_SKMEMINFO && length >= MEMORY_BYTES)
      details.memory = memory(view, start, end);
    else if (type === INET_DIAG_CONG) details.congestion = decodeCString(payload.subarray(start, end));
  });
  return whole ? decoded(details) : undecodable('attribute length out of bounds');
}

/** Length of `tcp_info` up to `tcpi_total_retrans`: what every kernel since 2.6 sends. */
const INFO_BYTES = 104;
const INFO_BYTES_WITH_TOTALS = 136;

/** Length of SKMEMINFO up to the backlog; the drops came with Linux 4.7. */
const MEMORY_BYTES = 32;

function memory(view: DataView, start: number, end: number): SocketMemory {
  const u32 = (index: number) => view.getUint32(start + 4 * index, true);
  return {
    receive: u32(0),
    receiveLimit: u32(1),
    send: u32(2),
    sendLimit: u32(3),
    forward: u32(4),
    queued: u32(5),
    options: u32(6),
    backlog: u32(7),
    drops: end - start > MEMORY_BYTES ? u32(8) : 0,
  };
}

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
