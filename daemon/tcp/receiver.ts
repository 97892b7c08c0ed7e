/**
 * The receiving half of a connection: RCV.NXT, the window, reassembly, and when to acknowledge.
 * RFC 9293 3.8.6 and 3.10.7.4, RFC 5681 4.2, RFC 7323 4.3 (TS.Recent)
 */

import { type Seq, seqAdd, seqDiff, seqInWindow, seqLeq, seqLt, seqMax, seqMin } from '../wire/seq.ts';
import type { SackBlock } from '../wire/tcp-options.ts';
import type { Agreement } from './agreement.ts';
import { ByteRing } from './byte-ring.ts';
import type { Profile } from './profile.ts';
import { Reassembly } from './reassembly.ts';
import { isFin, isSyn, type Segment } from './segment.ts';
import { ACK_NOW, type AckDuty, NO_ACK } from './timers.ts';

/**
 * Rounding the window up to its scale may promise a little more than the buffer with each segment; so many steps
 * of the scale are kept in reserve, up to half a buffer.
 */
const RESERVE_STEPS = 512;
/** The window field has 16 bits. */
const WINDOW_FIELD_MAX = 0xffff;
/** A TS.Recent older than that says nothing. RFC 7323 5.5: 24 days */
const TS_RECENT_VALID_US = 24 * 24 * 3600 * 1_000_000;

export interface TextOutcome {
  /** Octets that became readable. */
  readonly readable: number;
  /** The peer's FIN is now in order: nothing follows. */
  readonly finished: boolean;
  /** The segment held new octets that could not be kept. */
  readonly dropped: boolean;
}

export class Receiver {
  readonly irs: Seq;
  /** RCV.NXT */
  nxt: Seq;
  ackDuty: AckDuty = NO_ACK;
  /** TS.Recent, the peer's timestamp to echo. */
  tsRecent = 0;

  readonly #profile: Profile;
  readonly #shift: number;
  readonly #ring: ByteRing;
  readonly #held = new Reassembly();
  readonly #sack: boolean;
  readonly #rmss: number;
  #tsRecentAtUs = 0;
  #lastAckSent: Seq;
  /** The first octet beyond what was offered: RCV.NXT + RCV.WND, never taken back (SHLD-14). */
  #edge: Seq;
  /** Sequence number of a FIN that arrived, in order or not. */
  #finSeq: Seq | undefined;
  /** Text that was not yet acknowledged, and the largest segment the peer sends. */
  #unacked = 0;
  #largestSegment = 1;

  /**
   * @param offered the window of our SYN, which is never scaled
   * @param rmss the largest segment we announced
   */
  constructor(profile: Profile, agreement: Agreement, irs: Seq, offered: number, rmss: number) {
    this.#profile = profile;
    this.#shift = agreement.rcvWindShift ?? 0;
    this.#sack = agreement.sack;
    const reserve = Math.min(RESERVE_STEPS << this.#shift, profile.receiveBufferBytes / 2);
    this.#ring = new ByteRing(profile.receiveBufferBytes + reserve);
    this.irs = irs;
    this.#rmss = rmss;
    this.nxt = seqAdd(irs, 1);
    this.#lastAckSent = this.nxt;
    this.#edge = seqAdd(this.nxt, offered);
  }

  /** RCV.WND: octets from RCV.NXT on that the peer was offered. */
  get window(): number {
    return Math.max(seqDiff(this.#edge, this.nxt), 0);
  }

  get unreadBytes(): number {
    return this.#ring.length;
  }

  /** Bytes of memory in use. */
  get capacity(): number {
    return this.#ring.capacity;
  }

  /** The peer's FIN has been received in order. */
  get finished(): boolean {
    return this.#finSeq !== undefined && seqLt(this.#finSeq, this.nxt);
  }

  /** Whether a segment brings nothing that has not arrived before. */
  isRepeated(segment: Segment): boolean {
    if (segment.length === 0) return false;
    const end = seqAdd(segment.seq, segment.length);
    return seqLt(segment.seq, this.nxt) || this.#held.has(segment.seq, end);
  }

  /** RFC 7323 4.3 (2): the timestamp of the segment that will be acknowledged next is the one to echo. */
  noteTimestamp(value: number, segmentSeq: Seq, nowUs: number): void {
    if (seqLeq(segmentSeq, this.#lastAckSent) && ((value - this.tsRecent) | 0) >= 0) {
      this.startTimestamps(value, nowUs);
    }
  }

  /** Takes the timestamp of the peer's SYN. */
  startTimestamps(value: number, nowUs: number): void {
    this.tsRecent = value;
    this.#tsRecentAtUs = nowUs;
  }

  /** RFC 7323 5.3 R1: the timestamp is older than TS.Recent, and TS.Recent is not too old to tell. */
  isOldTimestamp(value: number, nowUs: number): boolean {
    return ((value - this.tsRecent) | 0) < 0 && nowUs - this.#tsRecentAtUs < TS_RECENT_VALID_US;
  }

  /** Seventh and eighth step of RFC 9293 3.10.7.4: text and FIN of an acceptable segment. */
  accept(segment: Segment, nowUs: number): TextOutcome {
    const before = this.nxt;
    const textSeq = seqAdd(segment.seq, isSyn(segment) ? 1 : 0);
    const textEnd = seqAdd(textSeq, segment.payloadLength);
    // A segment may overlap what is there, or reach beyond the window: both ends are trimmed.
    const left = seqMax(textSeq, this.nxt);
    const right = seqMin(textEnd, this.#finSeq ?? this.#edge);
    const fresh = seqDiff(right, left);
    let dropped = seqLt(right, textEnd);
    if (isFin(segment) && this.#isPlausibleFin(textEnd)) this.#finSeq ??= textEnd;
    if (fresh > 0) dropped = !this.#keep(segment, textSeq, left, right) || dropped;
    if (this.#finSeq === this.nxt) this.nxt = seqAdd(this.nxt, 1);
    if (segment.payloadLength > 0 || isFin(segment)) {
      this.#oweAck(seqDiff(this.nxt, before), segment.payloadLength, nowUs);
    }
    return {
      readable: seqDiff(this.nxt, before) - (this.finished && this.nxt !== before ? 1 : 0),
      finished: this.finished && this.nxt !== before,
      dropped,
    };
  }

  /** A FIN takes no room: it may sit right at the edge of the window. Nothing may lie behind it. */
  #isPlausibleFin(finSeq: Seq): boolean {
    const last = this.#held.end ?? this.nxt;
    return seqInWindow(finSeq, this.nxt, this.window + 1) && seqLeq(last, finSeq);
  }

  #keep(segment: Segment, textSeq: Seq, left: Seq, right: Seq): boolean {
    const offset = this.#ring.length + seqDiff(left, this.nxt);
    const count = seqDiff(right, left);
    if (offset + count > this.#ring.limit) return false;
    const start = segment.payload + seqDiff(left, textSeq);
    if (left === this.nxt) {
      this.#ring.putAhead(offset, segment.packet, start, start + count);
      this.nxt = right;
      const joined = this.#held.empty ? 0 : this.#held.take(this.nxt);
      this.nxt = seqAdd(this.nxt, joined);
      this.#ring.commit(count + joined);
      return true;
    }
    if (!this.#held.add(left, right)) return false;
    this.#ring.putAhead(offset, segment.packet, start, start + count);
    return true;
  }

  #oweAck(advanced: number, payloadLength: number, nowUs: number): void {
    this.#largestSegment = Math.max(this.#largestSegment, payloadLength);
    this.#unacked += advanced;
    // RFC 5681 4.2: at once for a segment out of order, one that fills a gap, and a FIN; else at least for
    // every second full-sized segment (SHLD-19) and within the delay (MUST-40).
    const inOrder = advanced === payloadLength && this.#held.empty && this.#finSeq === undefined;
    if (!inOrder || this.#unacked >= 2 * this.#largestSegment) this.oweAckNow();
    else if (this.ackDuty.kind === 'none') {
      this.ackDuty = { kind: 'delayed', atUs: nowUs + this.#profile.delayedAckUs };
    }
  }

  oweAckNow(): void {
    this.ackDuty = ACK_NOW;
  }

  /** The delay of an ACK is over when its time has come. */
  advance(nowUs: number): void {
    if (this.ackDuty.kind === 'delayed' && this.ackDuty.atUs <= nowUs) this.oweAckNow();
  }

  /** Moves up to `max` bytes to the reader, and owes the peer an ACK when that opens the window enough. */
  read(max: number): Uint8Array {
    const data = new Uint8Array(Math.max(Math.min(max, this.#ring.length), 0));
    this.#ring.copy(0, data.length, data, 0);
    this.#ring.drop(data.length);
    if (this.#ring.length === 0 && this.#held.empty) this.#ring.release();
    if (!this.finished && this.#isWorthAnUpdate()) this.oweAckNow();
    return data;
  }

  /** RFC 9293 3.8.6.2.2 (MUST-39): the edge moves by half the buffer or a full segment, or not at all. */
  #wantedEdge(): Seq {
    const free = this.#profile.receiveBufferBytes - this.#ring.length;
    const offer = Math.min(Math.max(free, 0), WINDOW_FIELD_MAX << this.#shift);
    const edge = seqAdd(this.nxt, offer);
    const step = Math.min(this.#profile.receiveBufferBytes / 2, this.#rmss);
    return seqDiff(edge, this.#edge) >= step ? edge : this.#edge;
  }

  /** An update of its own is sent when the window was nearly shut, or has grown by a good part of the buffer. */
  #isWorthAnUpdate(): boolean {
    const growth = seqDiff(this.#wantedEdge(), this.#edge);
    if (growth <= 0) return false;
    const nearlyShut = this.window < 2 * this.#rmss;
    return nearlyShut || growth >= this.#profile.receiveBufferBytes / 4;
  }

  /** The window field of a segment that is being sent now. Moves the edge to what the field says. */
  offerWindow(): number {
    const unit = 1 << this.#shift;
    const wanted = seqDiff(this.#wantedEdge(), this.nxt);
    const hard = this.#ring.limit - this.#ring.length;
    // Rounded up, so that the edge never moves back; down only where the reserve ends.
    let field = Math.ceil(Math.max(wanted, 0) / unit);
    if (field * unit > hard) field = Math.floor(hard / unit);
    field = Math.min(field, WINDOW_FIELD_MAX);
    this.#edge = seqAdd(this.nxt, field * unit);
    return Math.max(field, 0);
  }

  /** An acknowledgement of everything up to RCV.NXT leaves now. */
  ackSent(): void {
    this.ackDuty = NO_ACK;
    this.#unacked = 0;
    this.#lastAckSent = this.nxt;
  }

  /** SACK blocks for a segment with room for `room` of them. */
  sackBlocks(room: number): SackBlock[] | undefined {
    return this.#sack && !this.#held.empty ? this.#held.sackBlocks(room) : undefined;
  }
}
