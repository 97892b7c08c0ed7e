/** How many writes to the API server are allowed, so that a large cluster's reports do not burden it. */

export class WriteBudget {
  readonly #perSecond: number;
  readonly #burst: number;
  #left: number;
  #atMs: number | undefined;

  /** @param perSecond writes that may be made in the long run; `burst` at once after a quiet time */
  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#left = burst;
  }

  /** Takes one write; false when there is none left at this time. `nowMs` must not go back. */
  take(nowMs: number): boolean {
    const passedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#left = Math.min(this.#burst, this.#left + (passedMs / 1000) * this.#perSecond);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
