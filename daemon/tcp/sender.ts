/**
 * The sending half of a connection: what is queued, in flight and acknowledged; the windows; retransmission.
 *
 *      una            nxt            una + ring.length
 *       |  in flight   |    unsent    |FIN|
 *
 * RFC 9293 3.8, RFC 6298 section 5 (rules in brackets), RFC 5681. After a timeout NXT goes back to UNA and
 * walks forward again; MAX stays at the end of what was ever sent.
 */

import { type Seq, seqAdd, seqDiff, seqLeq, seqLt, seqMax } from '../wire/seq.ts';
import type { ByteRing } from './byte-ring.ts';
import { NewReno } from './congestion.ts';
import type { Profile } from './profile.ts';
import type { RttEstimator } from './rtt.ts';
import { isFin, isSyn, type Segment } from './segment.ts';
import { IDLE, type SendTimer } from './timers.ts';

/** What the sender wants on the wire: text from the ring, perhaps the FIN. */
export interface Transmission {
  readonly seq: Seq;
  readonly length: number;
  readonly fin: boolean;
  /** It ends what is queued (MUST-61). */
  readonly push: boolean;
  readonly retransmission: boolean;
}

export interface SenderStart {
  readonly profile: Profile;
  readonly iss: Seq;
  readonly ring: ByteRing;
  readonly rtt: RttEstimator;
  readonly mss: number;
  readonly nagle: boolean;
  readonly synWasLost: boolean;
  readonly userTimeoutUs: number;
}

/** The clock of timestamps counts milliseconds. */
const TIMESTAMP_TICK_US = 1000;

/** What an expired timer came to. */
export type Expiry = 'nothing' | 'send' | 'give-up';

export class Sender {
  readonly iss: Seq;
  /** SND.UNA, SND.NXT, and the highest SND.NXT ever. */
  una: Seq;
  nxt: Seq;
  max: Seq;
  /** SND.WND in octets and the largest it ever was; SND.WL1 and SND.WL2. */
  wnd = 0;
  maxWnd = 0;
  timer: SendTimer = IDLE;
  /** Expirations of the timer since something was last acknowledged. */
  expirations = 0;
  readonly ring: ByteRing;
  readonly rtt: RttEstimator;
  readonly congestion: NewReno;

  readonly #profile: Profile;
  readonly #userTimeoutUs: number;
  #mss: number;
  readonly #nagle: boolean;
  #wl1: Seq;
  #wl2: Seq;
  #finQueued = false;
  #finSent = false;
  #headDue = false;
  #probeDue = false;
  #overrideDue = false;
  /** The one segment whose round trip is being measured; Karn's algorithm forgets it when anything is sent again. */
  #timed: { readonly end: Seq; readonly atUs: number } | undefined;
  /** When the peer last gave a sign that what we have for it will get there. */
  #progressUs = 0;
  #lastSentUs = 0;
  /** When something was last sent again. */
  #lastRepeatUs = 0;

  constructor(start: SenderStart) {
    this.#profile = start.profile;
    this.#userTimeoutUs = start.userTimeoutUs;
    this.#mss = start.mss;
    this.#nagle = start.nagle;
    this.iss = start.iss;
    this.ring = start.ring;
    this.rtt = start.rtt;
    this.una = seqAdd(start.iss, 1);
    this.nxt = this.una;
    this.max = this.una;
    this.#wl1 = this.una;
    this.#wl2 = this.una;
    this.congestion = new NewReno(start.mss, start.iss, start.synWasLost);
  }

  get mss(): number {
    return this.#mss;
  }

  get finQueued(): boolean {
    return this.#finQueued;
  }

  /** Our FIN is acknowledged, and with it everything. */
  get finAcked(): boolean {
    return this.#finSent && this.una === this.max;
  }

  /** When the clock is needed next: for the timer, or because the peer was silent for too long (R2). */
  get deadlineUs(): number {
    if (this.timer.kind === 'idle') return Number.POSITIVE_INFINITY;
    return Math.min(this.timer.atUs, this.#progressUs + this.#userTimeoutUs);
  }

  /** Octets sent and not acknowledged. */
  get flightSize(): number {
    return seqDiff(this.max, this.una);
  }

  get unsentBytes(): number {
    return Math.max(this.ring.length - seqDiff(this.nxt, this.una), 0);
  }

  queueFin(): void {
    this.#finQueued = true;
  }

  /** The path takes only segments of `mss`. Those in flight are too large for it: they are sent again, smaller. */
  shrinkMss(mss: number): void {
    this.#mss = mss;
    this.congestion.setMss(mss);
    this.#goBack();
  }

  /** The peer's window, from the segment that brought it. */
  setWindow(window: number, segment: { readonly seq: Seq; readonly ack: Seq }): void {
    this.wnd = window;
    this.maxWnd = Math.max(this.maxWnd, window);
    this.#wl1 = segment.seq;
    this.#wl2 = segment.ack;
  }

  /**
   * Fifth step of RFC 9293 3.10.7.4: an acknowledgement that is not above SND.MAX. `window` is scaled.
   * Answers how many octets it newly acknowledges.
   */
  onAck(segment: Segment, window: number, echoedRttUs: number | undefined, nowUs: number): number {
    const { ack } = segment;
    const acked = seqDiff(ack, this.una);
    if (acked < 0) return 0;
    const isDuplicate =
      acked === 0 &&
      segment.payloadLength === 0 &&
      !isSyn(segment) &&
      !isFin(segment) &&
      window === this.wnd &&
      this.flightSize > 0 &&
      // The answer to a probe of a shut window is none.
      this.timer.kind === 'retransmit';
    // SND.WL1 < SEG.SEQ, or SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK: not an old segment's window.
    if (seqLt(this.#wl1, segment.seq) || (this.#wl1 === segment.seq && seqLeq(this.#wl2, ack))) {
      this.setWindow(window, segment);
    }
    if (acked > 0) this.#onNewAck(ack, acked, echoedRttUs, nowUs);
    else if (isDuplicate && this.congestion.onDuplicateAck(this.una, this.max, this.flightSize) !== 'none') {
      this.#headDue = true;
      this.#timed = undefined;
    }
    if (this.timer.kind === 'persist') {
      // MUST-37: as long as the peer answers probes, the connection stays.
      this.#progressUs = nowUs;
      if (this.#hasRoom()) {
        this.timer = IDLE;
        this.rtt.endBackOff();
      }
    }
    return acked;
  }

  #onNewAck(ack: Seq, acked: number, echoedRttUs: number | undefined, nowUs: number): void {
    if (this.#timed !== undefined && seqLeq(this.#timed.end, ack)) {
      this.rtt.sample(nowUs - this.#timed.atUs);
      this.#timed = undefined;
    } else if (this.#timed === undefined && echoedRttUs !== undefined) {
      // Timestamps tell which transmission was answered (RFC 7323 section 4), unless the echo is older than the
      // last one: a peer that has the data already answers a repetition with the timestamp it had before.
      if (nowUs - echoedRttUs + TIMESTAMP_TICK_US > this.#lastRepeatUs) this.rtt.sample(echoedRttUs);
    }
    const flight = this.flightSize;
    this.ring.drop(Math.min(acked, this.ring.length));
    if (this.ring.length === 0) this.ring.release();
    this.una = ack;
    this.nxt = seqMax(this.nxt, ack);
    this.rtt.endBackOff();
    this.expirations = 0;
    this.#progressUs = nowUs;
    if (this.congestion.onAck(ack, acked, flight - acked) === 'retransmit-head') this.#headDue = true;
    // (5.2) everything is acknowledged: the timer is off; (5.3) new data is: it starts again
    this.timer = this.una === this.max ? IDLE : { kind: 'retransmit', atUs: nowUs + this.rtt.rtoUs };
    if (this.una === this.max) this.#headDue = false;
  }

  /**
   * The next segment to put on the wire, or undefined when nothing may be sent now; then the timer is set for
   * when something may. What it answers counts as sent.
   *
   * @param room most text that fits beside the options of this segment
   */
  next(room: number, nowUs: number): Transmission | undefined {
    const most = Math.min(this.#mss, room);
    if (this.#headDue) {
      this.#headDue = false;
      return this.#transmit(this.una, Math.min(most, this.ring.length), nowUs);
    }
    if (this.#probeDue) {
      // RFC 9293 3.8.6.1 (MUST-36): one octet beyond the window, or the FIN.
      this.#probeDue = false;
      return this.#transmit(this.una, Math.min(1, this.ring.length), nowUs);
    }
    const unsent = this.unsentBytes;
    const finSeq = seqAdd(this.una, this.ring.length);
    const finUnsent = this.#finQueued && !this.finAcked && seqLeq(this.nxt, finSeq);
    if (unsent === 0 && !finUnsent) return undefined;
    if (this.nxt === this.una && nowUs - this.#lastSentUs > this.rtt.rtoUs) this.congestion.onIdle();
    const usable = Math.min(this.wnd, this.congestion.cwnd) - seqDiff(this.nxt, this.una);
    const length = Math.min(unsent, most, usable);
    if (unsent === 0 ? this.#hasRoom() : length > 0 && this.#isWorthSending(length, unsent, most)) {
      this.#overrideDue = false;
      return this.#transmit(this.nxt, Math.max(length, 0), nowUs);
    }
    if (this.nxt === this.una && this.timer.kind === 'idle') {
      // Nothing is in flight whose acknowledgement would open the window.
      this.#progressUs = nowUs;
      const waitUs = this.wnd === 0 ? this.rtt.rtoUs : this.#profile.overrideUs;
      this.timer = { kind: 'persist', atUs: nowUs + waitUs };
    }
    return undefined;
  }

  /** RFC 9293 3.8.6.2.1 (MUST-38), with the Nagle algorithm where it is on. */
  #isWorthSending(length: number, unsent: number, most: number): boolean {
    if (length === most || this.#overrideDue) return true;
    // After a timeout, what was sent before goes out as it can.
    if (seqLeq(seqAdd(this.nxt, length), this.max)) return true;
    if (length === unsent) return !this.#nagle || this.una === this.nxt || this.#finQueued;
    return length >= this.maxWnd / 2;
  }

  #hasRoom(): boolean {
    return seqDiff(this.nxt, this.una) < this.wnd;
  }

  #transmit(from: Seq, length: number, nowUs: number): Transmission {
    const end = seqAdd(from, length);
    const endsQueue = seqDiff(end, this.una) === this.ring.length;
    const finFits = seqDiff(end, this.una) < this.wnd || length === 0;
    const fin = this.#finQueued && endsQueue && finFits;
    const after = fin ? seqAdd(end, 1) : end;
    const retransmission = seqLt(from, this.max);
    if (retransmission) {
      this.#timed = undefined;
      this.#lastRepeatUs = nowUs;
    } else {
      this.#timed ??= { end: after, atUs: nowUs };
      if (this.una === this.max) this.#progressUs = nowUs;
    }
    if (fin) this.#finSent = true;
    if (from === this.nxt && this.timer.kind !== 'persist') this.nxt = after;
    this.max = seqMax(this.max, after);
    this.#lastSentUs = nowUs;
    // (5.1) every time data is sent and the timer is not running, start it
    if (this.timer.kind === 'idle') this.timer = { kind: 'retransmit', atUs: nowUs + this.rtt.rtoUs };
    return { seq: from, length, fin, push: endsQueue && length > 0, retransmission };
  }

  /** Runs the timer when it is due. */
  advance(nowUs: number): Expiry {
    if (this.deadlineUs > nowUs || this.timer.kind === 'idle') return 'nothing';
    // MUST-20b: at R2 the connection is given up.
    if (nowUs - this.#progressUs >= this.#userTimeoutUs) return 'give-up';
    if (this.wnd === 0) return this.#onPersist(nowUs);
    if (this.timer.kind === 'persist') {
      this.timer = IDLE;
      this.#overrideDue = true;
      return 'send';
    }
    // (5.4) the earliest segment not acknowledged is sent again, (5.5) with the timeout doubled
    this.expirations += 1;
    this.congestion.onTimeout(this.max, this.flightSize, this.expirations === 1);
    this.rtt.backOff();
    this.#goBack();
    // (5.6) the timer starts when the segment leaves
    this.timer = IDLE;
    return 'send';
  }

  /** SHLD-29, SHLD-30: the first probe after an RTO, the next ones at growing intervals. */
  #onPersist(nowUs: number): Expiry {
    this.rtt.backOff();
    this.#goBack();
    this.#probeDue = true;
    this.timer = { kind: 'persist', atUs: nowUs + this.rtt.rtoUs };
    return 'send';
  }

  #goBack(): void {
    this.nxt = this.una;
    this.#timed = undefined;
    this.#headDue = false;
  }
}
