/** When to push again, by how pushes went. Pure. */

import { backoffMs } from './backoff.ts';
import type { PushOutcome } from './push.ts';

/** An operator that is away is found again within so long. */
const AWAY = { baseMs: 500, capMs: 4_000 };
/** A token that is not accepted needs a person, or the time until it is replaced. */
const REFUSED = { baseMs: 5_000, capMs: 60_000, floorMs: 2_500 };
/** Longest wait an operator can ask for. */
const MAX_RETRY_AFTER_MS = 60_000;

export class PushSchedule {
  #failures = 0;
  #notBeforeMs = 0;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Pushes that failed since the last one that was answered with an acknowledgement. */
  get failures(): number {
    return this.#failures;
  }

  /** The next push must not start before. */
  get notBeforeMs(): number {
    return this.#notBeforeMs;
  }

  ended(outcome: PushOutcome, nowMs: number): void {
    // A report that will never be accepted says nothing against pushing the next one, but not in a tight loop.
    if (outcome.kind === 'acknowledged') this.#failures = 0;
    else this.#failures++;
    this.#notBeforeMs = nowMs + (outcome.kind === 'acknowledged' ? 0 : this.#waitMs(outcome));
  }

  #waitMs(outcome: PushOutcome): number {
    if (outcome.kind === 'unauthorized') return backoffMs(this.#failures, REFUSED, this.#random);
    const own = backoffMs(this.#failures, AWAY, this.#random);
    if (outcome.kind !== 'unavailable' || outcome.retryAfterMs === undefined) return own;
    // Not at the very moment that all others were told, and no later than it takes to be back in time.
    const asked = Math.min(outcome.retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + this.#random() / 8);
    return Math.max(asked, own);
  }
}
