/** What a SYN offers, and what both ends agreed on in theirs. RFC 7323 sections 2.2 and 3.2, RFC 2018 section 2 */

import type { Family } from '../wire/address.ts';
import { IPV4_HEADER_BYTES } from '../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../wire/ipv6.ts';
import { TCP_HEADER_BYTES } from '../wire/tcp-header.ts';
import type { TcpOptions } from '../wire/tcp-options.ts';
import { MAX_WINDOW_SHIFT, MIN_SEND_MSS, type Profile } from './profile.ts';
import type { Settings } from './settings.ts';

/** Bytes of the timestamps option with its alignment, on every segment once agreed. */
export const TIMESTAMPS_BYTES = 12;

/** Options in force on a connection. */
export interface Agreement {
  /** Largest segment the peer takes: SendMSS of RFC 9293 3.7.1. */
  readonly peerMss: number;
  /** Shift counts; undefined when window scaling was not agreed. */
  readonly sndWindShift: number | undefined;
  readonly rcvWindShift: number | undefined;
  readonly timestamps: boolean;
  readonly sack: boolean;
  /** RFC 3168: packets may be marked instead of dropped. */
  readonly ecn: boolean;
}

export function ipHeaderBytes(family: Family): number {
  return family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
}

/** The MSS to announce: the largest segment that fits the link, less the fixed headers (MUST-67), or the user's. */
export function announcedMss(family: Family, mtu: number, maxSegment: number | undefined): number {
  return Math.min(mtu - ipHeaderBytes(family) - TCP_HEADER_BYTES, 0xffff, maxSegment ?? 0xffff);
}

/** The options of a SYN of ours. */
export function synOptions(
  profile: Profile,
  mss: number,
  timestamps: { readonly value: number; readonly echo: number },
): TcpOptions {
  return {
    mss,
    windowScale: profile.windowShift,
    sackPermitted: profile.offerSack,
    sack: undefined,
    timestamps: profile.offerTimestamps ? timestamps : undefined,
    malformed: false,
  };
}

/**
 * What holds once the peer's SYN is known: an option only when both sides sent it.
 */
export function agree(
  profile: Profile,
  settings: Settings,
  family: Family,
  peer: TcpOptions,
  ecn: boolean,
): Agreement {
  const offers = settings.offerOptions;
  const scaling = offers && profile.windowShift !== undefined && peer.windowScale !== undefined;
  // A peer that says 0 says nothing.
  const peerMss = Math.max(peer.mss || profile.defaultMss[family], MIN_SEND_MSS);
  return {
    // MUST-15: a peer that says no MSS takes 536 or 1220.
    peerMss: Math.min(peerMss, settings.maxSegment ?? peerMss),
    // RFC 7323 2.3: a shift count above 14 is taken as 14.
    sndWindShift: scaling ? Math.min(peer.windowScale ?? 0, MAX_WINDOW_SHIFT) : undefined,
    rcvWindShift: scaling ? profile.windowShift : undefined,
    timestamps: offers && profile.offerTimestamps && peer.timestamps !== undefined,
    sack: offers && profile.offerSack && peer.sackPermitted,
    ecn,
  };
}

/**
 * Eff.snd.MSS: the most text a segment of ours carries, for a path of that MTU. RFC 9293 3.7.1 (MUST-16):
 * min(SendMSS + 20, MMS_S) - TCPhdrsize - IPoptionsize, options that are always sent included.
 */
export function effectiveSendMss(agreement: Agreement, family: Family, pathMtu: number): number {
  const mmsS = pathMtu - ipHeaderBytes(family);
  const headerBytes = TCP_HEADER_BYTES + (agreement.timestamps ? TIMESTAMPS_BYTES : 0);
  // A path that is said to take next to nothing would only wear us out.
  const path = Math.max(mmsS, MIN_SEND_MSS + TCP_HEADER_BYTES);
  return Math.max(Math.min(agreement.peerMss + TCP_HEADER_BYTES, path) - headerBytes, 1);
}
