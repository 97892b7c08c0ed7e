/** Which parts of the stream have arrived beyond RCV.NXT. RFC 9293 3.10.7.4 (SHLD-31), RFC 2018 section 4 */

import { type Seq, seqDiff, seqLeq, seqLt, seqMax, seqMin } from '../wire/seq.ts';
import type { SackBlock } from '../wire/tcp-options.ts';

/** More holes than that are not remembered: the segment that would open another is dropped, as if it were lost. */
const RANGES_MAX = 64;

interface Range {
  left: Seq;
  right: Seq;
  /** Number of the arrival that touched it last. */
  touched: number;
}

/** Ranges in sequence order; none touches another, and all lie beyond RCV.NXT. */
export class Reassembly {
  readonly #ranges: Range[] = [];
  #arrivals = 0;

  get empty(): boolean {
    return this.#ranges.length === 0;
  }

  /** The octet after the last that is there; undefined when nothing is. */
  get end(): Seq | undefined {
    return this.#ranges.at(-1)?.right;
  }

  /** Whether all of [left, right) is there. */
  has(left: Seq, right: Seq): boolean {
    return this.#ranges.some((range) => seqLeq(range.left, left) && seqLeq(right, range.right));
  }

  /** Remembers [left, right); false when there are too many holes already. */
  add(left: Seq, right: Seq): boolean {
    this.#arrivals += 1;
    let at = 0;
    while (at < this.#ranges.length && seqLt((this.#ranges[at] as Range).right, left)) at += 1;
    let merged = 0;
    const grown: Range = { left, right, touched: this.#arrivals };
    for (
      let next = this.#ranges[at];
      next !== undefined && seqLeq(next.left, right);
      next = this.#ranges[at + merged]
    ) {
      grown.left = seqMin(grown.left, next.left);
      grown.right = seqMax(grown.right, next.right);
      merged += 1;
    }
    if (merged === 0 && this.#ranges.length >= RANGES_MAX) return false;
    this.#ranges.splice(at, merged, grown);
    return true;
  }

  /** RCV.NXT has moved to `rcvNxt`: answers how many octets from there on are there already, and forgets them. */
  take(rcvNxt: Seq): number {
    let octets = 0;
    for (let first = this.#ranges[0]; first !== undefined; first = this.#ranges[0]) {
      if (seqLt(rcvNxt, first.left)) break;
      octets = Math.max(octets, seqDiff(first.right, rcvNxt));
      this.#ranges.shift();
    }
    return octets;
  }

  /** What of [left, right) is there already: the first piece of it. */
  overlap(left: Seq, right: Seq): SackBlock | undefined {
    const range = this.#ranges.find((held) => seqLt(left, held.right) && seqLt(held.left, right));
    return range && { left: seqMax(left, range.left), right: seqMin(right, range.right) };
  }

  /** The held range that a block lies in. */
  around({ left, right }: SackBlock): SackBlock | undefined {
    const range = this.#ranges.find((held) => seqLeq(held.left, left) && seqLeq(right, held.right));
    return range && { left: range.left, right: range.right };
  }

  /** RFC 2018 section 4: the block with the segment that arrived last comes first. */
  sackBlocks(count: number): SackBlock[] {
    return this.#ranges
      .toSorted((a, b) => b.touched - a.touched)
      .slice(0, count)
      .map(({ left, right }) => ({ left, right }));
  }
}
