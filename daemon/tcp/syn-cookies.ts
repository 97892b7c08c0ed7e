/**
 * SYN cookies: an answer to a SYN that costs no memory. What has to be remembered is in the number of the SYN,ACK,
 * and in its timestamp where the peer has one. RFC 4987 section 3.6
 *
 *     ISS      | 24 bits: keyed hash of the rest, the tuple and the peer's ISS | 5: minute | 3: MSS |
 *     TSval    | clock, whole steps of 64 ms                                     | 6: window scale, SACK, ECN |
 */

import { writeU32 } from '../wire/bytes.ts';
import { type Seq, seq } from '../wire/seq.ts';
import type { TcpOptions } from '../wire/tcp-options.ts';
import { TUPLE_BYTES_MAX, writeTuple } from './isn.ts';
import { MAX_WINDOW_SHIFT } from './profile.ts';
import { SipHash24 } from './siphash.ts';
import type { SocketAddress } from './types.ts';

const MINUTE_US = 60_000_000;
/** A cookie is good for so many minutes. */
const LIFE_MINUTES = 2;
/** MSS values that fit three bits; the next smaller one is taken. */
const MSS_VALUES = [48, 536, 1200, 1220, 1300, 1440, 1452, 1460] as const;
/** Window scale 15 stands for none. */
const NO_SCALE = 15;
const SACK_BIT = 0x10;
const ECN_BIT = 0x20;
const OPTION_BITS = 0x3f;

/** What a cookie that came back says of the SYN that was answered with it. */
export interface CookieOptions {
  readonly mss: number;
  readonly windowScale: number | undefined;
  readonly sackPermitted: boolean;
  readonly ecn: boolean;
}

export class SynCookies {
  readonly #keyed: SipHash24;
  readonly #message = new Uint8Array(TUPLE_BYTES_MAX + 8);

  constructor(random: (length: number) => Uint8Array) {
    this.#keyed = new SipHash24(random(16));
  }

  /** The number of the SYN,ACK. */
  iss(local: SocketAddress, remote: SocketAddress, irs: Seq, mss: number, nowUs: number): Seq {
    const minute = minuteOf(nowUs);
    const index = Math.max(
      MSS_VALUES.findLastIndex((value) => value <= mss),
      0,
    );
    return seq((this.#hash(local, remote, irs, minute, index) << 8) | ((minute & 31) << 3) | index);
  }

  /** TSval of the SYN,ACK: a clock of milliseconds whose last bits hold what the peer offered. */
  static timestamp(clock: number, peer: TcpOptions, ecn: boolean): number {
    const bits =
      (peer.windowScale === undefined ? NO_SCALE : Math.min(peer.windowScale, MAX_WINDOW_SHIFT)) |
      (peer.sackPermitted ? SACK_BIT : 0) |
      (ecn ? ECN_BIT : 0);
    // Never ahead of the clock, so that later segments are not taken for old ones.
    const stamped = ((clock & ~OPTION_BITS) | bits) >>> 0;
    return ((stamped - clock) | 0) > 0 ? (stamped - (OPTION_BITS + 1)) >>> 0 : stamped;
  }

  /**
   * What the SYN said, from the ACK that came back; undefined when it is no cookie of ours, or an old one.
   *
   * @param echo TSecr of the ACK
   */
  open(
    local: SocketAddress,
    remote: SocketAddress,
    ack: { readonly irs: Seq; readonly iss: Seq; readonly echo: number | undefined },
    nowUs: number,
  ): CookieOptions | undefined {
    const now = minuteOf(nowUs);
    const age = (now - ((ack.iss >>> 3) & 31)) & 31;
    if (age >= LIFE_MINUTES) return undefined;
    const index = ack.iss & 7;
    if (this.#hash(local, remote, ack.irs, now - age, index) !== ack.iss >>> 8) return undefined;
    const bits = ack.echo === undefined ? NO_SCALE : ack.echo & OPTION_BITS;
    const scale = bits & NO_SCALE;
    return {
      mss: MSS_VALUES[index] as number,
      windowScale: scale === NO_SCALE ? undefined : scale,
      sackPermitted: (bits & SACK_BIT) !== 0,
      ecn: (bits & ECN_BIT) !== 0,
    };
  }

  #hash(local: SocketAddress, remote: SocketAddress, irs: Seq, minute: number, index: number): number {
    const length = writeTuple(this.#message, local, remote);
    writeU32(this.#message, length, irs);
    writeU32(this.#message, length + 4, minute * 8 + index);
    return this.#keyed.hash(this.#message, length + 8) & 0xffffff;
  }
}

function minuteOf(nowUs: number): number {
  return Math.floor(nowUs / MINUTE_US);
}
