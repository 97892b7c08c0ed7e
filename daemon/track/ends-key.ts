/** The two ends of a connection as one number: millions of them are looked up, and numbers cost little memory. */

/** 32 bits of each seed. */
export type EndsSeed = readonly [number, number];

/**
 * A hash of 53 bits: that two of a million connections share one is as likely as one in ten thousand.
 * @param seed secret, so that nobody can choose connections that collide
 */
export function endsKey(
  [first, second]: EndsSeed,
  local: Uint8Array,
  localPort: number,
  peer: Uint8Array,
  peerPort: number,
): number {
  const ports = (localPort << 16) | peerPort;
  let high = first ^ local.length;
  let low = second ^ local.length;
  for (const address of [local, peer]) {
    for (let at = 0; at + 4 <= address.length; at += 4) {
      const word = wordAt(address, at);
      high = mixed(high ^ word, 0x85ebca6b, 0xc2b2ae35);
      low = mixed(low ^ word, 0x7feb352d, 0x846ca68b);
    }
  }
  high = mixed(high ^ ports, 0x85ebca6b, 0xc2b2ae35);
  low = mixed(low ^ ports, 0x7feb352d, 0x846ca68b);
  return (high & 0x1fffff) * 2 ** 32 + (low >>> 0);
}

function wordAt(bytes: Uint8Array, at: number): number {
  const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [
    number,
    number,
    number,
    number,
  ];
  return (a << 24) | (b << 16) | (c << 8) | d;
}

function mixed(word: number, by: number, then: number): number {
  let hash = Math.imul(word ^ (word >>> 16), by);
  hash = Math.imul(hash ^ (hash >>> 13), then);
  return hash ^ (hash >>> 16);
}
