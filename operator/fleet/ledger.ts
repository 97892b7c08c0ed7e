/**
 * The reports of one run of an agent: which were received, so that each is applied once, and which are
 * settled, so that only those are acknowledged.
 */

import { NumberSet } from './number-set.ts';

/** An agent that skips more numbers than this has lost reports by the hundred. */
const MAX_RANGES = 256;

export class Ledger {
  readonly #received = new NumberSet(MAX_RANGES);
  /** Received and not settled, with what settles them. Bounded by the telemetry's waiting room. */
  readonly #open = new Map<number, Promise<unknown>>();
  duplicates = 0;
  applied = 0;

  /** Notes that a report arrived; false when it did before. */
  receive(seq: number): boolean {
    if (this.#received.has(seq)) {
      this.duplicates++;
      return false;
    }
    this.#received.add(seq);
    this.applied++;
    return true;
  }

  /** A report counts as settled when the promise has settled, either way. */
  settleWith(seq: number, settled: Promise<unknown>): void {
    const done = settled.then(
      () => this.#open.delete(seq),
      () => this.#open.delete(seq),
    );
    this.#open.set(seq, done);
  }

  /** Waits until a report is settled, or until the time is over. */
  async settled(seq: number, timeoutMs: number): Promise<void> {
    const open = this.#open.get(seq);
    if (open === undefined) return;
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    await Promise.race([open, timeout]);
    clearTimeout(timer);
  }

  /** The highest number such that every report received up to it is settled; 0 when that is none. */
  get acknowledged(): number {
    const oldestOpen = Math.min(...this.#open.keys());
    return Math.min(this.#received.highest, oldestOpen - 1);
  }

  get highest(): number {
    return this.#received.highest;
  }

  /** Numbers skipped so far; a late one takes itself off again. */
  get missing(): number {
    return this.#received.missing;
  }
}
