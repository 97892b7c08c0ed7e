/** How many reviews may be asked for: strangers can make up tokens faster than the API server should review them. */
export class ReviewBudget {
  readonly #perSecond: number;
  #left: number;
  #atMs = 0;

  /** @param perSecond also how many may come at once */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** Takes one, unless none is left. */
  take(nowMs: number): boolean {
    const refill = (Math.max(0, nowMs - this.#atMs) * this.#perSecond) / 1000;
    this.#left = Math.min(this.#perSecond, this.#left + refill);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
