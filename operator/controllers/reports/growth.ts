/** How fast a count grows, from readings of the last minutes. Bounded in readings; times come from outside. */

const WINDOW_MS = 5 * 60_000;
/** Over less time a rate would be noise. */
const MIN_SPAN_MS = 60_000;
const READING_EVERY_MS = 10_000;

export class Growth {
  #readings: { readonly atMs: number; readonly count: number }[] = [];

  /** Takes a reading; at most one in ten seconds is kept. */
  add(count: number, atMs: number): void {
    const last = this.#readings.at(-1);
    if (last !== undefined && atMs - last.atMs < READING_EVERY_MS) return;
    this.#readings.push({ atMs, count });
    while ((this.#readings[0]?.atMs ?? atMs) < atMs - WINDOW_MS) this.#readings.shift();
  }

  /** More (or fewer) per minute; undefined until the readings span a minute. */
  perMinute(): number | undefined {
    const first = this.#readings[0];
    const last = this.#readings.at(-1);
    if (first === undefined || last === undefined || last.atMs - first.atMs < MIN_SPAN_MS) return undefined;
    return ((last.count - first.count) * 60_000) / (last.atMs - first.atMs);
  }
}
