/**
 * What the RFCs leave to the implementation, as data: how segments look, which timers hold and which extensions
 * are on. Times are microseconds. The engine reads a profile at the moment it needs it, so an object that changes
 * while connections live works as a system's settings do.
 */

import type { OptionPlace } from '../wire/tcp-options.ts';
import type { CongestionName } from './types.ts';

export const MILLISECOND_US = 1_000;
export const SECOND_US = 1_000_000;

/** Systems whose way of TCP the engine knows. */
export type ProfileName = 'finwait' | 'linux' | 'freebsd';

export interface Profile {
  readonly name: ProfileName;

  /** Order and padding of the options of a SYN and of all other segments. */
  readonly synLayout: readonly OptionPlace[];
  readonly layout: readonly OptionPlace[];
  readonly offerTimestamps: boolean;
  /** Once they are agreed on, a segment without timestamps is dropped. RFC 7323 3.2 (SHOULD) */
  readonly timestampsRequired: boolean;
  /** How much older than TS.Recent a timestamp may be: the peer's clock may have ticked between two segments that crossed. */
  readonly pawsSlack: number;
  readonly offerSack: boolean;
  /** Undefined: no window scaling is offered. */
  readonly windowShift: number | undefined;
  /** RFC 3168: never; when the peer asks; ask. */
  readonly ecn: 'off' | 'passive' | 'on';
  /** Retransmissions of a SYN after which it no longer asks for ECN. */
  readonly ecnSynRetries: number;
  /** CWR goes with what is sent again, too. */
  readonly repeatsTellReduction: boolean;
  /** Retransmissions of a SYN after which only its MSS option is left; undefined: options stay. */
  readonly synOptionRetries: number | undefined;
  readonly ttl: number;
  /** The user's largest segment is announced to the peer, and not only kept. */
  readonly announcesMaxSegment: boolean;
  /** MSS of a peer that says none. RFC 9293 3.7.1 (MUST-15) */
  readonly defaultMss: { readonly 4: number; readonly 6: number };

  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  /** How the receive buffer becomes a window, and when what arrived is acknowledged: receive-rules.ts. */
  readonly receiveRule: ProfileName;

  /** RTO before the first measurement. RFC 6298 (2.1) */
  readonly initialRtoUs: number;
  /** RTO after a SYN had to be repeated. RFC 6298 (5.7) */
  readonly rtoAfterLostSynUs: number;
  readonly minRtoUs: number;
  /** The minimum is one of the whole timeout, or of what is added to the smoothed round trip. RFC 6298 (2.4) */
  readonly rtoFloor: 'whole' | 'variance';
  /** RFC 6298 (2.5): at least 60 s */
  readonly maxRtoUs: number;
  /** Added to each timeout that was measured or backed off. */
  readonly rtoSlopUs: number;
  /** Timeouts of a SYN before they begin to double. */
  readonly synLinearTimeouts: number;
  /** How long an ACK may wait for data to ride on. RFC 9293 3.8.6.3: below 0.5 s */
  readonly delayedAckUs: number;
  /** How long a small segment waits for a larger window. RFC 9293 3.8.6.2.1: 0.1 to 1 s */
  readonly overrideUs: number;
  /** PSH ends each piece of text that was queued, not only the last one (SHLD-27). */
  readonly pushEachWrite: boolean;
  /** What is left of the window after full segments is filled at once, if Nagle's algorithm lets it (Linux tcp_mss_split_point). */
  readonly fillsWindow: boolean;
  /** How long corked text waits at most. */
  readonly corkUs: number;
  /** Nagle's algorithm waits for the last small segment only, not for all that was in flight when text was queued. */
  readonly nagleBySmall: boolean;
  /** Switching Nagle's algorithm off sends what is queued, whatever else would hold it. */
  readonly nagleOffPushes: boolean;
  /** What a probe of a shut window carries: an octet of text, or nothing and an old number. RFC 9293 3.8.6.1 */
  readonly windowProbe: 'octet' | 'bare';
  /** Retransmissions after which the connection is in trouble. RFC 9293 3.8.3: R1, at least 3 (SHLD-10) */
  readonly r1Retransmissions: number;
  /** Most retransmissions of a SYN, of a SYN,ACK, and of anything else; undefined: only time decides. */
  readonly synRetries: number | undefined;
  readonly synAckRetries: number | undefined;
  readonly retries: number | undefined;
  /** Time without an acknowledgement after which it is given up. RFC 9293 3.8.3: R2 */
  readonly handshakeTimeoutUs: number;
  readonly userTimeoutUs: number;
  /** RFC 9293 3.8.4, and whether it is on for connections whose user says nothing. */
  readonly keepAlive: boolean;
  readonly keepIdleUs: number;
  readonly keepIntervalUs: number;
  readonly keepCount: number;
  /** Maximum segment lifetime; TIME-WAIT lasts twice as long. */
  readonly mslUs: number;
  /** How long a connection that nobody reads any more stays in FIN-WAIT-2; undefined: for ever. */
  readonly finWait2TimeoutUs: number | undefined;

  readonly congestion: CongestionName;
  /** RFC 6928 */
  readonly initialWindowSegments: number;
  /** Segments that the window grows by at most for one ACK in slow start. RFC 3465, RFC 9406 4.3 */
  readonly slowStartSegments: number;
  /** How a lost segment is told from a late one: RFC 8985, or RFC 6675. */
  readonly lossDetection: 'rack' | 'sack';

  /** RFC 5961: a RST or a SYN that is in the window but not exact is challenged; off: RFC 793. */
  readonly challengeRst: boolean;
  readonly challengeSyn: boolean;
  /** Challenge ACKs of a connection within five seconds. RFC 5961 section 7 */
  readonly challengeAcks: number;
  /** RFC 4987: never; when a listener's half-open connections fill its backlog; for each SYN. */
  readonly synCookies: 'off' | 'pressure' | 'always';
  /** Whether ICMP errors may end a handshake (RFC 5461 section 4.1), and which. */
  readonly icmpMayReset: boolean;
  readonly icmpFatal: 'hard' | 'hard-and-expired' | 'all';
  readonly pathMtuDiscovery: boolean;
  /** Nothing is answered to who asks for a port where nobody listens. */
  readonly blackhole: boolean;
  /** A SYN that carries FIN is dropped. */
  readonly dropSynFin: boolean;
  /** A RST ends TIME-WAIT, which RFC 1337 calls an assassination. */
  readonly resetEndsTimeWait: boolean;
  /** A SYN in TIME-WAIT: a new one ends it only where somebody listens, an old one is answered; or neither. */
  readonly timeWaitSyn: 'challenged' | 'dropped';
}

/** A peer's MSS below that is taken as that: smaller segments only serve to wear the sender out. Linux tcp_min_snd_mss */
export const MIN_SEND_MSS = 48;

/** Smallest path MTU that is believed. RFC 791 (68), RFC 8200 section 5 (1280) */
export const MIN_PATH_MTU = { 4: 68, 6: 1280 } as const;

/** A larger shift count means that one. RFC 7323 section 2.3 */
export const MAX_WINDOW_SHIFT = 14;
