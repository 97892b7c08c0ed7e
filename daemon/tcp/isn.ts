/** Initial sequence numbers and timestamp offsets that strangers cannot guess. RFC 6528, RFC 7323 section 5.4 */

import { writeU16 } from '../wire/bytes.ts';
import { type Seq, seq } from '../wire/seq.ts';
import { SipHash24 } from './siphash.ts';
import type { SocketAddress } from './types.ts';

/** The clock part of an ISN ticks every 4 microseconds. RFC 9293 3.4.1 (MUST-8) */
const ISN_TICK_US = 4;
/** Two IPv6 addresses and two ports. */
export const TUPLE_BYTES_MAX = 36;

export interface ConnectionSecrets {
  readonly iss: Seq;
  /** Added to the timestamp clock of this connection. */
  readonly timestampOffset: number;
}

/**
 * RFC 6528 section 3: ISN = M + F(local, remote, secret), where M is the clock and F a keyed hash whose key
 * never leaves this closure (MUST-9).
 */
export function createIsnSource(
  random: (length: number) => Uint8Array,
): (local: SocketAddress, remote: SocketAddress, nowUs: number) => ConnectionSecrets {
  const keyed = new SipHash24(random(16));
  const tuple = new Uint8Array(TUPLE_BYTES_MAX);
  return (local, remote, nowUs) => {
    const low = keyed.hash(tuple, writeTuple(tuple, local, remote));
    const clock = Math.floor(nowUs / ISN_TICK_US);
    return { iss: seq(clock + low), timestampOffset: keyed.high };
  };
}

/** Writes a connection's four-tuple; answers how many bytes it takes. */
export function writeTuple(into: Uint8Array, local: SocketAddress, remote: SocketAddress): number {
  const { bytes } = local.address;
  const { length } = bytes;
  for (let at = 0; at < length; at += 1) {
    into[at] = bytes[at] as number;
    into[length + at] = remote.address.bytes[at] as number;
  }
  writeU16(into, 2 * length, local.port);
  writeU16(into, 2 * length + 2, remote.port);
  return 2 * length + 4;
}
