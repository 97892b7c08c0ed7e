/** How fast figures rise, and when they reach their end, from the readings of the last minute. Bounded in figures and readings. */

const WINDOW_MS = 60_000;
/** Over less time a rate would be noise. */
const MIN_SPAN_MS = 10_000;
const READING_EVERY_MS = 5_000;

interface Reading {
  readonly atMs: number;
  readonly used: number;
}

export interface Forecast {
  /** More (or fewer) per minute; absent until the readings tell. */
  readonly perMinute?: number;
  /** When nothing is left if it goes on so; absent when it does not rise. */
  readonly exhaustedInMs?: number;
}

export class PortTrends {
  #readings = new Map<string, Reading[]>();
  #kept = new Map<string, Reading[]>();

  /** Takes the reading of a figure, which is followed as long as each round has one. @param key what tells it from others */
  forecast(key: string, used: number, usable: number, nowMs: number): Forecast {
    const readings = this.#readings.get(key) ?? [];
    this.#kept.set(key, readings);
    const last = readings.at(-1);
    if (last === undefined || nowMs - last.atMs >= READING_EVERY_MS) readings.push({ atMs: nowMs, used });
    // Where there are so few that the window holds but this one, the one before tells all the same.
    while (readings.length > 2 && (readings[0]?.atMs ?? nowMs) < nowMs - WINDOW_MS) readings.shift();
    const perMinute = perMinuteSince(readings[0], used, nowMs);
    const left = Math.max(0, usable - used);
    if (left === 0) return { ...(perMinute === undefined ? {} : { perMinute }), exhaustedInMs: 0 };
    if (perMinute === undefined) return {};
    return {
      perMinute,
      ...(perMinute > 0 ? { exhaustedInMs: Math.round((left / perMinute) * 60_000) } : {}),
    };
  }

  /** Ends a round: figures without a reading in it are forgotten. */
  endRound(): void {
    this.#readings = this.#kept;
    this.#kept = new Map();
  }
}

function perMinuteSince(first: Reading | undefined, used: number, nowMs: number): number | undefined {
  if (first === undefined || nowMs - first.atMs < MIN_SPAN_MS) return undefined;
  return Math.round(((used - first.used) * 60_000) / (nowMs - first.atMs));
}
