/**
 * What the TCP engine takes and gives. The engine does no input or output of its own: packets and the time come
 * in as arguments, packets and events go out as values, and `nextDeadlineUs` says when it wants to be called again.
 * Times are microseconds of one monotonic clock.
 */

import type { Family, IpAddress } from '../wire/address.ts';
import type { IcmpError } from '../wire/icmp.ts';
import type { Seq } from '../wire/seq.ts';
import type { TcpFlags } from '../wire/tcp-header.ts';
import type { TcpOptions } from '../wire/tcp-options.ts';
import type { Profile } from './profile.ts';
import type { RecoveryPhase } from './recovery.ts';

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
  /** The engine's own addresses. More may be appended while it runs. */
  readonly addresses: readonly IpAddress[];
  /** MTU of the link, bytes. */
  readonly mtu: number;
  /** Source of randomness (ISN secret, ephemeral ports): `length` fresh bytes. */
  readonly random: (length: number) => Uint8Array;
  /** Bound of connections in any state but CLOSED; more are refused. */
  readonly maxConnections?: number;
  /** Bound of the memory that all receive buffers take together, bytes; what does not fit is dropped. */
  readonly maxReceiveBytes?: number;
  /** How segments look and which timers hold. */
  readonly profile?: Profile;
  /** False: nobody looks at `segment` events, and none is made. Default true. */
  readonly segmentEvents?: boolean;
}

/** Congestion control algorithms. RFC 6582, RFC 9438 */
export type CongestionName = 'newreno' | 'cubic';

/**
 * What a user may set for a connection, before it is opened or while it lives (`configure`). A listener hands its
 * own on to the connections that it accepts. What is left out holds as the profile says.
 */
export interface SocketOptions {
  /** Give up and answer `timeout` when a segment stays unacknowledged for so long (RFC 5482). Default R2 of RFC 9293 3.8.3. */
  readonly userTimeoutUs: number | undefined;
  /** Give up a handshake that takes longer. */
  readonly handshakeTimeoutUs: number | undefined;
  /** Type of service / traffic class byte of every packet; its two ECN bits are the engine's. */
  readonly trafficClass: number;
  readonly ttl: number;
  /** Hold small segments back while others are in flight (RFC 9293 3.7.4). Default false: a probe sends at once. */
  readonly nagle: boolean;
  /** Send full segments only, until it is taken back; at most `corkUs` of the profile. */
  readonly cork: boolean;
  /** The largest segment to announce and to send; undefined: as the path allows. */
  readonly maxSegment: number | undefined;
  /** RFC 9293 3.8.4; all times of the profile unless set here. */
  readonly keepAlive: boolean;
  readonly keepIdleUs: number;
  readonly keepIntervalUs: number;
  readonly keepCount: number;
  /** How long a closed connection stays in FIN-WAIT-2; undefined: for ever. */
  readonly finWait2TimeoutUs: number | undefined;
  /** Acknowledge at once, without delay. */
  readonly quickAck: boolean;
  readonly congestion: CongestionName;
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
  /** False: SYNs carry no option at all. */
  readonly offerOptions: boolean;
}

export interface ConnectOptions extends Partial<SocketOptions> {
  readonly remote: SocketAddress;
  /** Default: the engine's address of that family, and an ephemeral port (RFC 6056). */
  readonly local?: Partial<SocketAddress>;
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
  | 'no-such-listener'
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
  /** The header's fields; the window is unscaled, the pointer meaningful with the URG flag only. */
  readonly urgentPointer: number;
  readonly window: number;
  readonly options: TcpOptions;
  readonly payloadLength: number;
  /** TTL or hop limit of the packet, and its DSCP and ECN bits. */
  readonly ttl: number;
  readonly trafficClass: number;
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
  /** Urgent data is to come, or more of it (MUST-32). */
  | { readonly kind: 'urgent'; readonly id: ConnectionId; readonly atUs: number }
  /** The connection is gone; the last event of its id. `unread`: what had arrived in order and nobody has read. */
  | {
      readonly kind: 'ended';
      readonly id: ConnectionId;
      readonly reason: EndReason;
      readonly unread: Uint8Array;
      readonly atUs: number;
    }
  /** A passive open completed: the connection waits for `accept`. */
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
  readonly ecnEnabled: boolean;
  readonly rtoUs: number;
  readonly srttUs: number | undefined;
  readonly rttvarUs: number | undefined;
  /** The shortest round trip. */
  readonly minRttUs: number | undefined;
  /** Octets; undefined while there is nothing to send with. */
  readonly cwnd: number | undefined;
  readonly ssthresh: number | undefined;
  /** Octets that are in the network, as far as is known. */
  readonly pipe: number;
  /** Segments in flight, and how many of them are reported as received, lost, and sent again. */
  readonly inFlight: { readonly segments: number; readonly sacked: number; readonly lost: number };
  readonly recovery: RecoveryPhase | undefined;
  readonly reorderingSeen: boolean;
  readonly congestion: CongestionName;
  /** Timeouts in a row without an answer. */
  readonly backoffs: number;
  /** Keepalive and window probes in a row without an answer. */
  readonly probes: number;
  /** Octets and segments with text in all: acknowledged by the peer, sent, received. */
  readonly totals: {
    readonly bytesAcked: number;
    readonly bytesSent: number;
    readonly bytesRetransmitted: number;
    readonly bytesReceived: number;
    readonly segmentsOut: number;
    readonly segmentsIn: number;
  };
  /** When text was last sent and received, and when the peer last acknowledged; undefined before. */
  readonly lastSentUs: number | undefined;
  readonly lastReceivedUs: number | undefined;
  readonly lastAckUs: number | undefined;
  /** Times a segment was sent again: SYN, data and FIN apart. */
  readonly retransmits: { readonly syn: number; readonly data: number; readonly fin: number };
  readonly unsentBytes: number;
  readonly unackedBytes: number;
  readonly unreadBytes: number;
}

/** A copy of what the engine knows of a listener. */
export interface ListenerInfo {
  readonly id: ConnectionId;
  /** Undefined: any of the engine's addresses. */
  readonly address: IpAddress | undefined;
  readonly port: number;
  readonly backlog: number;
  /** Connections that are half open, and that wait for `accept`. */
  readonly halfOpen: number;
  readonly waiting: number;
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
  synCookiesSent: number;
  synCookiesAccepted: number;
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
  /** Without an address, any of the engine's, or any of a family. `backlog`: most connections that are half open, and that wait for `accept`. */
  listen(
    local: { readonly address?: IpAddress; readonly family?: Family; readonly port: number },
    backlog: number,
    options?: Partial<SocketOptions>,
  ): EngineResult<ConnectionId>;
  /** Gives a listener another backlog. */
  relisten(id: ConnectionId, backlog: number): EngineResult<void>;
  /** The connection that has waited longest at a listener, ended or not; undefined when none does. */
  accept(listener: ConnectionId): EngineResult<ConnectionId | undefined>;
  /** Changes options of a connection or a listener; what concerns SYNs has no effect on an open connection. */
  configure(id: ConnectionId, options: Partial<SocketOptions>, nowUs: number): EngineResult<void>;
  optionsOf(id: ConnectionId): SocketOptions | undefined;
  /**
   * Queues data; answers how many bytes the send buffer took. `more`: other data follows at once, so a segment
   * that is not full waits; `urgent`: the last byte is urgent (RFC 9293 3.8.5).
   */
  send(
    id: ConnectionId,
    data: Uint8Array,
    nowUs: number,
    how?: { readonly more?: boolean; readonly urgent?: boolean },
  ): EngineResult<number>;
  /**
   * Urgent data of the peer (MUST-33): bytes to read before its last byte, 0 when that is the next, and that byte,
   * once it has arrived. Undefined: there is none to be read.
   */
  urgent(id: ConnectionId): { readonly toMark: number; readonly octet: number | undefined } | undefined;
  /**
   * Takes at most `max` bytes that arrived in order; empty when there are none; `eof` after the peer's FIN. A call
   * stops before the last urgent byte, so that a reader can tell where it is.
   */
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
  /** Once our side is closed as well, more text of the peer is answered with a RST; what has arrived can be read. */
  stopReading(id: ConnectionId): EngineResult<void>;
  /** Sends RST where the state asks for it and forgets the connection. */
  abort(id: ConnectionId, nowUs: number): EngineResult<void>;
  /** Forgets a connection without a word to the peer. */
  forget(id: ConnectionId, nowUs: number): EngineResult<void>;
  /** Ids of all connections, and of all listeners. */
  connections(): Iterable<ConnectionId>;
  listeners(): Iterable<ListenerInfo>;
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
