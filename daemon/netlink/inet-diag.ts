/**
 * Requests about the kernel's TCP sockets, and what its answers (`DiagRecord`) are made of. Ports and addresses are
 * big-endian, all else is in host order (little-endian).
 * linux/inet_diag.h, linux/tcp.h
 */

import { encodeMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, viewOf } from './message.ts';

export const NETLINK_SOCK_DIAG = 4;
/** SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY: a message for each socket that is let go. linux/sock_diag.h */
export const SOCKET_END_GROUPS = [1, 3] as const;
const SOCK_DIAG_BY_FAMILY = 20;
const TCPDIAG_GETSOCK = 18;
const SOCK_DESTROY = 21;

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;

/** Numbers of the states, net/tcp_states.h. */
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
const INET_DIAG_INFO = 2;
const INET_DIAG_CONG = 4;
const INET_DIAG_SKMEMINFO = 7;

/** What `idiag_timer` says is running. */
export const TIMER = { none: 0, retransmit: 1, keepalive: 2, timeWait: 3, zeroWindowProbe: 4 } as const;

/** What a socket does not take part in any more; a peer's FIN ends receiving. */
export const SHUTDOWN = { receive: 1, send: 2 } as const;

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

/** What the kernel adds when it is asked to, as objects: for who shows single sockets. */
export interface DiagDetails {
  readonly info?: TcpInfo;
  readonly memory?: SocketMemory;
  /** The congestion control's name. */
  readonly congestion?: string;
}

/**
 * The part of `struct tcp_info` that finwait shows. Older kernels send a shorter one, which lacks the last fields.
 * Times are how long ago something was, in milliseconds.
 */
export interface TcpInfo {
  /** Absent where there was none: before the handshake. */
  readonly lastDataSentMs?: number;
  readonly lastDataReceivedMs?: number;
  readonly lastAckReceivedMs?: number;
  /** Smoothed, in microseconds; 0 when it was never measured. */
  readonly rttUs: number;
  /** Segments retransmitted over the connection's life. */
  readonly retransmits: number;
  /** Since Linux 4.2. */
  readonly bytesAcked?: number;
  readonly bytesReceived?: number;
  readonly transmission: TcpTransmission;
}

/** How the connection sends; windows and thresholds in segments, rates in bytes a second. */
export interface TcpTransmission {
  readonly rttVarUs: number;
  readonly rtoMs: number;
  /** Doublings of the retransmission timeout since the last progress. */
  readonly backoff: number;
  readonly mss: number;
  readonly pathMtu: number;
  readonly congestionWindow: number;
  /** Null while none is set. */
  readonly slowStartThreshold: number | null;
  /** Segments sent and not acknowledged; of these thought lost. */
  readonly unacknowledged: number;
  readonly lost: number;
  /** Since Linux 4.2. */
  readonly pacingRate?: number;
  /** Since Linux 4.2. */
  readonly segmentsSent?: number;
  readonly segmentsReceived?: number;
  /** Since Linux 4.6. */
  readonly bytesNotSent?: number;
  readonly minRttUs?: number;
  /** Since Linux 4.9. */
  readonly deliveryRate?: number;
  /** Since Linux 4.19. */
  readonly bytesSent?: number;
  readonly bytesRetransmitted?: number;
  /** What the peer says it has room for, in bytes. Since Linux 5.4. */
  readonly peerWindow?: number;
}

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
