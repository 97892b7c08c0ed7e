/** Urgent data. RFC 9293 3.8.5, RFC 6093: the pointer names the octet after it (MUST-62) */

import { type Seq, seqAdd, seqDiff, seqLeq, seqLt } from '../wire/seq.ts';

/** RCV.UP: where the peer's urgent data ends. */
export class UrgentReceiver {
  /** The number of the last urgent octet, as long as the reader has not come past it. */
  #mark: Seq | undefined;

  get mark(): Seq | undefined {
    return this.#mark;
  }

  /**
   * A segment with URG: its pointer names the octet after the urgent data. Answers whether it says something new
   * (MUST-32).
   *
   * @param readSeq the next octet that the reader takes
   */
  arrives(end: Seq, readSeq: Seq): boolean {
    const mark = seqAdd(end, -1);
    // What was read already cannot become urgent; a pointer that does not advance says nothing.
    if (seqLt(mark, readSeq) || (this.#mark !== undefined && seqLeq(mark, this.#mark))) return false;
    this.#mark = mark;
    return true;
  }

  /** Octets up to the last urgent one (MUST-33); undefined when nothing is urgent. */
  toMark(readSeq: Seq): number | undefined {
    return this.#mark === undefined ? undefined : seqDiff(this.#mark, readSeq);
  }

  /** A reader stops before the urgent octet, so that it can tell where it is. */
  readable(readSeq: Seq): number {
    const octets = this.toMark(readSeq);
    return octets === undefined || octets <= 0 ? Number.POSITIVE_INFINITY : octets;
  }

  taken(readSeq: Seq): void {
    if (this.#mark !== undefined && seqLt(this.#mark, readSeq)) this.#mark = undefined;
  }
}
