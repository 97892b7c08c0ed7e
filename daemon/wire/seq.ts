/**
 * TCP sequence numbers: 32 bits that wrap around (RFC 9293 section 3.4). Comparisons hold for numbers less
 * than 2^31 apart. A plain number cannot be passed where a sequence number is meant.
 */

export type Seq = number & { readonly __brand: 'Seq' };

/** The sequence number of any integer, modulo 2^32. */
export function seq(value: number): Seq {
  return (value >>> 0) as Seq;
}

export function seqAdd(a: Seq, octets: number): Seq {
  return ((a + octets) >>> 0) as Seq;
}

/** Octets from `b` to `a`: positive when `a` is later. */
export function seqDiff(a: Seq, b: Seq): number {
  return (a - b) | 0;
}

export function seqLt(a: Seq, b: Seq): boolean {
  return ((a - b) | 0) < 0;
}

export function seqLeq(a: Seq, b: Seq): boolean {
  return ((a - b) | 0) <= 0;
}

export function seqMax(a: Seq, b: Seq): Seq {
  return ((a - b) | 0) >= 0 ? a : b;
}

export function seqMin(a: Seq, b: Seq): Seq {
  return ((a - b) | 0) <= 0 ? a : b;
}

/** Whether `from` =< `a` < `from` + `size`, for sizes up to 2^32 - 1. */
export function seqInWindow(a: Seq, from: Seq, size: number): boolean {
  return (a - from) >>> 0 < size;
}
