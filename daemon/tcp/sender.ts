/**
 * The sending half of a connection: what is queued, in flight and acknowledged; the windows; the timer.
 *
 *      una            nxt            una + ring.length
 *       |  in flight   |    unsent    |FIN|
 *
 * RFC 9293 3.8, RFC 6298 section 5 (rules in brackets). What was lost, and how much may be on its way, is
 * loss-recovery.ts. MAX is beyond NXT only by the octet of a window probe.
 */

import { type Seq, seqAdd, seqDiff, seqLeq, seqLt, seqMax } from '../wire/seq.ts';
import { ECE, SYN } from '../wire/tcp-header.ts';
import type { ByteRing } from './byte-ring.ts';
import { LossRecovery } from './loss-recovery.ts';
import { isWorthSending } from './nagle.ts';
import type { Profile } from './profile.ts';
import type { RttEstimator } from './rtt.ts';
import type { Flight } from './scoreboard.ts';
import { isFin, isSyn, type Segment } from './segment.ts';
import type { Settings } from './settings.ts';
import { TailLossProbe } from './tail-loss-probe.ts';
import { IDLE, type SendTimer } from './timers.ts';

/** What the sender wants on the wire: text from the ring, perhaps the FIN. */
export interface Transmission {
  readonly seq: Seq;
  readonly length: number;
  readonly fin: boolean;
  /** It ends what is queued (MUST-61). */
  readonly push: boolean;
  readonly retransmission: boolean;
  /** New text on a connection with ECN: routers may mark it. RFC 3168 6.1 */
  readonly markable: boolean;
}

export interface SenderStart {
  readonly profile: Profile;
  readonly settings: Settings;
  readonly iss: Seq;
  readonly ring: ByteRing;
  readonly rtt: RttEstimator;
  readonly mss: number;
  readonly sack: boolean;
  readonly ecn: boolean;
  readonly synWasLost: boolean;
}

/** The clock of timestamps counts milliseconds. */
const TIMESTAMP_TICK_US = 1000;

/** What an expired timer came to. */
export type Expiry = 'nothing' | 'send' | 'give-up';

export class Sender {
  readonly iss: Seq;
  /** SND.UNA, SND.NXT, and the end of what was ever sent. */
  una: Seq;
  nxt: Seq;
  max: Seq;
  /** SND.WND in octets and the largest it ever was; SND.WL1 and SND.WL2. */
  wnd = 0;
  maxWnd = 0;
  /** SND.UP: the number after the last urgent octet. */
  up: Seq | undefined;
  timer: SendTimer = IDLE;
  /** Expirations of the timer since something was last acknowledged. */
  expirations = 0;
  /** Probes of a shut window without an answer. */
  windowProbes = 0;
  /** RFC 3168 6.1.2: the next new text says that the window was brought down. */
  reductionTold = true;
  readonly ring: ByteRing;
  readonly rtt: RttEstimator;
  readonly loss: LossRecovery;
  readonly ecn: boolean;

  readonly #profile: Profile;
  readonly #settings: Settings;
  readonly #tail = new TailLossProbe();
  readonly #sack: boolean;
  #mss: number;
  #wl1: Seq;
  #wl2: Seq;
  /** More text is to come: nothing small is sent. */
  #more = false;
  /** The end of the last segment that was not full. */
  #smallEnd: Seq;
  /** The end of what was queued when last nothing was in flight: it goes out as it is. */
  #idleEnd: Seq;
  #finQueued = false;
  #finSent = false;
  #probeDue = false;
  #tailProbeDue = false;
  #overrideDue = false;
  /** When the peer last gave a sign that what we have for it will get there. */
  #progressUs = 0;
  #lastSentUs = 0;
  /** When something was last sent again. */
  #lastRepeatUs = Number.NEGATIVE_INFINITY;

  constructor(start: SenderStart) {
    this.#profile = start.profile;
    this.#settings = start.settings;
    this.#mss = start.mss;
    this.#sack = start.sack;
    this.ecn = start.ecn;
    this.iss = start.iss;
    this.ring = start.ring;
    this.rtt = start.rtt;
    this.una = seqAdd(start.iss, 1);
    this.nxt = this.una;
    this.max = this.una;
    this.#wl1 = this.una;
    this.#wl2 = this.una;
    this.#smallEnd = this.una;
    this.#idleEnd = this.una;
    const { iss, mss, sack, synWasLost } = start;
    this.loss = new LossRecovery(start.profile, {
      name: start.settings.congestion,
      mss,
      iss,
      sack,
      synWasLost,
    });
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

  get #userTimeoutUs(): number {
    return this.#settings.userTimeoutUs ?? this.#profile.userTimeoutUs;
  }

  get unsentBytes(): number {
    return Math.max(this.ring.length - seqDiff(this.nxt, this.una), 0);
  }

  queueFin(): void {
    this.#finQueued = true;
    this.#more = false;
  }

  /** Text was queued; `more` of it is to come at once, or its last octet is urgent. */
  textQueued(more: boolean, urgent: boolean): void {
    this.#more = more;
    if (urgent) this.up = seqAdd(this.una, this.ring.length);
  }

  /** The user wants no larger segments. */
  limitMss(mss: number): void {
    if (mss >= this.#mss) return;
    this.#mss = mss;
    this.loss.setMss(mss);
  }

  /** The path takes only segments of `mss`. Those in flight are too large for it: they are sent again, smaller. */
  shrinkMss(mss: number): void {
    this.#mss = mss;
    this.loss.setMss(mss);
    this.loss.resendAll();
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
   *
   * @param echoedAtUs when the segment was sent that it answers, by the timestamps
   */
  onAck(segment: Segment, window: number, echoedAtUs: number | undefined, nowUs: number): number {
    const { ack } = segment;
    const acked = seqDiff(ack, this.una);
    if (acked < 0) return 0;
    const blocks = segment.options.sack ?? [];
    const duplicate = this.#isDuplicate(segment, acked, window);
    // SND.WL1 < SEG.SEQ, or SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK: not an old segment's window.
    if (seqLt(this.#wl1, segment.seq) || (this.#wl1 === segment.seq && seqLeq(this.#wl2, ack))) {
      this.setWindow(window, segment);
    }
    if (this.ecn && (segment.flags & (ECE | SYN)) === ECE && this.loss.onMark(ack, this.nxt))
      this.reductionTold = false;
    if (acked > 0 || duplicate || blocks.length > 0) {
      const { una, nxt } = this;
      const srttUs = this.rtt.srttUs ?? this.rtt.rtoUs;
      const heard = this.loss.onAck({ ack, una, nxt, blocks, duplicate, echoedAtUs, srttUs, nowUs });
      if (this.#tail.onAck(ack, heard.twice, duplicate && blocks.length === 0)) {
        this.loss.tailWasLost(una, nxt);
      }
      this.#measure(acked, heard.rttUs, echoedAtUs, nowUs);
      if (acked > 0) this.#onNewAck(ack, acked, nowUs);
      else this.#restartTimer(nowUs);
    }
    if (this.timer.kind === 'persist') {
      // MUST-37: as long as the peer answers probes, the connection stays.
      this.windowProbes = 0;
      this.#progressUs = nowUs;
      if (this.wnd > 0 && (this.#hasRoom() || !this.loss.board.empty)) {
        this.timer = IDLE;
        this.rtt.endBackOff();
        // What was in flight when the window was shut did not get in.
        this.loss.resendAll();
      }
    }
    return acked;
  }

  /** RFC 5681 section 2. The answer to a probe of a shut window is none. */
  #isDuplicate(segment: Segment, acked: number, window: number): boolean {
    return (
      acked === 0 &&
      segment.payloadLength === 0 &&
      !isSyn(segment) &&
      !isFin(segment) &&
      window === this.wnd &&
      !this.loss.board.empty &&
      this.timer.kind !== 'persist'
    );
  }

  #measure(acked: number, rttUs: number | undefined, echoedAtUs: number | undefined, nowUs: number): void {
    if (rttUs !== undefined) this.rtt.sample(rttUs);
    // Timestamps tell which transmission was answered (RFC 7323 section 4), unless the echo is older than the
    // last one: a peer that has the data already answers a repetition with the timestamp it had before.
    else if (acked > 0 && echoedAtUs !== undefined && echoedAtUs + TIMESTAMP_TICK_US > this.#lastRepeatUs) {
      this.rtt.sample(nowUs - Math.max(echoedAtUs, this.#lastRepeatUs));
    }
  }

  #onNewAck(ack: Seq, acked: number, nowUs: number): void {
    this.ring.drop(Math.min(acked, this.ring.length));
    if (this.ring.length === 0) this.ring.release();
    this.una = ack;
    this.nxt = seqMax(this.nxt, ack);
    this.max = seqMax(this.max, ack);
    this.#smallEnd = seqMax(this.#smallEnd, ack);
    if (this.up !== undefined && seqLeq(this.up, ack)) this.up = undefined;
    this.rtt.endBackOff();
    this.expirations = 0;
    this.#progressUs = nowUs;
    // (5.2) everything is acknowledged: the timer is off; (5.3) new data is: it starts again
    if (this.loss.board.empty) this.timer = IDLE;
    else this.#startTimer(nowUs);
  }

  /** (5.1), (5.3): the timer starts anew. */
  #startTimer(nowUs: number): void {
    this.#setTimer(nowUs + this.rtt.rtoUs, nowUs);
  }

  /** What comes before the timeout may have changed; the timeout has not. */
  #restartTimer(nowUs: number): void {
    const { timer } = this;
    if (timer.kind === 'idle' || timer.kind === 'persist') return;
    this.#setTimer(timer.kind === 'retransmit' ? timer.atUs : timer.timeoutUs, nowUs);
  }

  #setTimer(timeoutUs: number, nowUs: number): void {
    const { reorderAtUs, board } = this.loss;
    this.timer = { kind: 'retransmit', atUs: timeoutUs };
    if (reorderAtUs !== undefined) {
      this.timer = { kind: 'reorder', atUs: Math.min(reorderAtUs, timeoutUs), timeoutUs };
      return;
    }
    const probes = this.#sack && this.#profile.lossDetection === 'rack' && this.expirations === 0;
    if (!probes || this.loss.phase !== 'open' || this.#tail.pending || board.sackedSegments > 0) return;
    const atUs = nowUs + TailLossProbe.timeoutUs(this.rtt.srttUs, board.length);
    if (atUs < timeoutUs) this.timer = { kind: 'tail-probe', atUs, timeoutUs };
  }

  /**
   * The next segment to put on the wire, or undefined when nothing may be sent now; then the timer is set for
   * when something may. What it answers counts as sent.
   *
   * @param room most text that fits beside the options of this segment
   */
  next(room: number, nowUs: number): Transmission | undefined {
    const most = Math.min(this.#mss, room);
    const again = this.loss.nextResend(seqAdd(this.una, this.wnd));
    if (again !== undefined) return this.#resend(again, most, nowUs);
    if (this.#probeDue) {
      // RFC 9293 3.8.6.1 (MUST-36): one octet beyond the window, or the FIN.
      this.#probeDue = false;
      return this.#probe(nowUs);
    }
    const unsent = this.unsentBytes;
    const finSeq = seqAdd(this.una, this.ring.length);
    const finUnsent = this.#finQueued && !this.finAcked && seqLeq(this.nxt, finSeq);
    if (this.#tailProbeDue) {
      this.#tailProbeDue = false;
      const last = this.loss.board.last;
      const fits = unsent > 0 && Math.min(unsent, most) <= this.wnd - seqDiff(this.nxt, this.una);
      if (!fits && last !== undefined) {
        this.#tail.sent(this.nxt, true);
        return this.#resend(last, most, nowUs);
      }
      if (fits) {
        const sent = this.#transmit(Math.min(unsent, most), nowUs);
        this.#tail.sent(this.nxt, false);
        return sent;
      }
    }
    if (unsent === 0 && !finUnsent) return undefined;
    if (this.una === this.nxt) this.#idleEnd = finSeq;
    if (this.loss.board.empty && nowUs - this.#lastSentUs > this.rtt.rtoUs) this.loss.window.onIdle();
    const inWindow = this.wnd - seqDiff(this.nxt, this.una);
    const usable = Math.min(inWindow, this.loss.window.cwnd - this.loss.pipe);
    const length = Math.floor(Math.min(unsent, most, usable));
    if (unsent === 0 ? this.#hasRoom() : length > 0 && this.#isWorthSending(length, unsent, most)) {
      this.#overrideDue = false;
      return this.#transmit(Math.max(length, 0), nowUs);
    }
    if (this.loss.board.empty && this.timer.kind === 'idle') {
      // Nothing is in flight whose acknowledgement would open the window.
      this.#progressUs = nowUs;
      const corked = this.#settings.cork || this.#more;
      const waitUs =
        this.wnd === 0 ? this.rtt.rtoUs : corked ? this.#profile.corkUs : this.#profile.overrideUs;
      if (Number.isFinite(waitUs)) this.timer = { kind: 'persist', atUs: nowUs + waitUs };
    }
    return undefined;
  }

  #isWorthSending(length: number, unsent: number, most: number): boolean {
    if (this.#overrideDue) return true;
    return isWorthSending({
      length,
      unsent,
      most,
      maxWnd: this.maxWnd,
      nagle: this.#settings.nagle && !this.#finQueued,
      corked: (this.#settings.cork || this.#more) && !this.#finQueued,
      idle: this.#profile.nagleBySmall
        ? seqLeq(this.#smallEnd, this.una)
        : seqLeq(seqAdd(this.una, this.ring.length), this.#idleEnd),
    });
  }

  #hasRoom(): boolean {
    return seqDiff(this.nxt, this.una) < this.wnd;
  }

  #fin(end: Seq, length: number): boolean {
    const endsQueue = seqDiff(end, this.una) === this.ring.length;
    return this.#finQueued && endsQueue && (seqDiff(end, this.una) < this.wnd || length === 0);
  }

  /** New text from NXT on, perhaps the FIN. */
  #transmit(length: number, nowUs: number): Transmission {
    const from = this.nxt;
    const end = seqAdd(from, length);
    const fin = this.#fin(end, length);
    const after = fin ? seqAdd(end, 1) : end;
    const retransmission = seqLt(from, this.max);
    if (this.una === this.max) this.#progressUs = nowUs;
    if (fin) this.#finSent = true;
    if (length < this.#mss) this.#smallEnd = end;
    const push = seqDiff(end, this.una) === this.ring.length && length > 0;
    this.loss.board.push({ seq: from, end: after, fin, push }, nowUs);
    this.loss.noteSent(length);
    this.nxt = after;
    this.max = seqMax(this.max, after);
    this.#lastSentUs = nowUs;
    // (5.1) every time data is sent and the timer is not running, start it
    if (this.timer.kind === 'idle' || this.timer.kind === 'persist') this.#startTimer(nowUs);
    else this.#restartTimer(nowUs);
    return {
      seq: from,
      length,
      fin,
      push,
      retransmission,
      markable: this.ecn && length > 0 && !retransmission,
    };
  }

  #resend(flight: Flight, most: number, nowUs: number): Transmission {
    const { board } = this.loss;
    const octets = seqDiff(flight.end, flight.seq) - (flight.fin ? 1 : 0);
    if (octets > most) board.split(flight, most);
    else if (flight.lost) board.gather(flight, most);
    const length = seqDiff(flight.end, flight.seq) - (flight.fin ? 1 : 0);
    board.resend(flight, nowUs);
    this.loss.noteSent(length);
    this.#lastRepeatUs = nowUs;
    this.#lastSentUs = nowUs;
    if (this.timer.kind === 'idle') this.#startTimer(nowUs);
    const { seq, fin, push } = flight;
    return { seq, length, fin, push, retransmission: true, markable: false };
  }

  #probe(nowUs: number): Transmission {
    const bare = this.#profile.windowProbe === 'bare';
    const length = bare ? 0 : Math.min(1, this.ring.length);
    const end = seqAdd(this.una, length);
    const fin = !bare && this.#fin(end, length);
    const after = fin ? seqAdd(end, 1) : end;
    if (fin) this.#finSent = true;
    const retransmission = seqLt(this.una, this.max);
    if (!retransmission) this.#progressUs = nowUs;
    this.max = seqMax(this.max, after);
    this.#lastSentUs = nowUs;
    if (retransmission) this.#lastRepeatUs = nowUs;
    const seq = bare ? seqAdd(this.una, -1) : this.una;
    return {
      seq,
      length,
      fin,
      push: length === this.ring.length && length > 0,
      retransmission,
      markable: false,
    };
  }

  /** Runs the timer when it is due. */
  advance(nowUs: number): Expiry {
    const { timer } = this;
    if (this.deadlineUs > nowUs || timer.kind === 'idle') return 'nothing';
    // MUST-20b: at R2 the connection is given up.
    if (nowUs - this.#progressUs >= this.#userTimeoutUs) return 'give-up';
    if (this.wnd === 0) return this.#onPersist(nowUs);
    switch (timer.kind) {
      case 'persist':
        this.timer = IDLE;
        this.#overrideDue = true;
        return 'send';
      case 'reorder':
        if (timer.atUs < timer.timeoutUs) {
          this.loss.reorderTimeout(this.una, this.nxt, this.rtt.srttUs ?? this.rtt.rtoUs, nowUs);
          this.#setTimer(timer.timeoutUs, nowUs);
          return 'send';
        }
        return this.#onTimeout(nowUs);
      case 'tail-probe':
        this.#tailProbeDue = true;
        // RFC 8985 7.3: the timeout starts again from the probe.
        this.timer = { kind: 'retransmit', atUs: nowUs + this.rtt.rtoUs };
        return 'send';
      case 'retransmit':
        return this.#onTimeout(nowUs);
    }
  }

  /** (5.4) the earliest segment not acknowledged is sent again, (5.5) with the timeout doubled. */
  #onTimeout(nowUs: number): Expiry {
    const { retries } = this.#profile;
    if (retries !== undefined && this.expirations >= retries) return 'give-up';
    this.expirations += 1;
    this.#tail.cancel();
    this.#tailProbeDue = false;
    this.loss.onTimeout(this.una, this.nxt, nowUs);
    this.rtt.backOff();
    // (5.6) the timer starts when the segment leaves
    this.timer = IDLE;
    return 'send';
  }

  /** SHLD-29, SHLD-30: the first probe after an RTO, the next ones at growing intervals. */
  #onPersist(nowUs: number): Expiry {
    this.rtt.backOff();
    this.windowProbes += 1;
    this.#probeDue = true;
    this.timer = { kind: 'persist', atUs: nowUs + this.rtt.rtoUs };
    return 'send';
  }
}
