/** NewReno congestion control. RFC 5681, RFC 6582, RFC 6928 */

import { type Seq, seqLeq, seqLt } from '../wire/seq.ts';

const DUPLICATE_ACKS = 3;

/** What a duplicate or partial acknowledgement asks of the sender. */
export type LossAdvice = 'none' | 'retransmit-head';

export class NewReno {
  cwnd: number;
  ssthresh = Number.POSITIVE_INFINITY;
  #duplicates = 0;
  /** RFC 6582: recovery ends when everything sent before it began is acknowledged. */
  #recover: Seq;
  #recovering = false;
  #mss: number;

  /** @param synWasLost RFC 5681 3.1: then the initial window is one segment */
  constructor(mss: number, iss: Seq, synWasLost: boolean) {
    this.#mss = mss;
    this.#recover = iss;
    this.cwnd = synWasLost ? mss : initialWindow(mss);
  }

  get recovering(): boolean {
    return this.#recovering;
  }

  setMss(mss: number): void {
    this.#mss = mss;
  }

  /** `acked` new octets were acknowledged, up to `una`. */
  onAck(una: Seq, acked: number, flightSize: number): LossAdvice {
    this.#duplicates = 0;
    if (this.#recovering) return this.#onAckInRecovery(una, acked, flightSize);
    // A window that is not used says nothing about the path: it does not grow.
    if (flightSize + acked < this.cwnd / 2) return 'none';
    if (this.cwnd < this.ssthresh) {
      // RFC 5681 (2): slow start
      this.cwnd += Math.min(acked, this.#mss);
    } else {
      // RFC 5681 (3): congestion avoidance
      this.cwnd += Math.max(1, Math.floor((this.#mss * this.#mss) / this.cwnd));
    }
    return 'none';
  }

  #onAckInRecovery(una: Seq, acked: number, flightSize: number): LossAdvice {
    if (seqLt(una, this.#recover)) {
      // RFC 6582 3.2 step 3, partial acknowledgement: the next hole is lost as well; deflate.
      this.cwnd = Math.max(this.cwnd - acked, 0) + (acked >= this.#mss ? this.#mss : 0);
      this.cwnd = Math.max(this.cwnd, this.#mss);
      return 'retransmit-head';
    }
    // RFC 6582 3.2 step 3, full acknowledgement, option (1)
    this.cwnd = Math.min(this.ssthresh, Math.max(flightSize, this.#mss) + this.#mss);
    this.#recovering = false;
    return 'none';
  }

  /** A duplicate acknowledgement as RFC 5681 section 2 defines it. */
  onDuplicateAck(una: Seq, sndMax: Seq, flightSize: number): LossAdvice {
    this.#duplicates += 1;
    if (this.#recovering) {
      // RFC 5681 3.2 step 4: another segment has left the network.
      this.cwnd += this.#mss;
      return 'none';
    }
    // RFC 6582 3.2 step 1: not for segments of a loss that was already dealt with.
    if (this.#duplicates !== DUPLICATE_ACKS || seqLeq(una, this.#recover)) return 'none';
    this.#halve(flightSize);
    // RFC 5681 3.2 step 3
    this.cwnd = this.ssthresh + DUPLICATE_ACKS * this.#mss;
    this.#recover = sndMax;
    this.#recovering = true;
    return 'retransmit-head';
  }

  /** The retransmission timer expired. RFC 5681 3.1 (4), RFC 6582 section 4 */
  onTimeout(sndMax: Seq, flightSize: number, first: boolean): void {
    // The threshold is set once for a segment, not again by each repetition.
    if (first) this.#halve(flightSize);
    this.cwnd = this.#mss;
    this.#recover = sndMax;
    this.#recovering = false;
    this.#duplicates = 0;
  }

  /** The path took nothing for more than an RTO: the window starts over. RFC 5681 4.1 */
  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.#mss));
  }

  #halve(flightSize: number): void {
    this.ssthresh = Math.max(Math.floor(flightSize / 2), 2 * this.#mss);
  }
}

/** RFC 6928 section 2 */
function initialWindow(mss: number): number {
  return Math.min(10 * mss, Math.max(2 * mss, 14600));
}
