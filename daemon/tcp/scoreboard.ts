/**
 * The segments in flight, oldest first, and what is known of each: RFC 6675 section 3, RFC 8985 section 5.
 *
 *     una                                                nxt
 *      | lost | lost, sent again | sacked | in flight     |
 *
 * Octets in the network (`pipe`) are those that are neither sacked nor lost, and those that were sent again.
 */

import { type Seq, seqDiff, seqLeq, seqLt, seqMax } from '../wire/seq.ts';
import type { SackBlock } from '../wire/tcp-options.ts';

/** A segment that was sent and is not acknowledged. */
export interface Flight {
  seq: Seq;
  /** The number after its last octet, or after its FIN. */
  end: Seq;
  fin: boolean;
  /** It ended what was queued when it was sent (MUST-61). */
  push: boolean;
  /** When it was last sent, and how often. */
  sentUs: number;
  transmissions: number;
  sacked: boolean;
  lost: boolean;
  /** It was lost, or thought so, and sent again since. */
  resent: boolean;
}

/** What an acknowledgement took out of flight. */
export interface Acknowledged {
  /** Octets that were not sacked before. */
  delivered: number;
  /** When the oldest of those that were sent once was sent: it measures the round trip. */
  firstSentUs: number | undefined;
  /** Those that arrived now. */
  readonly arrived: Flight[];
  /** One of them had been sent again. */
  resent: boolean;
}

export class Scoreboard {
  #flights: Flight[] = [];
  #head = 0;
  #pipe = 0;
  #sackedSegments = 0;
  #sackedOctets = 0;
  #lostSegments = 0;
  /** The end of what was ever sent again: beyond it, segments left in the order of their numbers. */
  #resentEnd: Seq | undefined;
  /** No segment before that place waits to be sent again. */
  #lostFrom = 0;
  /** The blocks of the last ACK that had some; none once segments are cut otherwise. */
  #looked: readonly SackBlock[] = [];

  get empty(): boolean {
    return this.#head === this.#flights.length;
  }

  get length(): number {
    return this.#flights.length - this.#head;
  }

  /** Octets in the network. */
  get pipe(): number {
    return this.#pipe;
  }

  get sackedSegments(): number {
    return this.#sackedSegments;
  }

  get sackedOctets(): number {
    return this.#sackedOctets;
  }

  /** Segments that are lost and were not sent again. */
  get lostSegments(): number {
    return this.#lostSegments;
  }

  get first(): Flight | undefined {
    return this.#flights[this.#head];
  }

  get last(): Flight | undefined {
    return this.empty ? undefined : this.#flights.at(-1);
  }

  /** Whether this segment and all after it were sent once, in their order. */
  isInOrderFrom({ seq }: Flight): boolean {
    return this.#resentEnd === undefined || seqLeq(this.#resentEnd, seq);
  }

  /** The segment at that place, counted from the oldest. */
  at(place: number): Flight | undefined {
    return this.#flights[this.#head + place];
  }

  *[Symbol.iterator](): Generator<Flight> {
    for (let at = this.#head; at < this.#flights.length; at += 1) yield this.#flights[at] as Flight;
  }

  /** A new segment was sent. */
  push(sent: Pick<Flight, 'seq' | 'end' | 'fin' | 'push'>, nowUs: number): void {
    const flight = { ...sent, sentUs: nowUs, transmissions: 1, sacked: false, lost: false, resent: false };
    this.#flights.push(flight);
    this.#count(flight, 1);
  }

  /** A segment is sent again. */
  resend(flight: Flight, nowUs: number): void {
    this.#count(flight, -1);
    flight.sentUs = nowUs;
    flight.transmissions += 1;
    this.#resentEnd = this.#resentEnd === undefined ? flight.end : seqMax(this.#resentEnd, flight.end);
    flight.resent = true;
    this.#count(flight, 1);
  }

  markLost(flight: Flight): void {
    if (flight.sacked || (flight.lost && !flight.resent)) return;
    this.#lostFrom = Math.min(this.#lostFrom, this.#indexAt(flight.seq));
    this.#count(flight, -1);
    flight.lost = true;
    flight.resent = false;
    this.#count(flight, 1);
  }

  /** The timer expired: all that is not sacked is taken as lost. */
  markAllLost(): void {
    for (const flight of this) this.markLost(flight);
  }

  /** The loss was none: nothing waits to be sent again. */
  unmarkLost(): void {
    for (const flight of this) {
      if (!flight.lost) continue;
      this.#count(flight, -1);
      flight.lost = false;
      this.#count(flight, 1);
    }
  }

  /** RFC 2018 section 8: a receiver may drop what it reported; after a timeout nothing it said counts. */
  forgetSacks(): void {
    this.#lostFrom = this.#head;
    this.#looked = [];
    for (const flight of this) {
      if (!flight.sacked) continue;
      this.#count(flight, -1);
      flight.sacked = false;
      this.#count(flight, 1);
    }
  }

  /** The oldest segment that is lost and waits to be sent again. */
  nextLost(): Flight | undefined {
    if (this.#lostSegments === 0) return undefined;
    for (let at = Math.max(this.#lostFrom, this.#head); at < this.#flights.length; at += 1) {
      const flight = this.#flights[at] as Flight;
      this.#lostFrom = at;
      if (flight.lost && !flight.resent && !flight.sacked) return flight;
    }
    return undefined;
  }

  /** Cuts a segment in two after `octets` of it: the path takes no more. */
  split(flight: Flight, octets: number): void {
    if (octets <= 0 || octets >= seqDiff(flight.end, flight.seq)) return;
    this.#looked = [];
    const at = this.#indexAt(flight.seq);
    const rest: Flight = { ...flight, seq: ((flight.seq + octets) >>> 0) as Seq };
    this.#count(flight, -1);
    flight.end = rest.seq;
    flight.fin = false;
    flight.push = false;
    this.#flights.splice(at + 1, 0, rest);
    this.#count(flight, 1);
    this.#count(rest, 1);
  }

  /** Joins to a lost segment those after it that are lost too, as far as `octets` reach. */
  gather(flight: Flight, octets: number): void {
    this.#looked = [];
    const at = this.#indexAt(flight.seq);
    for (let next = this.#flights[at + 1]; next !== undefined; next = this.#flights[at + 1]) {
      const fits = seqDiff(next.end, flight.seq) - (next.fin ? 1 : 0) <= octets;
      if (!fits || !next.lost || next.resent || next.sacked) return;
      this.#count(next, -1);
      this.#count(flight, -1);
      flight.end = next.end;
      flight.fin = next.fin;
      flight.push = next.push;
      flight.transmissions = Math.max(flight.transmissions, next.transmissions);
      this.#flights.splice(at + 1, 1);
      this.#count(flight, 1);
    }
  }

  /** Everything before `una` is acknowledged. */
  acknowledge(una: Seq, outcome: Acknowledged): void {
    for (let flight = this.first; flight !== undefined && seqLt(flight.seq, una); flight = this.first) {
      this.#count(flight, -1);
      if (seqLt(una, flight.end)) {
        // Only a part of it: the rest stays in flight.
        if (!flight.sacked) outcome.delivered += seqDiff(una, flight.seq);
        flight.seq = una;
        this.#count(flight, 1);
        break;
      }
      this.#head += 1;
      note(outcome, flight);
    }
    if (this.#head > 64 && this.#head * 2 > this.#flights.length) {
      this.#flights = this.#flights.slice(this.#head);
      this.#lostFrom = Math.max(this.#lostFrom - this.#head, 0);
      this.#head = 0;
    } else if (this.empty) {
      this.#flights = [];
      this.#head = 0;
      this.#lostFrom = 0;
      this.#looked = [];
      this.#resentEnd = undefined;
    }
  }

  /** The receiver holds these blocks: only whole segments count. */
  sack(blocks: readonly SackBlock[], outcome: Acknowledged): void {
    for (const block of blocks) {
      const { left, right } = block;
      // A block grows by a little from ACK to ACK: what it held before has been looked at.
      const old = this.#looked.find((one) => seqLeq(left, one.left) && seqLeq(one.right, right));
      this.#sackFrom(left, old?.left ?? right, block, outcome);
      if (old !== undefined) this.#sackFrom(old.right, right, block, outcome);
    }
    this.#looked = blocks;
  }

  /** Looks at the segments of which some octet lies in [from, to). */
  #sackFrom(from: Seq, to: Seq, { left, right }: SackBlock, outcome: Acknowledged): void {
    if (from === to) return;
    for (let at = Math.max(this.#indexAt(from) - 1, this.#head); at < this.#flights.length; at += 1) {
      const flight = this.#flights[at] as Flight;
      if (seqLeq(to, flight.seq)) return;
      // A receiver may or may not count the FIN that it holds.
      const textEnd = flight.fin ? (((flight.end - 1) >>> 0) as Seq) : flight.end;
      if (flight.sacked || seqLt(flight.seq, left) || seqLt(right, textEnd)) continue;
      note(outcome, flight);
      this.#count(flight, -1);
      flight.sacked = true;
      this.#count(flight, 1);
    }
  }

  /** The place of the first segment that begins at `seq` or after it. */
  #indexAt(seq: Seq): number {
    let low = this.#head;
    let high = this.#flights.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (seqLt((this.#flights[middle] as Flight).seq, seq)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #count(flight: Flight, sign: 1 | -1): void {
    const octets = seqDiff(flight.end, flight.seq) * sign;
    if (flight.sacked) {
      this.#sackedSegments += sign;
      this.#sackedOctets += octets;
      return;
    }
    if (flight.lost && !flight.resent) this.#lostSegments += sign;
    if (!flight.lost) this.#pipe += octets;
    if (flight.resent) this.#pipe += octets;
  }
}

function note(outcome: Acknowledged, flight: Flight): void {
  if (flight.sacked) return;
  outcome.delivered += seqDiff(flight.end, flight.seq);
  if (flight.transmissions > 1) outcome.resent = true;
  else outcome.firstSentUs = Math.min(outcome.firstSentUs ?? flight.sentUs, flight.sentUs);
  outcome.arrived.push(flight);
}
