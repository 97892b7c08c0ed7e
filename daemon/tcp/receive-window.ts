/** RCV.WND: how far the peer may send, and what the window field says of it. RFC 9293 3.8.6, RFC 7323 2.3 */

import { type Seq, seqAdd, seqDiff, seqMax } from '../wire/seq.ts';
import type { ReceiveRule, Room } from './receive-rules.ts';

/** The window field has 16 bits. */
const WINDOW_FIELD_MAX = 0xffff;

/**
 * Rounding the window up to its scale may promise a little more than the buffer with each segment; so many steps
 * of the scale are kept in reserve, up to half a buffer.
 */
const RESERVE_STEPS = 512;
const LEAST_RESERVE_STEPS = 8;

export class ReceiveWindow {
  readonly #rule: ReceiveRule;
  readonly #shift: number;
  readonly #rmss: number;
  #limit: number;
  #hardLimit: number;
  /** The first octet beyond what was offered: RCV.NXT + RCV.WND, never taken back (SHLD-14). */
  #edge: Seq;

  /** @param offered what our SYN offered from `nxt` on, which is never scaled */
  constructor(
    rule: ReceiveRule,
    bufferBytes: number,
    shift: number,
    rmss: number,
    nxt: Seq,
    offered: number,
  ) {
    this.#rule = rule;
    this.#shift = shift;
    this.#rmss = rmss;
    this.#edge = seqAdd(nxt, offered);
    this.#limit = rule.limit(bufferBytes, rmss);
    this.#hardLimit = Math.max(this.#limit + this.#reserve(), offered);
  }

  get edge(): Seq {
    return this.#edge;
  }

  /** Octets that fit the receive buffer. */
  get limit(): number {
    return this.#limit;
  }

  /** Octets that may have to be kept at most. */
  get hardLimit(): number {
    return this.#hardLimit;
  }

  /** The user gave the buffer another size. What was offered stays offered. */
  resize(bufferBytes: number): void {
    this.#limit = this.#rule.limit(bufferBytes, this.#rmss);
    this.#hardLimit = Math.max(this.#limit + this.#reserve(), this.#hardLimit);
  }

  #reserve(): number {
    return Math.max(
      Math.min(RESERVE_STEPS << this.#shift, this.#limit / 2),
      LEAST_RESERVE_STEPS << this.#shift,
    );
  }

  #room(nxt: Seq, queued: number): Room {
    return {
      limit: this.#limit,
      free: this.#limit - queued,
      offered: Math.max(seqDiff(this.#edge, nxt), 0),
      most: WINDOW_FIELD_MAX << this.#shift,
      rmss: this.#rmss,
    };
  }

  /** The window field of a segment that is being sent now. Moves the edge to what the field says. */
  offer(nxt: Seq, queued: number): number {
    const unit = 1 << this.#shift;
    const wanted = this.#rule.offer(this.#room(nxt, queued));
    if (this.#rule.rounds === 'down') {
      this.#edge = seqMax(this.#edge, seqAdd(nxt, wanted));
      return Math.min(Math.floor(Math.max(wanted, 0) / unit), WINDOW_FIELD_MAX);
    }
    // Rounded up, so that the edge never moves back; down only where the reserve ends.
    const hard = this.#hardLimit - queued;
    let field = Math.ceil(Math.max(wanted, 0) / unit);
    if (field * unit > hard) field = Math.floor(hard / unit);
    field = Math.max(Math.min(field, WINDOW_FIELD_MAX), 0);
    this.#edge = seqAdd(nxt, field * unit);
    return field;
  }

  isWorthAnUpdate(nxt: Seq, queued: number): boolean {
    return this.#rule.isWorthAnUpdate(this.#room(nxt, queued));
  }
}
