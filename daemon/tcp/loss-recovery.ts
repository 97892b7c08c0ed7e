/** Finds out what was lost and decides what may be sent again. RFC 5681, 6582, 6675, 6937, 8985 */

import { type Seq, seqDiff, seqLeq, seqLt } from '../wire/seq.ts';
import type { SackBlock } from '../wire/tcp-options.ts';
import { CongestionWindow } from './congestion.ts';
import { DUPLICATE_THRESHOLD, detectBySack, Rack } from './loss-detection.ts';
import type { Profile } from './profile.ts';
import { Recovery, type RecoveryPhase } from './recovery.ts';
import { type Acknowledged, type Flight, Scoreboard } from './scoreboard.ts';
import type { CongestionName } from './types.ts';

/** An acknowledgement that is not below SND.UNA. */
export interface AckArrived {
  readonly ack: Seq;
  /** SND.UNA before it, and SND.NXT. */
  readonly una: Seq;
  readonly nxt: Seq;
  readonly blocks: readonly SackBlock[];
  /** As RFC 5681 section 2 defines it. */
  readonly duplicate: boolean;
  /** When the segment was sent that it answers, by the timestamps; to a millisecond. */
  readonly echoedAtUs: number | undefined;
  readonly srttUs: number;
  readonly nowUs: number;
}

export class LossRecovery {
  readonly board = new Scoreboard();
  readonly window: CongestionWindow;
  /** When something that is on its way is to be taken as lost. RFC 8985 6.2 */
  reorderAtUs: number | undefined;
  readonly #profile: Profile;
  readonly #rack: Rack;
  readonly #recovery: Recovery;
  readonly #sack: boolean;
  #mss: number;
  /** Without SACK: duplicates, each of which says that a segment has left the network. */
  #duplicates = 0;
  /** The first segment of a recovery, or after a partial acknowledgement, is sent whatever the window says. */
  #forced = false;
  /** What waits to be sent again before that was not lost by congestion: a shut window or a smaller path is no sign of it. */
  #repairUntil: Seq | undefined;

  constructor(
    profile: Profile,
    start: {
      readonly name: CongestionName;
      readonly mss: number;
      readonly iss: Seq;
      readonly sack: boolean;
      readonly synWasLost: boolean;
      /** The round trip of the handshake, if it was measured. */
      readonly firstRttUs: number | undefined;
    },
  ) {
    this.#rack = new Rack(start.firstRttUs);
    this.#profile = profile;
    this.#mss = start.mss;
    this.#sack = start.sack;
    this.window = new CongestionWindow(profile, start.name, start.mss, start.synWasLost);
    this.#recovery = new Recovery(this.window, start.iss);
  }

  get phase(): RecoveryPhase {
    return this.#recovery.phase;
  }

  get minRttUs(): number | undefined {
    return this.#rack.minRttUs;
  }

  get reorderingSeen(): boolean {
    return this.#rack.reorderingSeen;
  }

  /** Octets in the network. */
  get pipe(): number {
    return Math.max(this.board.pipe - this.#duplicates * this.#mss, 0);
  }

  setMss(mss: number): void {
    this.#mss = mss;
    this.window.setMss(mss);
  }

  /** Answers the round trip that it measures, and whether it says that something arrived twice. */
  onAck(arrived: AckArrived): { readonly rttUs: number | undefined; readonly twice: boolean } {
    const { ack, una, nxt, nowUs } = arrived;
    const acked = seqDiff(ack, una);
    const before = this.phase;
    const flight = seqDiff(nxt, una);
    const outcome: Acknowledged = { delivered: 0, firstSentUs: undefined, arrived: [], resent: false };
    const segments = this.board.length;
    const twice = this.#takeBlocks(arrived, outcome);
    this.board.acknowledge(ack, outcome);
    this.#rack.acknowledged(ack);
    this.#rack.arrived(outcome.arrived, ack, arrived.echoedAtUs, nowUs);
    if (twice) this.#rack.sentInVain(ack, nxt);
    const credited = this.#countDuplicates(acked, segments - this.board.length, arrived.duplicate);
    if (acked > 0 && arrived.echoedAtUs !== undefined && this.#recovery.undo(arrived.echoedAtUs)) {
      this.board.unmarkLost();
    }
    // Without news, only time can tell that more is lost.
    if (acked > 0 || outcome.arrived.length > 0 || arrived.duplicate || this.reorderAtUs !== undefined) {
      this.#detect(arrived, acked);
    }
    if (this.#recovery.progress(ack)) this.#rack.recovered();
    const repaired = this.#repairUntil !== undefined && seqLeq(this.#repairUntil, ack);
    if (this.board.lostSegments === 0 || repaired) this.#repairUntil = undefined;
    if (this.board.lostSegments > 0 && !this.#recovery.active && this.#repairUntil === undefined) {
      this.#recovery.begin(nxt, flight, nowUs);
      this.#forced = true;
    }
    const delivered = Math.max(this.#sack ? outcome.delivered : outcome.delivered - credited, 0);
    if (this.phase === 'recovery') {
      const received = this.#sack || acked > 0 ? delivered : arrived.duplicate ? this.#mss : 0;
      this.#recovery.reduceInProportion(received, this.pipe, acked > 0, this.#mss);
    } else if (acked > 0 && before !== 'recovery' && this.phase !== 'reduced') {
      this.window.onAck(acked, flight, arrived.srttUs, nowUs);
    }
    const measures = outcome.firstSentUs !== undefined && !outcome.resent;
    return { rttUs: measures ? nowUs - (outcome.firstSentUs ?? nowUs) : undefined, twice };
  }

  /** RFC 2018 and 2883: answers whether the first block is a D-SACK. */
  #takeBlocks({ blocks, ack, una, nxt }: AckArrived, outcome: Acknowledged): boolean {
    const [first, second] = blocks;
    if (!this.#sack || first === undefined) return false;
    const around =
      second !== undefined && seqLeq(second.left, first.left) && seqLeq(first.right, second.right);
    const twice = seqLeq(first.right, ack) || around;
    // What lies outside of what is in flight says nothing.
    const inFlight = blocks.filter(
      ({ left, right }) => seqLt(left, right) && seqLeq(right, nxt) && seqLt(una, left),
    );
    this.board.sack(inFlight, outcome);
    return twice;
  }

  /** Without SACK (RFC 6582): answers octets that duplicates had counted already. */
  #countDuplicates(acked: number, segments: number, duplicate: boolean): number {
    if (this.#sack) return 0;
    if (duplicate) this.#duplicates += 1;
    if (acked <= 0) return 0;
    const before = this.#duplicates;
    this.#duplicates = this.#recovery.active ? Math.max(before - Math.max(segments - 1, 0), 0) : 0;
    return (before - this.#duplicates) * this.#mss;
  }

  #detect({ ack, nowUs, srttUs }: AckArrived, acked: number): void {
    const first = this.board.first;
    if (first === undefined) {
      this.reorderAtUs = undefined;
    } else if (!this.#sack) {
      const third = this.#duplicates === DUPLICATE_THRESHOLD && acked <= 0;
      if (third && !this.#recovery.active && !this.#recovery.isDealtWith(ack)) this.board.markLost(first);
      // RFC 6582 3.2 step 3, partial acknowledgement: the next hole is lost as well.
      if (acked > 0 && this.phase === 'recovery' && !this.#recovery.endsWith(ack)) {
        this.board.markLost(first);
        this.#forced = true;
      }
    } else if (this.#profile.lossDetection === 'rack') {
      this.reorderAtUs = this.#rack.detect(this.board, this.#recovery.active, srttUs, nowUs);
    } else detectBySack(this.board, this.#mss);
  }

  /** The wait for a late segment is over. RFC 8985 6.3 */
  reorderTimeout(una: Seq, nxt: Seq, srttUs: number, nowUs: number): void {
    this.reorderAtUs = this.#rack.detect(this.board, this.#recovery.active, srttUs, nowUs);
    if (this.board.lostSegments === 0) return;
    if (!this.#recovery.active) {
      this.#recovery.begin(nxt, seqDiff(nxt, una), nowUs);
      this.window.cwnd = Math.min(this.window.cwnd, Math.max(this.window.ssthresh, this.#mss));
    }
    this.#forced = true;
  }

  /** A probe of the tail was answered as if only it had arrived. RFC 8985 7.4.2 */
  tailWasLost(una: Seq, nxt: Seq): void {
    if (this.phase !== 'open') return;
    this.window.reduce(seqDiff(nxt, una));
    this.window.cwnd = Math.min(this.window.cwnd, this.window.ssthresh);
  }

  /** RFC 3168 6.1.2: the network marked a packet of ours, of those in flight since `una`. */
  onMark(una: Seq, ack: Seq, nxt: Seq): void {
    this.#recovery.marked(ack, nxt, seqDiff(nxt, una));
  }

  /** The window was brought down, and the peer has not been told (CWR of RFC 3168 6.1.2). */
  get reductionToTell(): boolean {
    return this.#recovery.reductionToTell;
  }

  reductionTold(): void {
    this.#recovery.reductionToTell = false;
  }

  /** The retransmission timer expired: all in flight counts as lost. */
  onTimeout(una: Seq, nxt: Seq, nowUs: number): void {
    // A receiver that reported the first segment and does not acknowledge it has dropped what it had.
    if (this.board.first?.sacked) this.board.forgetSacks();
    this.#recovery.timeout(nxt, seqDiff(nxt, una), nowUs);
    this.#duplicates = 0;
    this.reorderAtUs = undefined;
    this.board.markAllLost();
  }

  /** The path takes only smaller segments: those in flight are sent again, which is no sign of congestion. */
  resendAll(nxt: Seq): void {
    if (this.board.first?.sacked) this.board.forgetSacks();
    this.board.markAllLost();
    this.#forced = !this.board.empty;
    this.#repairUntil = this.#forced ? nxt : undefined;
  }

  /** The segment to send again now, if one may be: not beyond the peer's window (SHLD-16, SHLD-17). */
  nextResend(edge: Seq): Flight | undefined {
    const flight = this.board.nextLost();
    if (flight === undefined || seqLeq(edge, flight.seq)) return undefined;
    const octets = Math.min(seqDiff(flight.end, flight.seq), this.#mss);
    if (!this.#forced && this.pipe + octets > this.window.cwnd) return undefined;
    this.#forced = false;
    return flight;
  }

  noteSent(octets: number): void {
    this.#recovery.noteSent(octets);
  }
}
