/** Waiting times between tries that failed: twice as long each time, with jitter, up to a limit. */

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** From 0 (incl.) to 1 (excl.). */
  readonly random?: () => number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #tries = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The next time to wait, in milliseconds: between one and two times the doubled base, so that many do not come at once. */
  next(): number {
    const { firstMs, maxMs, random = Math.random } = this.#options;
    const base = Math.min(maxMs, firstMs * 2 ** this.#tries);
    if (base < maxMs) this.#tries++;
    return Math.min(maxMs, base * (1 + random()));
  }

  /** After a success the next failure begins anew. */
  reset(): void {
    this.#tries = 0;
  }
}
