/** Which segments in flight are lost. RFC 8985 (RACK), RFC 6675 section 4 (IsLost), RFC 6582 (without SACK) */

import { type Seq, seqDiff, seqLeq, seqLt, seqMax } from '../wire/seq.ts';
import type { Flight, Scoreboard } from './scoreboard.ts';

/** DupThresh of RFC 6675 and RFC 8985. */
export const DUPLICATE_THRESHOLD = 3;
/** RFC 8985 6.2 step 4 */
const PERSIST_RECOVERIES = 16;
/** The clock of timestamps counts milliseconds. */
const TIMESTAMP_TICK_US = 1000;

/** RFC 8985: what was sent before something that has arrived, and has not arrived by now, is lost. */
export class Rack {
  #newestSentUs = Number.NEGATIVE_INFINITY;
  #newestEnd: Seq | undefined;
  #rttUs = 0;
  #minRttUs: number;
  /** RACK.fack: the highest number that has arrived. */
  #highest: Seq | undefined;
  #reorderingSeen = false;
  #windowMultiple = 1;
  /** RACK.reo_wnd_persist: recoveries for which the longer wait stays. */
  #persistRecoveries = 0;
  /** RACK.dsack_round: what was sent when a D-SACK last counted. */
  #twiceUntil: Seq | undefined;

  /** @param firstRttUs the round trip of the handshake, if it was measured */
  constructor(firstRttUs: number | undefined) {
    this.#minRttUs = firstRttUs ?? Number.POSITIVE_INFINITY;
  }

  get minRttUs(): number | undefined {
    return Number.isFinite(this.#minRttUs) ? this.#minRttUs : undefined;
  }

  get reorderingSeen(): boolean {
    return this.#reorderingSeen;
  }

  /**
   * RFC 8985 6.2 steps 1 to 3, for the segments that an acknowledgement of `ack` says have arrived.
   *
   * @param echoedAtUs when the segment was sent that it answers, by the timestamps
   */
  arrived(flights: readonly Flight[], ack: Seq, echoedAtUs: number | undefined, nowUs: number): void {
    // What came before it, not what it says itself in another order.
    const before = this.#highest;
    for (const flight of flights) {
      // An echo older than the repetition: the first transmission was answered. A SACK echoes something else.
      const answered = seqLeq(flight.end, ack) && flight.transmissions > 1 ? echoedAtUs : undefined;
      if (answered === undefined || answered + TIMESTAMP_TICK_US > flight.sentUs) {
        this.#oneArrived(flight, before, nowUs);
      }
    }
  }

  #oneArrived(flight: Flight, before: Seq | undefined, nowUs: number): void {
    const rttUs = nowUs - flight.sentUs;
    // An answer that is faster than any before is one to the first transmission.
    const fastest = this.minRttUs;
    if (flight.transmissions > 1 && fastest !== undefined && rttUs < fastest) return;
    if (flight.transmissions === 1) this.#minRttUs = Math.min(this.#minRttUs, rttUs);
    if (before !== undefined && seqLt(flight.end, before) && flight.transmissions === 1) {
      this.#reorderingSeen = true;
    }
    this.#highest = this.#highest === undefined ? flight.end : seqMax(this.#highest, flight.end);
    this.#rttUs = rttUs;
    if (this.#isSentAfter(flight.sentUs, flight.end)) {
      this.#newestSentUs = flight.sentUs;
      this.#newestEnd = flight.end;
    }
  }

  /** A D-SACK: what was sent again had not been lost, so we wait longer. Once a round trip. RFC 8985 6.2 step 4 */
  sentInVain(ack: Seq, nxt: Seq): void {
    if (this.#twiceUntil !== undefined && seqLt(ack, this.#twiceUntil)) return;
    this.#twiceUntil = nxt;
    this.#windowMultiple += 1;
    this.#persistRecoveries = PERSIST_RECOVERIES;
  }

  /** SND.UNA is `una`: a round that has passed is forgotten, before its number comes round again. */
  acknowledged(una: Seq): void {
    if (this.#twiceUntil !== undefined && seqLeq(this.#twiceUntil, una)) this.#twiceUntil = undefined;
  }

  /** A recovery is over. */
  recovered(): void {
    this.#persistRecoveries -= 1;
    if (this.#persistRecoveries <= 0) this.#windowMultiple = 1;
  }

  #isSentAfter(sentUs: number, end: Seq): boolean {
    if (sentUs !== this.#newestSentUs) return sentUs > this.#newestSentUs;
    return this.#newestEnd === undefined || seqLt(this.#newestEnd, end);
  }

  /**
   * RFC 8985 6.2 step 5: marks what is lost. Answers when one that is still on its way will be.
   *
   * @param recovering loss recovery is going on
   */
  detect(board: Scoreboard, recovering: boolean, srttUs: number, nowUs: number): number | undefined {
    if (this.#newestEnd === undefined) return undefined;
    const waitUs = this.#reorderWindowUs(board, recovering, srttUs);
    let nextUs: number | undefined;
    // No generator: this runs for each ACK that says something new, over all that is in flight.
    for (let place = 0; place < board.length; place += 1) {
      const flight = board.at(place) as Flight;
      if (flight.sacked || (flight.lost && !flight.resent)) continue;
      if (!this.#wasOvertaken(flight)) {
        // Nor was any that was sent after it.
        if (board.isInOrderFrom(flight)) break;
        continue;
      }
      const lostAtUs = flight.sentUs + this.#rttUs + waitUs;
      if (lostAtUs <= nowUs) board.markLost(flight);
      else nextUs = Math.max(nextUs ?? lostAtUs, lostAtUs);
    }
    return nextUs;
  }

  #wasOvertaken(flight: Flight): boolean {
    if (flight.sentUs !== this.#newestSentUs) return flight.sentUs < this.#newestSentUs;
    return this.#newestEnd !== undefined && seqLt(flight.end, this.#newestEnd);
  }

  #reorderWindowUs(board: Scoreboard, recovering: boolean, srttUs: number): number {
    if (!this.#reorderingSeen && (recovering || board.sackedSegments >= DUPLICATE_THRESHOLD)) return 0;
    const quarter = Number.isFinite(this.#minRttUs) ? this.#minRttUs / 4 : 0;
    return Math.min(this.#windowMultiple * quarter, srttUs);
  }
}

/** RFC 6675 IsLost: three segments, or more than two segments' octets, have arrived beyond it. */
export function detectBySack(board: Scoreboard, mss: number): void {
  let octets = board.sackedOctets;
  let segments = board.sackedSegments;
  for (let place = 0; place < board.length; place += 1) {
    const flight = board.at(place) as Flight;
    if (flight.sacked) {
      octets -= seqDiff(flight.end, flight.seq);
      segments -= 1;
    } else if (segments >= DUPLICATE_THRESHOLD || octets > (DUPLICATE_THRESHOLD - 1) * mss) {
      if (!flight.lost) board.markLost(flight);
    } else return;
  }
}
