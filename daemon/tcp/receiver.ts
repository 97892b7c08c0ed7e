/**
 * The receiving half of a connection: RCV.NXT, reassembly, the end of the stream, and what the reader takes.
 * RFC 9293 3.8.6 and 3.10.7.4. When to acknowledge is in acknowledger.ts, how much to offer in receive-window.ts.
 */

import { type Seq, seqAdd, seqDiff, seqInWindow, seqLeq, seqLt, seqMax, seqMin } from '../wire/seq.ts';
import type { SackBlock } from '../wire/tcp-options.ts';
import { Acknowledger } from './acknowledger.ts';
import type { Agreement } from './agreement.ts';
import { ByteRing } from './byte-ring.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { Profile } from './profile.ts';
import { Reassembly } from './reassembly.ts';
import { receiveRule } from './receive-rules.ts';
import { ReceiveWindow } from './receive-window.ts';
import { isFin, isSyn, type Segment } from './segment.ts';
import type { Settings } from './settings.ts';
import { UrgentReceiver } from './urgent.ts';

/** A TS.Recent older than that says nothing. RFC 7323 5.5: 24 days */
const TS_RECENT_VALID_US = 24 * 24 * 3600 * 1_000_000;

const NOTHING = new Uint8Array(0);

export interface TextOutcome {
  /** Octets that became readable. */
  readonly readable: number;
  /** The peer's FIN is now in order: nothing follows. */
  readonly finished: boolean;
  /** The segment held new octets that could not be kept. */
  readonly dropped: boolean;
}

export interface ReceiverStart {
  readonly profile: Profile;
  readonly settings: Settings;
  readonly agreement: Agreement;
  readonly irs: Seq;
  /** The window of our SYN. */
  readonly offered: number;
  /** The largest segment to come: what we announced, less what options take. */
  readonly rmss: number;
  readonly memory: MemoryBudget;
}

export class Receiver {
  readonly irs: Seq;
  /** RCV.NXT */
  nxt: Seq;
  readonly acks: Acknowledger;
  readonly urgent = new UrgentReceiver();
  /** TS.Recent, the peer's timestamp to echo. */
  tsRecent = 0;

  readonly #ring: ByteRing;
  readonly #window: ReceiveWindow;
  readonly #held = new Reassembly();
  readonly #sack: boolean;
  readonly #pawsSlack: number;
  #tsRecentAtUs = 0;
  /** What arrived twice and has not been told (RFC 2883). */
  #duplicate: SackBlock | undefined;
  /** Sequence number of a FIN that arrived, in order or not. */
  #finSeq: Seq | undefined;

  constructor({ profile, settings, agreement, irs, offered, rmss, memory }: ReceiverStart) {
    const rule = receiveRule(profile);
    this.irs = irs;
    this.nxt = seqAdd(irs, 1);
    const shift = agreement.rcvWindShift ?? 0;
    this.#window = new ReceiveWindow(rule, settings.receiveBufferBytes, shift, rmss, this.nxt, offered);
    this.#ring = new ByteRing(this.#window.hardLimit, memory);
    this.#sack = agreement.sack;
    this.#pawsSlack = profile.pawsSlack;
    this.acks = new Acknowledger(profile, settings, rule, this.nxt);
  }

  /** RCV.WND: octets from RCV.NXT on that the peer was offered. */
  get window(): number {
    return Math.max(seqDiff(this.#window.edge, this.nxt), 0);
  }

  get unreadBytes(): number {
    return this.#ring.length;
  }

  /** Octets that the receive buffer takes. */
  get limit(): number {
    return this.#window.limit;
  }

  /** Bytes of memory in use. */
  get capacity(): number {
    return this.#ring.capacity;
  }

  /** The peer's FIN has been received in order. */
  get finished(): boolean {
    return this.#finSeq !== undefined && seqLt(this.#finSeq, this.nxt);
  }

  /** The number of the next octet that the reader takes. */
  get readSeq(): Seq {
    return seqAdd(this.nxt, -this.#ring.length - (this.finished ? 1 : 0));
  }

  resize(bufferBytes: number): void {
    this.#window.resize(bufferBytes);
    this.#ring.limit = this.#window.hardLimit;
  }

  /** Whether a segment brings nothing that has not arrived before. */
  isRepeated(segment: Segment): boolean {
    if (segment.length === 0) return false;
    const end = seqAdd(segment.seq, segment.length);
    return seqLt(segment.seq, this.nxt) || this.#held.has(segment.seq, end);
  }

  /** RFC 7323 4.3 (2): the timestamp of the segment that will be acknowledged next is the one to echo. */
  noteTimestamp(value: number, segmentSeq: Seq, nowUs: number): void {
    if (seqLeq(segmentSeq, this.acks.lastSent) && !this.#isOlder(value, 0, nowUs)) {
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
    return this.#isOlder(value, this.#pawsSlack, nowUs);
  }

  #isOlder(value: number, slack: number, nowUs: number): boolean {
    return ((value - this.tsRecent) | 0) < -slack && nowUs - this.#tsRecentAtUs < TS_RECENT_VALID_US;
  }

  /** A segment that came again: the peer is told which (RFC 2883 section 4). */
  noteDuplicate(left: Seq, right: Seq): void {
    if (!seqLt(left, right)) return;
    this.acks.cameAgain();
    if (this.#sack) this.#duplicate ??= { left, right };
  }

  /** Seventh and eighth step of RFC 9293 3.10.7.4: text and FIN of an acceptable segment. */
  accept(segment: Segment, nowUs: number): TextOutcome {
    const before = this.nxt;
    const textSeq = seqAdd(segment.seq, isSyn(segment) ? 1 : 0);
    const textEnd = seqAdd(textSeq, segment.payloadLength);
    // A segment may overlap what is there, or reach beyond the window: both ends are trimmed.
    const left = seqMax(textSeq, this.nxt);
    const right = seqMin(textEnd, this.#finSeq ?? this.#window.edge);
    const end = seqAdd(textEnd, isFin(segment) ? 1 : 0);
    const fresh = seqDiff(right, left);
    const gap = !this.#held.empty || seqLt(this.nxt, textSeq);
    let dropped = seqLt(right, textEnd);
    this.#noteOverlap(textSeq, end, left);
    if (isFin(segment) && this.#isPlausibleFin(textEnd)) this.#finSeq ??= textEnd;
    if (fresh > 0) dropped = !this.#keep(segment, textSeq, left, right) || dropped;
    if (this.#finSeq === this.nxt) this.nxt = seqAdd(this.nxt, 1);
    // It has a number of its own, which is reported with the text that is held.
    else if (isFin(segment) && this.#finSeq === textEnd && !this.finished) this.#held.add(textEnd, end);
    const advanced = seqDiff(this.nxt, before);
    const length = segment.payloadLength;
    if (length > 0 || isFin(segment)) {
      const ended = this.#finSeq !== undefined;
      this.acks.textArrived({ advanced, length, ended, inOrder: !gap && advanced === segment.length }, nowUs);
    }
    const finished = this.finished && advanced > 0;
    return { readable: advanced - (finished ? 1 : 0), finished, dropped };
  }

  #noteOverlap(textSeq: Seq, end: Seq, left: Seq): void {
    if (seqLt(textSeq, left)) return this.noteDuplicate(textSeq, seqMin(end, left));
    const again = this.#held.overlap(left, end);
    if (again !== undefined) this.noteDuplicate(again.left, again.right);
  }

  /** A FIN takes no room: it may sit right at the edge of the window. Nothing may lie behind it. */
  #isPlausibleFin(finSeq: Seq): boolean {
    const last = this.#held.end ?? this.nxt;
    return seqInWindow(finSeq, this.nxt, this.window + 1) && seqLeq(last, finSeq);
  }

  #keep(segment: Segment, textSeq: Seq, left: Seq, right: Seq): boolean {
    const offset = this.#ring.length + seqDiff(left, this.nxt);
    const count = seqDiff(right, left);
    if (offset + count > this.#ring.limit || !this.#ring.reserve(offset + count)) return false;
    const start = segment.payload + seqDiff(left, textSeq);
    if (left === this.nxt) {
      this.#ring.putAhead(offset, segment.packet, start, start + count);
      this.nxt = right;
      const joined = this.#held.empty ? 0 : this.#held.take(this.nxt);
      this.nxt = seqAdd(this.nxt, joined);
      this.#ring.commit(count + joined - (this.finished ? 1 : 0));
      return true;
    }
    if (!this.#held.add(left, right)) return false;
    this.#ring.putAhead(offset, segment.packet, start, start + count);
    return true;
  }

  /** Moves up to `max` bytes to the reader, and owes the peer an ACK when that opens the window enough. */
  read(max: number): Uint8Array {
    const data = this.#take(Math.min(max, this.#ring.length, this.urgent.readable(this.readSeq)));
    if (this.#ring.length === 0 && this.#held.empty) this.#ring.release();
    this.urgent.taken(this.readSeq);
    if (!this.finished && this.#window.isWorthAnUpdate(this.nxt, this.#ring.length)) this.acks.oweNow();
    return data;
  }

  /** What has arrived in order and nobody read, and gives the memory back: the connection is gone. */
  discard(): Uint8Array {
    const data = this.#take(this.#ring.length);
    this.#ring.release();
    return data;
  }

  #take(length: number): Uint8Array {
    if (length <= 0) return NOTHING;
    const data = new Uint8Array(length);
    this.#ring.copy(0, length, data, 0);
    this.#ring.drop(length);
    return data;
  }

  /** The octet at `offset` from the next one to read on, if it has arrived in order. */
  peek(offset: number): number | undefined {
    if (offset < 0 || offset >= this.#ring.length) return undefined;
    const octet = new Uint8Array(1);
    this.#ring.copy(offset, 1, octet, 0);
    return octet[0];
  }

  /** The window field of a segment that is being sent now. */
  offerWindow(): number {
    return this.#window.offer(this.nxt, this.#ring.length);
  }

  /** SACK blocks for a segment with room for `room` of them: first what came twice, then what is held. */
  sackBlocks(room: number): SackBlock[] | undefined {
    if (!this.#sack || (this.#held.empty && this.#duplicate === undefined)) return undefined;
    const duplicate = this.#duplicate;
    if (duplicate === undefined) return this.#held.sackBlocks(room);
    const around = this.#held.around(duplicate);
    const others = this.#held.sackBlocks(room).filter((block) => block.left !== around?.left);
    return [duplicate, ...(around === undefined ? [] : [around]), ...others].slice(0, room);
  }

  /** The blocks of `sackBlocks` have left. */
  sackSent(): void {
    this.#duplicate = undefined;
  }
}
