/**
 * The sending half of a connection: what is queued, in flight and acknowledged.
 *
 *      una            nxt            una + ring.length
 *       |  in flight   |    unsent    |FIN|
 *
 * RFC 9293 3.8, RFC 6298 section 5 (rules in brackets). What was lost, and how much may be on its way, is
 * loss-recovery.ts; when to act without being asked is send-timer.ts. MAX is beyond NXT only by the octet of a
 * window probe.
 */

import { type Seq, seqAdd, seqDiff, seqLeq, seqLt, seqMax } from '../wire/seq.ts';
import { ECE, SYN } from '../wire/tcp-header.ts';
import type { ByteRing } from './byte-ring.ts';
import { Fifo } from './fifo.ts';
import { LossRecovery } from './loss-recovery.ts';
import { isWorthSending } from './nagle.ts';
import type { Profile } from './profile.ts';
import type { RttEstimator } from './rtt.ts';
import type { Flight } from './scoreboard.ts';
import { isFin, isSyn, type Segment } from './segment.ts';
import { SenderTimer } from './send-timer.ts';
import type { SendWindow } from './send-window.ts';
import type { Settings } from './settings.ts';
import type { Expiry, Transmission } from './transmission.ts';

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
  readonly window: SendWindow;
}

/** The clock of timestamps counts milliseconds. */
const TIMESTAMP_TICK_US = 1000;

export class Sender {
  readonly iss: Seq;
  /** SND.UNA, SND.NXT, and the end of what was ever sent. */
  una: Seq;
  nxt: Seq;
  max: Seq;
  /** SND.UP: the number after the last urgent octet. */
  up: Seq | undefined;
  finSent = false;
  /** Probes of a shut window without an answer. */
  windowProbes = 0;
  readonly window: SendWindow;
  readonly ring: ByteRing;
  readonly rtt: RttEstimator;
  readonly loss: LossRecovery;
  readonly timer: SenderTimer;
  readonly ecn: boolean;

  readonly #profile: Profile;
  readonly #settings: Settings;
  #mss: number;
  /** More text is to come: nothing small is sent. */
  #more = false;
  /** Where pieces of text end that were queued and not sent. */
  readonly #writeEnds = new Fifo<Seq>();
  /** The end of the last segment that was not full. */
  #smallEnd: Seq;
  /** The end of the last segment that was full, and when it left. */
  #full: { readonly end: Seq; readonly atUs: number } | undefined;
  /** The end of what was queued when last nothing was in flight: it goes out as it is. */
  #idleEnd: Seq;
  #finQueued = false;
  #windowProbeDue = false;
  #tailProbeDue = false;
  #overrideDue = false;
  #lastSentUs = 0;
  /** When all was last sent again for a smaller path, and the MSS it was sent with. */
  #resentUs = Number.NEGATIVE_INFINITY;
  #resentMss = Number.POSITIVE_INFINITY;
  /** When something was last sent again. */
  #lastRepeatUs = Number.NEGATIVE_INFINITY;

  constructor({ profile, settings, iss, ring, rtt, mss, sack, ecn, synWasLost, window }: SenderStart) {
    this.#profile = profile;
    this.#settings = settings;
    this.#mss = mss;
    this.ecn = ecn;
    this.iss = iss;
    this.ring = ring;
    this.rtt = rtt;
    this.window = window;
    this.una = seqAdd(iss, 1);
    this.nxt = this.una;
    this.max = this.una;
    this.#smallEnd = this.una;
    this.#idleEnd = this.una;
    const firstRttUs = rtt.srttUs;
    this.loss = new LossRecovery(profile, {
      name: settings.congestion,
      mss,
      iss,
      sack,
      synWasLost,
      firstRttUs,
    });
    this.timer = new SenderTimer(profile, settings, rtt, this.loss, sack);
  }

  get mss(): number {
    return this.#mss;
  }

  get finQueued(): boolean {
    return this.#finQueued;
  }

  /** Our FIN is acknowledged, and with it everything. */
  get finAcked(): boolean {
    return this.finSent && this.una === this.max;
  }

  /** Nothing waits for an acknowledgement, and nothing for the window. */
  get idle(): boolean {
    return this.loss.board.empty && this.timer.idle;
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
    const end = seqAdd(this.una, this.ring.length);
    if (urgent) this.up = end;
    if (this.#profile.pushEachWrite && !more) this.#writeEnds.push(end);
  }

  /** As `textQueued`, of what was queued before the connection was open; `urgentOctets` of it end with an urgent one. */
  textWasQueued(more: boolean, urgentOctets: number): void {
    if (this.ring.length === 0) return;
    this.textQueued(more, false);
    if (urgentOctets > 0) this.up = seqAdd(this.una, urgentOctets);
  }

  /** What is queued goes out as far as the windows let it, full or not. */
  push(): void {
    this.#overrideDue = this.unsentBytes > 0;
  }

  /** The user wants no larger segments. */
  limitMss(mss: number): void {
    if (mss >= this.#mss) return;
    this.#mss = mss;
    this.loss.setMss(mss);
  }

  /** The path takes only segments of `mss`. Those in flight are too large for it: they are sent again, smaller. */
  shrinkMss(mss: number, nowUs: number): void {
    this.#mss = mss;
    this.loss.setMss(mss);
    // RFC 5927 7.2: a path that is said to shrink by a little again and again does not make us send it all each time.
    const little = mss > 0.9 * this.#resentMss && nowUs - this.#resentUs < this.rtt.rtoUs;
    if (little) return;
    this.#resentMss = mss;
    this.#resentUs = nowUs;
    this.loss.resendAll(this.nxt);
  }

  /**
   * Fifth step of RFC 9293 3.10.7.4: an acknowledgement that is not above SND.MAX. `offered` is its window, scaled.
   * Answers how many octets it newly acknowledges.
   *
   * @param echoedAtUs when the segment was sent that it answers, by the timestamps
   */
  onAck(segment: Segment, offered: number, echoedAtUs: number | undefined, nowUs: number): number {
    const { ack } = segment;
    const acked = seqDiff(ack, this.una);
    if (acked < 0) return 0;
    const blocks = segment.options.sack ?? [];
    const duplicate = this.#isDuplicate(segment, acked, offered);
    const wasShut = this.window.octets === 0;
    const sameWindow = offered === this.window.octets;
    this.window.update(offered, segment);
    const marked = this.ecn && (segment.flags & (ECE | SYN)) === ECE;
    if (marked) this.loss.onMark(this.una, ack, this.nxt);
    const { una, nxt } = this;
    let twice = false;
    if (acked > 0 || duplicate || blocks.length > 0) {
      const srttUs = this.rtt.srttUs ?? this.rtt.rtoUs;
      const heard = this.loss.onAck({ ack, una, nxt, blocks, duplicate, echoedAtUs, srttUs, nowUs });
      ({ twice } = heard);
      this.#measure(acked, heard.rttUs, echoedAtUs, nowUs);
      if (acked > 0) this.#onNewAck(ack, acked, nowUs);
      else this.timer.restart(nowUs);
    }
    // Whoever has all we sent may still answer a probe of the tail with a bare ACK.
    const bare = acked === 0 && segment.length === 0 && blocks.length === 0 && sameWindow;
    if (this.timer.tail.onAck(ack, twice, bare)) this.loss.tailWasLost(una, nxt);
    // What waits for more text or a larger window goes on waiting, however often the peer speaks.
    if (this.timer.persists && wasShut) this.#onProbeAnswered(nowUs);
    return acked;
  }

  /** RFC 5681 section 2. The answer to a probe of a shut window is none. */
  #isDuplicate(segment: Segment, acked: number, offered: number): boolean {
    return (
      acked === 0 &&
      segment.payloadLength === 0 &&
      !isSyn(segment) &&
      !isFin(segment) &&
      offered === this.window.octets &&
      !this.loss.board.empty &&
      !this.timer.persists
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
    this.#idleEnd = seqMax(this.#idleEnd, ack);
    // Karn: a longer timeout stays until there is a measurement; one that a shut window made longer does not.
    if (this.windowProbes > 0) this.rtt.endBackOff();
    this.windowProbes = 0;
    if (this.up !== undefined && seqLeq(this.up, ack)) this.up = undefined;
    this.timer.expirations = 0;
    this.timer.noteProgress(nowUs);
    // (5.2) everything is acknowledged: the timer is off; (5.3) new data is: it starts again
    if (this.loss.board.empty) this.timer.stop();
    else this.timer.start(nowUs);
  }

  #onProbeAnswered(nowUs: number): void {
    // MUST-37: as long as the peer answers probes, the connection stays.
    this.windowProbes = 0;
    this.timer.noteProgress(nowUs);
    if (this.window.octets === 0 || !(this.#hasRoom() || !this.loss.board.empty)) return;
    this.timer.stop();
    this.rtt.endBackOff();
    // What was in flight when the window was shut did not get in.
    this.loss.resendAll(this.nxt);
  }

  /**
   * The next segment to put on the wire, or undefined when nothing may be sent now; then the timer is set for
   * when something may. What it answers counts as sent.
   *
   * @param room most text that fits beside the options of this segment
   */
  next(room: number, nowUs: number): Transmission | undefined {
    const transmission = this.#choose(room, nowUs);
    // Whatever is in flight has a clock.
    if (transmission === undefined && this.timer.idle && !this.loss.board.empty) this.timer.start(nowUs);
    return transmission;
  }

  #choose(room: number, nowUs: number): Transmission | undefined {
    const most = Math.min(this.#mss, room);
    const again = this.loss.nextResend(seqAdd(this.una, this.window.octets));
    if (again !== undefined) return this.#resend(again, most, nowUs);
    if (this.#windowProbeDue) return this.#probeWindow(nowUs);
    if (this.#tailProbeDue) {
      const probe = this.#probeTail(most, nowUs);
      if (probe !== undefined) return probe;
    }
    const unsent = this.unsentBytes;
    const queueEnd = seqAdd(this.una, this.ring.length);
    const finUnsent = this.#finQueued && !this.finAcked && seqLeq(this.nxt, queueEnd);
    if (unsent === 0 && !finUnsent) return undefined;
    if (this.una === this.nxt) this.#idleEnd = queueEnd;
    if (this.loss.board.empty && nowUs - this.#lastSentUs > this.rtt.rtoUs) this.loss.window.onIdle();
    const inWindow = this.window.octets - seqDiff(this.nxt, this.una);
    const usable = Math.min(inWindow, this.loss.window.cwnd - this.loss.pipe);
    const length = Math.floor(Math.min(unsent, most, usable));
    const follows = this.#full?.end === this.nxt && this.#full.atUs === nowUs;
    const fills = this.#profile.fillsWindow && follows && length === inWindow;
    if (unsent === 0 ? this.#hasRoom() : length > 0 && this.#isWorthSending(length, unsent, most, fills)) {
      this.#overrideDue = false;
      return this.#transmit(Math.max(length, 0), most, nowUs);
    }
    // Nothing is in flight whose acknowledgement would open the window.
    if (this.idle) this.#wait(nowUs);
    return undefined;
  }

  #isWorthSending(length: number, unsent: number, most: number, fills: boolean): boolean {
    if (this.#overrideDue) return true;
    const { nagle, cork } = this.#settings;
    return isWorthSending({
      length,
      unsent,
      most,
      fills,
      maxWnd: this.window.largest,
      nagle: nagle && !this.#finQueued,
      corked: (cork || this.#more) && !this.#finQueued,
      idle: this.#profile.nagleBySmall
        ? seqLeq(this.#smallEnd, this.una)
        : seqLeq(seqAdd(this.una, this.ring.length), this.#idleEnd),
    });
  }

  #wait(nowUs: number): void {
    const { overrideUs, corkUs } = this.#profile;
    const corked = this.#settings.cork || this.#more;
    this.timer.noteProgress(nowUs);
    this.timer.persist(nowUs + (this.window.octets === 0 ? this.rtt.rtoUs : corked ? corkUs : overrideUs));
  }

  #hasRoom(): boolean {
    return seqDiff(this.nxt, this.una) < this.window.octets;
  }

  #carriesFin(end: Seq, length: number): boolean {
    const octets = seqDiff(end, this.una);
    return this.#finQueued && octets === this.ring.length && (octets < this.window.octets || length === 0);
  }

  /** New text from NXT on, perhaps the FIN. */
  #transmit(length: number, most: number, nowUs: number): Transmission {
    const seq = this.nxt;
    const textEnd = seqAdd(seq, length);
    const fin = this.#carriesFin(textEnd, length);
    const end = fin ? seqAdd(textEnd, 1) : textEnd;
    const endsWrite = this.#endsWrite(textEnd);
    const push = length > 0 && (endsWrite || seqDiff(textEnd, this.una) === this.ring.length);
    const retransmission = seqLt(seq, this.max);
    if (this.una === this.max) this.timer.noteProgress(nowUs);
    if (fin) this.finSent = true;
    if (length < most) this.#smallEnd = textEnd;
    else this.#full = { end: textEnd, atUs: nowUs };
    this.loss.board.push({ seq, end, fin, push }, nowUs);
    this.loss.noteSent(length);
    this.nxt = end;
    this.max = seqMax(this.max, end);
    this.#lastSentUs = nowUs;
    // (5.1) every time data is sent and the timer is not running, start it
    if (this.timer.idle || this.timer.persists) this.timer.start(nowUs);
    else this.timer.restart(nowUs);
    return { seq, length, fin, push, retransmission, markable: this.ecn && length > 0 && !retransmission };
  }

  /** Whether a piece of text that was queued ends in what is sent up to there. */
  #endsWrite(textEnd: Seq): boolean {
    let ends = false;
    for (
      let end = this.#writeEnds.first;
      end !== undefined && seqLeq(end, textEnd);
      end = this.#writeEnds.first
    ) {
      this.#writeEnds.shift();
      ends = true;
    }
    return ends;
  }

  #resend(flight: Flight, most: number, nowUs: number): Transmission {
    const { board } = this.loss;
    if (textOf(flight) > most) board.split(flight, most);
    else if (flight.lost) board.gather(flight, most);
    const length = textOf(flight);
    board.resend(flight, nowUs);
    this.loss.noteSent(length);
    this.#lastRepeatUs = nowUs;
    this.#lastSentUs = nowUs;
    if (this.timer.idle) this.timer.start(nowUs);
    const { seq, fin, push } = flight;
    return { seq, length, fin, push, retransmission: true, markable: false };
  }

  /** RFC 8985 7.3: new text if the window takes it, else the last segment again. */
  #probeTail(most: number, nowUs: number): Transmission | undefined {
    this.#tailProbeDue = false;
    const length = Math.min(this.unsentBytes, most);
    const { last } = this.loss.board;
    if (length > 0 && length <= this.window.octets - seqDiff(this.nxt, this.una)) {
      // No other probe follows while this one is on its way.
      this.timer.tail.sent(this.nxt, false);
      const sent = this.#transmit(length, most, nowUs);
      this.timer.tail.sent(this.nxt, false);
      return sent;
    }
    if (last === undefined) return undefined;
    this.timer.tail.sent(this.nxt, true);
    return this.#resend(last, most, nowUs);
  }

  /** RFC 9293 3.8.6.1 (MUST-36): one octet beyond the window, or the FIN; or as Linux an old number alone. */
  #probeWindow(nowUs: number): Transmission {
    this.#windowProbeDue = false;
    // A FIN needs no window.
    const finLost = this.finSent && this.ring.length === 0;
    const bare = this.#profile.windowProbe === 'bare' && !finLost;
    const length = bare ? 0 : Math.min(1, this.ring.length);
    const textEnd = seqAdd(this.una, length);
    const fin = !bare && this.#carriesFin(textEnd, length);
    const retransmission = seqLt(this.una, this.max);
    // R2 counts from the first probe on.
    if (this.windowProbes === 1) this.timer.noteProgress(nowUs);
    if (retransmission) this.#lastRepeatUs = nowUs;
    if (fin) this.finSent = true;
    this.max = seqMax(this.max, fin ? seqAdd(textEnd, 1) : textEnd);
    this.#lastSentUs = nowUs;
    const seq = bare ? seqAdd(this.una, -1) : this.una;
    const push = length > 0 && length === this.ring.length;
    return { seq, length, fin, push, retransmission, markable: false };
  }

  /** Runs the timer when it is due. */
  advance(nowUs: number): Expiry {
    const { timer } = this;
    const { current } = timer;
    if (timer.deadlineUs > nowUs) return 'nothing';
    if (timer.isOver(nowUs)) return 'give-up';
    if (this.window.octets === 0) {
      // SHLD-29: the first probe comes after the timeout, whatever else was to come before it.
      if (timer.putOff(nowUs)) return 'nothing';
      return this.#onPersist(nowUs);
    }
    switch (current.kind) {
      case 'idle':
        return 'nothing';
      case 'persist':
        timer.stop();
        this.#overrideDue = true;
        return 'send';
      case 'reorder':
        if (current.atUs >= current.timeoutUs) return this.#onTimeout(nowUs);
        this.loss.reorderTimeout(this.una, this.nxt, this.rtt.srttUs ?? this.rtt.rtoUs, nowUs);
        timer.restart(nowUs);
        return 'send';
      case 'tail-probe':
        this.#tailProbeDue = true;
        timer.tailProbed(nowUs);
        return 'send';
      case 'retransmit':
        return this.#onTimeout(nowUs);
    }
  }

  /** (5.4) the earliest segment not acknowledged is sent again, (5.5) with the timeout doubled. */
  #onTimeout(nowUs: number): Expiry {
    const { retries } = this.#profile;
    const { timer } = this;
    if (retries !== undefined && timer.expirations >= retries) return 'give-up';
    timer.expirations += 1;
    timer.tail.cancel();
    this.#tailProbeDue = false;
    this.loss.onTimeout(this.una, this.nxt, nowUs);
    this.rtt.backOff();
    // (5.6) the timer starts when the segment leaves
    timer.stop();
    return 'send';
  }

  /** SHLD-29, SHLD-30: the first probe after an RTO, the next ones at growing intervals. */
  #onPersist(nowUs: number): Expiry {
    const { retries } = this.#profile;
    if (retries !== undefined && this.windowProbes > retries) return 'give-up';
    this.rtt.backOff();
    this.windowProbes += 1;
    this.#windowProbeDue = true;
    this.timer.persist(nowUs + this.rtt.rtoUs);
    return 'send';
  }
}

/** Octets of text in a segment: its FIN has a number of its own. */
function textOf({ seq, end, fin }: Flight): number {
  return seqDiff(end, seq) - (fin ? 1 : 0);
}
