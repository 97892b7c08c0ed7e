/** Tail loss probes: a loss at the end of what is sent is found without waiting for the timeout. RFC 8985 section 7 */

import { type Seq, seqLeq, seqLt } from '../wire/seq.ts';

/** WCDelAckT: how long a receiver may hold back an ACK of a single segment. RFC 8985 7.2 */
const DELAYED_ACK_WORST_US = 200_000;
const FIRST_US = 1_000_000;

export class TailLossProbe {
  #end: Seq | undefined;
  #wasResent = false;

  /** One is on its way. */
  get pending(): boolean {
    return this.#end !== undefined;
  }

  /** PTO of RFC 8985 7.2. */
  static timeoutUs(srttUs: number | undefined, segments: number): number {
    if (srttUs === undefined) return FIRST_US;
    return 2 * srttUs + (segments === 1 ? DELAYED_ACK_WORST_US : 2000);
  }

  /** @param nxt SND.NXT once it is sent */
  sent(nxt: Seq, wasResent: boolean): void {
    this.#end = nxt;
    this.#wasResent = wasResent;
  }

  cancel(): void {
    this.#end = undefined;
  }

  /** RFC 8985 7.4.2: answers whether the probe repaired a loss, which the congestion control has to know. */
  onAck(ack: Seq, twice: boolean, duplicate: boolean): boolean {
    const end = this.#end;
    if (end === undefined || seqLt(ack, end)) return false;
    if (!this.#wasResent || twice || (duplicate && seqLeq(ack, end))) {
      this.#end = undefined;
      return false;
    }
    if (ack === end) return false;
    this.#end = undefined;
    return true;
  }
}
