/**
 * What a loss does to the congestion window, until everything that was sent before it is acknowledged.
 * RFC 6937 (proportional rate reduction), RFC 6582 (`recover`), RFC 3168 6.1.2, RFC 3522 (Eifel detection).
 */

import { type Seq, seqAdd, seqLeq, seqLt, seqMax } from '../wire/seq.ts';
import type { CongestionWindow } from './congestion.ts';

/** The clock of timestamps counts milliseconds. */
const TIMESTAMP_TICK_US = 1000;

/**
 * `open`: all is well. `recovery`: segments were lost and are sent again. `loss`: the timer expired. `reduced`: the
 * network marked a packet, the window is smaller, and nothing has to be sent again.
 */
export type RecoveryPhase = 'open' | 'recovery' | 'loss' | 'reduced';

export class Recovery {
  readonly #window: CongestionWindow;
  phase: RecoveryPhase = 'open';
  /** RFC 3168 6.1.2: the window was brought down, for whatever reason, and no CWR has said so. */
  reductionToTell = false;
  /** It ends when this number is acknowledged. */
  #recover: Seq;
  /** RFC 6937: octets delivered and sent since it began, and those in flight when it did. */
  #delivered = 0;
  #sent = 0;
  #flightBefore = 0;
  /** What to return to when it turns out that nothing was lost. */
  #before: { readonly cwnd: number; readonly ssthresh: number; readonly firstResentUs: number } | undefined;

  constructor(window: CongestionWindow, iss: Seq) {
    this.#window = window;
    this.#recover = iss;
  }

  /** Something is being sent again. */
  get active(): boolean {
    return this.phase === 'recovery' || this.phase === 'loss';
  }

  /** RFC 6582 3.2 step 1: a loss of what was sent before the last recovery ended was dealt with. */
  isDealtWith(una: Seq): boolean {
    return seqLeq(una, this.#recover);
  }

  /** Whether an acknowledgement of `una` ends it. */
  endsWith(una: Seq): boolean {
    return seqLeq(this.#recover, una);
  }

  /** Segments were found lost: `nxt` ends it. */
  begin(nxt: Seq, flight: number, nowUs: number): void {
    this.#remember(nowUs);
    if (this.phase === 'open') this.#window.reduce(flight);
    this.phase = 'recovery';
    this.reductionToTell = true;
    this.#recover = nxt;
    this.#delivered = 0;
    this.#sent = 0;
    this.#flightBefore = Math.max(flight, 1);
  }

  /** The retransmission timer expired, for the first time or again. */
  timeout(nxt: Seq, flight: number, nowUs: number): void {
    // The threshold is set once for a segment, not again by each repetition (RFC 5681 3.1).
    if (this.phase !== 'loss') {
      this.#remember(nowUs);
      if (this.phase === 'open') this.#window.reduce(flight);
    }
    this.#window.onTimeout();
    this.phase = 'loss';
    this.reductionToTell = true;
    this.#recover = nxt;
  }

  /** RFC 3168 6.1.2: as for a loss, but nothing was lost; once for a window of data. */
  marked(una: Seq, nxt: Seq, flight: number): void {
    if (this.phase !== 'open' || seqLt(una, this.#recover)) return;
    this.reductionToTell = true;
    this.#window.reduce(flight);
    this.#window.cwnd = this.#window.ssthresh;
    this.phase = 'reduced';
    this.#recover = nxt;
  }

  /** RFC 6937 section 3, for an ACK that delivered so many octets while `pipe` are in the network. */
  reduceInProportion(delivered: number, pipe: number, progress: boolean, mss: number): void {
    const { ssthresh } = this.#window;
    this.#delivered += delivered;
    let send: number;
    if (pipe > ssthresh) {
      send = Math.ceil((this.#delivered * ssthresh) / this.#flightBefore) - this.#sent;
    } else {
      const conserved = Math.max(this.#delivered - this.#sent, 0);
      // Slow start towards the threshold while the recovery makes progress, else one for one.
      const limit = Math.max(conserved, delivered) + (progress ? mss : 0);
      send = Math.min(ssthresh - pipe, limit);
    }
    this.#window.cwnd = Math.max(pipe + Math.max(send, 0), mss);
  }

  /** Octets were sent while it lasts. */
  noteSent(octets: number): void {
    if (this.phase === 'recovery') this.#sent += octets;
  }

  /** `una` is acknowledged. Answers whether that ended a recovery. */
  progress(una: Seq): boolean {
    const recovered = this.active;
    if (this.phase === 'open') {
      // Never so far behind that the comparison turns round.
      this.#recover = seqMax(this.#recover, seqAdd(una, -1));
      return false;
    }
    if (!this.endsWith(una)) return false;
    if (this.phase === 'recovery') this.#window.cwnd = this.#window.ssthresh;
    this.phase = 'open';
    this.#before = undefined;
    return recovered;
  }

  /**
   * RFC 3522: an answer that echoes a time before anything was sent again is one to the original, so nothing had
   * been lost. Answers whether that was so; the window is then as before.
   */
  undo(echoedAtUs: number): boolean {
    if (!this.active || this.#before === undefined) return false;
    if (echoedAtUs + TIMESTAMP_TICK_US > this.#before.firstResentUs) return false;
    this.#window.restore(this.#before.cwnd, this.#before.ssthresh);
    this.#before = undefined;
    this.phase = 'open';
    return true;
  }

  #remember(nowUs: number): void {
    if (this.phase === 'recovery' && this.#before === undefined) return;
    const { cwnd, ssthresh } = this.#window;
    this.#before ??= { cwnd, ssthresh, firstResentUs: nowUs };
  }
}
