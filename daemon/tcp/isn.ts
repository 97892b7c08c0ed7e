/** Initial sequence numbers and timestamp offsets that strangers cannot guess. RFC 6528, RFC 7323 section 5.4 */

import { type Seq, seq } from '../wire/seq.ts';
import { sipHash24 } from './siphash.ts';
import type { SocketAddress } from './types.ts';

/** The clock part of an ISN ticks every 4 microseconds. RFC 9293 3.4.1 (MUST-8) */
const ISN_TICK_US = 4;

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
  const key = random(16).slice();
  return (local, remote, nowUs) => {
    const hash = sipHash24(key, tupleBytes(local, remote));
    const clock = Math.floor(nowUs / ISN_TICK_US);
    return { iss: seq(clock + hash.low), timestampOffset: hash.high };
  };
}

/** The connection's four-tuple as one byte string. */
export function tupleBytes(local: SocketAddress, remote: SocketAddress): Uint8Array {
  const addressLength = local.address.bytes.length;
  const bytes = new Uint8Array(2 * addressLength + 4);
  bytes.set(local.address.bytes, 0);
  bytes.set(remote.address.bytes, addressLength);
  bytes[2 * addressLength] = local.port >>> 8;
  bytes[2 * addressLength + 1] = local.port;
  bytes[2 * addressLength + 2] = remote.port >>> 8;
  bytes[2 * addressLength + 3] = remote.port;
  return bytes;
}
