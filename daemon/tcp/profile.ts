/** What the RFCs leave to the implementation, as data: how SYNs look and which timers hold. Times are microseconds. */

import type { OptionPlace } from '../wire/tcp-options.ts';

const MILLISECOND_US = 1_000;
const SECOND_US = 1_000_000;

export interface Profile {
  /** Order and padding of the options of a SYN and of all other segments. */
  readonly synLayout: readonly OptionPlace[];
  readonly layout: readonly OptionPlace[];
  readonly offerTimestamps: boolean;
  readonly offerSack: boolean;
  /** Undefined: no window scaling is offered. */
  readonly windowShift: number | undefined;
  readonly ttl: number;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  /** RTO before the first measurement. RFC 6298 (2.1) */
  readonly initialRtoUs: number;
  /** RTO after a SYN had to be repeated. RFC 6298 (5.7) */
  readonly rtoAfterLostSynUs: number;
  readonly minRtoUs: number;
  /** RFC 6298 (2.5): at least 60 s */
  readonly maxRtoUs: number;
  /** How long an ACK may wait for data to ride on. RFC 9293 3.8.6.3: below 0.5 s */
  readonly delayedAckUs: number;
  /** How long a small segment waits for a larger window. RFC 9293 3.8.6.2.1: 0.1 to 1 s */
  readonly overrideUs: number;
  /** Retransmissions after which the connection is in trouble. RFC 9293 3.8.3: R1, at least 3 (SHLD-10) */
  readonly r1Retransmissions: number;
  /** Time without an acknowledgement after which it is given up. RFC 9293 3.8.3: R2 */
  readonly handshakeTimeoutUs: number;
  readonly userTimeoutUs: number;
  /** Maximum segment lifetime; TIME-WAIT lasts twice as long. */
  readonly mslUs: number;
}

export const FINWAIT_PROFILE: Profile = {
  synLayout: [
    { nops: 0, option: 'mss' },
    { nops: 0, option: 'sackPermitted' },
    { nops: 0, option: 'timestamps' },
    { nops: 1, option: 'windowScale' },
  ],
  layout: [
    { nops: 2, option: 'timestamps' },
    { nops: 2, option: 'sack' },
  ],
  offerTimestamps: true,
  offerSack: true,
  // The smallest shift that can say the whole receive buffer: little is lost to rounding.
  windowShift: 3,
  ttl: 64,
  receiveBufferBytes: 256 * 1024,
  sendBufferBytes: 256 * 1024,
  initialRtoUs: SECOND_US,
  rtoAfterLostSynUs: 3 * SECOND_US,
  // RFC 6298 (2.4) asks for 1 s but knows that a finer clock allows less; Linux holds 200 ms.
  minRtoUs: 200 * MILLISECOND_US,
  maxRtoUs: 120 * SECOND_US,
  // The lowest that Linux waits.
  delayedAckUs: 40 * MILLISECOND_US,
  overrideUs: 200 * MILLISECOND_US,
  r1Retransmissions: 3,
  // RFC 9293 3.8.3: a SYN is retransmitted for at least 3 minutes (MUST-23), data for at least 100 s (SHLD-11).
  handshakeTimeoutUs: 180 * SECOND_US,
  // The default of OPEN in RFC 9293 3.9.1.1.
  userTimeoutUs: 300 * SECOND_US,
  // RFC 9293 3.4.2 takes two minutes and calls it an engineering choice; Linux and FreeBSD take 30 s.
  mslUs: 30 * SECOND_US,
};

/** MSS of a peer that says none. RFC 9293 3.7.1 (MUST-15) */
export const DEFAULT_SEND_MSS = { 4: 536, 6: 1220 } as const;

/** A peer's MSS below that is taken as that: smaller segments only serve to wear the sender out. Linux tcp_min_snd_mss */
export const MIN_SEND_MSS = 48;

/** Smallest path MTU that is believed. RFC 791 (68), RFC 8200 section 5 (1280) */
export const MIN_PATH_MTU = { 4: 68, 6: 1280 } as const;

/** A larger shift count means that one. RFC 7323 section 2.3 */
export const MAX_WINDOW_SHIFT = 14;
