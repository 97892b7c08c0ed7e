/** Hostile input from a seed: random bytes, and real messages cut, lengthened and changed. */

/** mulberry32: the same seed gives the same numbers from 0 up to 1. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function hostile(samples: readonly Uint8Array[], random: () => number): Uint8Array {
  const below = (bound: number) => Math.floor(random() * bound);
  if (random() < 0.1) return Uint8Array.from({ length: below(200) }, () => below(256));
  const sample = samples[below(samples.length)] ?? new Uint8Array();
  let bytes = sample.slice();
  if (random() < 0.3) bytes = bytes.slice(0, below(bytes.length + 1));
  if (random() < 0.1) bytes = Uint8Array.from([...bytes, ...bytes.slice(0, below(64))]);
  for (let changes = below(6); changes > 0 && bytes.length > 0; changes--) {
    // Lengths and types are where a decoder stumbles: extreme values more often than random ones.
    const extremes = [0, 1, 3, 4, 0x7f, 0x80, 0xff];
    bytes[below(bytes.length)] = random() < 0.5 ? (extremes[below(extremes.length)] ?? 0) : below(256);
  }
  return bytes;
}
