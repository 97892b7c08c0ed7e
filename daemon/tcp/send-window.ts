/** SND.WND: how much the peer takes, and which segment said so last. RFC 9293 3.10.7.4, fifth step */

import { type Seq, seqLeq, seqLt } from '../wire/seq.ts';

export class SendWindow {
  /** SND.WND in octets, and the largest it ever was. */
  octets = 0;
  largest = 0;
  /** SND.WL1 and SND.WL2: numbers of the segment that said so. */
  #wl1: Seq;
  #wl2: Seq;

  constructor(octets: number, segment: { readonly seq: Seq; readonly ack: Seq }) {
    this.#wl1 = segment.seq;
    this.#wl2 = segment.ack;
    this.#set(octets);
  }

  /** SND.WL1 < SEG.SEQ, or SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK: not an old segment's window. */
  update(octets: number, { seq, ack }: { readonly seq: Seq; readonly ack: Seq }): void {
    if (!seqLt(this.#wl1, seq) && !(this.#wl1 === seq && seqLeq(this.#wl2, ack))) return;
    this.#wl1 = seq;
    this.#wl2 = ack;
    this.#set(octets);
  }

  #set(octets: number): void {
    this.octets = octets;
    this.largest = Math.max(this.largest, octets);
  }
}
