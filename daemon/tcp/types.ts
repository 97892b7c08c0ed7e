/**
 * What the TCP engine takes and gives. The engine does no input or output of its own: packets and the time come
 * in as arguments, packets and events go out as values, and `nextDeadlineUs` says when it wants to be called again.
 * Times are microseconds of one monotonic clock.
 */

import type { IpAddress } from '../wire/address.ts';
import type { IcmpError } from '../wire/icmp.ts';
import type { Seq } from '../wire/seq.ts';
import type { TcpFlags } from '../wire/tcp-header.ts';
import type { TcpOptions } from '../wire/tcp-options.ts';
import type { Profile } from './profile.ts';

/** States of RFC 9293 section 3.3.2, and CLOSED, which is the absence of a connection. */
export type StateName =
  | 'CLOSED'
  | 'LISTEN'
  | 'SYN-SENT'
  | 'SYN-RECEIVED'
  | 'ESTABLISHED'
  | 'FIN-WAIT-1'
  | 'FIN-WAIT-2'
  | 'CLOSE-WAIT'
  | 'CLOSING'
  | 'LAST-ACK'
  | 'TIME-WAIT';

/** Names a connection for as long as the stack lives; never reused. */
export type ConnectionId = number & { readonly __brand: 'ConnectionId' };

export interface SocketAddress {
  readonly address: IpAddress;
  readonly port: number;
}

export interface StackOptions {
  /** The engine's own addresses. */
  readonly addresses: readonly IpAddress[];
  /** MTU of the link, bytes. */
  readonly mtu: number;
  /** Source of randomness (ISN secret, ephemeral ports): `length` fresh bytes. */
  readonly random: (length: number) => Uint8Array;
  /** Bound of connections in any state but CLOSED; more are refused. */
  readonly maxConnections?: number;
  /** How segments look and which timers hold. */
  readonly profile?: Profile;
}

export interface ConnectOptions {
  readonly remote: SocketAddress;
  /** Default: the engine's address of that family, and an ephemeral port (RFC 6056). */
  readonly local?: Partial<SocketAddress>;
  /** Give up and answer `timeout` when a segment stays unacknowledged for so long (RFC 5482). Default R2 of RFC 9293 3.8.3. */
  readonly userTimeoutUs?: number;
  /** Type of service / traffic class byte of every packet. */
  readonly trafficClass?: number;
  readonly ttl?: number;
  /** Hold small segments back while others are in flight (RFC 9293 3.7.4). Default false: a probe sends at once. */
  readonly nagle?: boolean;
}

/** Why a call on the engine was not carried out. */
export type EngineErrorReason =
  | 'address-family-unsupported'
  | 'address-not-available'
  | 'address-in-use'
  | 'invalid-remote'
  | 'connection-exists'
  | 'no-ports-left'
  | 'too-many-connections'
  | 'no-such-connection'
  | 'not-connected'
  | 'already-closing';

export type EngineResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: EngineErrorReason };

/** How a connection ended. */
export type EndReason =
  /** Both sides closed and, on the active side, TIME-WAIT is over. */
  | 'closed'
  /** RST in answer to our SYN. */
  | 'refused'
  | 'reset'
  /** R2 or the user timeout. */
  | 'timeout'
  /** We aborted it. */
  | 'aborted'
  /** A hard ICMP error in SYN-SENT. */
  | 'unreachable';

/** A segment as it crossed the wire, with what the engine knows of it. */
export interface SegmentView {
  readonly seq: Seq;
  /** Meaningful with the ACK flag only. */
  readonly ack: Seq;
  readonly flags: TcpFlags;
  /** The header's field, unscaled. */
  readonly window: number;
  readonly options: TcpOptions;
  readonly payloadLength: number;
  /** TTL or hop limit of the packet. */
  readonly ttl: number;
  /** Outgoing: sent before in whole or in part. Incoming: its sequence space was received before. */
  readonly retransmission: boolean;
}

export type StackEvent =
  /** A segment of this connection, in the order they crossed the wire; outgoing ones carry the time of `next`. */
  | {
      readonly kind: 'segment';
      readonly id: ConnectionId;
      readonly direction: 'in' | 'out';
      readonly atUs: number;
      readonly segment: SegmentView;
    }
  | {
      readonly kind: 'state';
      readonly id: ConnectionId;
      readonly from: StateName;
      readonly to: StateName;
      readonly atUs: number;
    }
  /** Data or the end of the stream can be read. */
  | { readonly kind: 'readable'; readonly id: ConnectionId; readonly atUs: number }
  /** Everything handed to `send` so far is acknowledged. */
  | { readonly kind: 'drained'; readonly id: ConnectionId; readonly atUs: number }
  /** An ICMP error that quotes a segment in flight of this connection. */
  | {
      readonly kind: 'icmp';
      readonly id: ConnectionId;
      readonly atUs: number;
      readonly from: IpAddress;
      readonly error: IcmpError;
    }
  /** R1 reached: the connection is in trouble (RFC 9293 3.8.3). */
  | { readonly kind: 'retransmission-warning'; readonly id: ConnectionId; readonly atUs: number }
  /** The connection is gone; the last event of its id. What was not read by then is lost. */
  | { readonly kind: 'ended'; readonly id: ConnectionId; readonly reason: EndReason; readonly atUs: number }
  /** A passive open completed. */
  | {
      readonly kind: 'accepted';
      readonly id: ConnectionId;
      readonly listener: ConnectionId;
      readonly atUs: number;
    }
  /** A segment for one of our addresses that belongs to no connection; it was answered as RFC 9293 3.10.7.1 says. */
  | {
      readonly kind: 'stray';
      readonly atUs: number;
      readonly remote: SocketAddress;
      readonly local: SocketAddress;
      readonly segment: SegmentView;
    };

/** A copy of what the engine knows of a connection, for observers. Names are RFC 9293's. */
export interface TcpInfo {
  readonly state: StateName;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly iss: Seq;
  readonly irs: Seq | undefined;
  readonly sndUna: Seq;
  readonly sndNxt: Seq;
  readonly sndWnd: number;
  readonly rcvNxt: Seq | undefined;
  readonly rcvWnd: number;
  readonly sendMss: number;
  readonly pathMtu: number;
  /** Shift counts in force; undefined when window scaling was not agreed. */
  readonly sndWindShift: number | undefined;
  readonly rcvWindShift: number | undefined;
  readonly timestampsEnabled: boolean;
  readonly sackPermitted: boolean;
  readonly rtoUs: number;
  readonly srttUs: number | undefined;
  readonly rttvarUs: number | undefined;
  /** Octets; undefined while there is nothing to send with. */
  readonly cwnd: number | undefined;
  readonly ssthresh: number | undefined;
  /** Times a segment was sent again: SYN, data and FIN apart. */
  readonly retransmits: { readonly syn: number; readonly data: number; readonly fin: number };
  readonly unsentBytes: number;
  readonly unackedBytes: number;
  readonly unreadBytes: number;
}

/** Totals since the stack was made. Everything that is dropped is counted in one of them. */
export interface StackCounters {
  packetsIn: number;
  packetsOut: number;
  segmentsIn: number;
  segmentsOut: number;
  retransmittedSegments: number;
  resetsSent: number;
  resetsReceived: number;
  challengeAcksSent: number;
  icmpErrorsIn: number;
  echoRepliesSent: number;
  straySegments: number;
  /** Drops by reason: `ip-malformed`, `not-ours`, `checksum`, `tcp-malformed`, `fragment`, `queue-full`, ... */
  dropped: Record<string, number>;
}

/** What the engine holds at a moment; all bounded. */
export interface StackUsage {
  readonly connections: number;
  readonly listeners: number;
  /** Connections with a timer running. */
  readonly timers: number;
  /** Memory of send and receive buffers. */
  readonly bufferBytes: number;
  /** Packets that wait for `next`, as far as they are made already. */
  readonly queuedReplies: number;
}

/** The engine. Every method that can send takes the time; packets wait in the stack until `next` takes them. */
export interface TcpStack {
  connect(options: ConnectOptions, nowUs: number): EngineResult<ConnectionId>;
  listen(
    local: { readonly address?: IpAddress; readonly port: number },
    backlog: number,
  ): EngineResult<ConnectionId>;
  /** Queues data; answers how many bytes the send buffer took. */
  send(id: ConnectionId, data: Uint8Array, nowUs: number): EngineResult<number>;
  /** Takes at most `max` bytes that arrived in order; empty when there are none; `eof` after the peer's FIN. */
  receive(
    id: ConnectionId,
    max: number,
    nowUs: number,
  ): EngineResult<{ readonly data: Uint8Array; readonly eof: boolean }>;
  /** Sends FIN after all queued data: no more will be sent, data still arrives. */
  shutdown(id: ConnectionId, nowUs: number): EngineResult<void>;
  /**
   * Closes both ways: as `shutdown`, and nothing will be read any more. Unread data, now or later, makes it a
   * RST (RFC 9293 3.6.1).
   */
  close(id: ConnectionId, nowUs: number): EngineResult<void>;
  /** Sends RST where the state asks for it and forgets the connection. */
  abort(id: ConnectionId, nowUs: number): EngineResult<void>;
  /** One packet from the link, IPv4 or IPv6. Whatever it holds, this does not throw; the buffer is not kept. */
  input(packet: Uint8Array, nowUs: number): void;
  /** Runs the timers that are due. */
  advance(nowUs: number): void;
  /** Takes the next packet to write to the link; `nowUs` is when it is written. */
  next(nowUs: number): Uint8Array | undefined;
  /** Takes all events since the last call, in order. */
  events(): StackEvent[];
  /** When `advance` is to be called at the latest; Infinity when nothing is pending. */
  nextDeadlineUs(): number;
  info(id: ConnectionId): TcpInfo | undefined;
  /** What the engine holds now. */
  usage(): StackUsage;
  readonly counters: Readonly<StackCounters>;
}
