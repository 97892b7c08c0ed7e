/** How fast conntrack fills, and what its processors count, from one look to the next. */

import type { ConntrackCpuStats, ConntrackStatName } from '../netlink/conntrack-stats.ts';
import { CONNTRACK_STATS } from '../netlink/conntrack-stats.ts';

/** The growth is that of about the last minute. */
const SMOOTHED_OVER_MS = 60_000;

export class ConntrackGrowth {
  #atMs: number | undefined;
  #count = 0;
  #perS: number | undefined;

  /** Entries by which the table grows in a second, smoothed; undefined at the first look. */
  perS(count: number, nowMs: number): number | undefined {
    const elapsedMs = this.#atMs === undefined ? 0 : nowMs - this.#atMs;
    if (elapsedMs > 0) {
      const now = ((count - this.#count) * 1000) / elapsedMs;
      const weight = 1 - Math.exp(-elapsedMs / SMOOTHED_OVER_MS);
      this.#perS = this.#perS === undefined ? now : this.#perS + weight * (now - this.#perS);
    }
    this.#atMs = nowMs;
    this.#count = count;
    return this.#perS;
  }
}

/** Slower growth, or more time, tells nothing: a growth that is over dies away in the smoothed one for ever. */
const LEAST_GROWTH_PER_S = 1 / 60;
const LONGEST_TO_FULL_MS = 365 * 24 * 3_600_000;

/** When the table is full at this growth; undefined where that is no time to speak of. */
export function timeToFullMs(
  fill: { readonly count: number; readonly max: number },
  growthPerS: number | undefined,
): number | undefined {
  if (growthPerS === undefined || growthPerS < LEAST_GROWTH_PER_S) return undefined;
  // Without a bound it is never full.
  if (fill.max === 0) return undefined;
  const toFullMs = (Math.max(0, fill.max - fill.count) / growthPerS) * 1000;
  return toFullMs > LONGEST_TO_FULL_MS ? undefined : toFullMs;
}

/** Turns totals into rates: what was counted since the last look, for each second. */
export class EventRate {
  #atMs: number | undefined;
  #total = 0;

  /** Undefined at the first look. */
  perS(total: number, nowMs: number): number | undefined {
    const elapsedMs = this.#atMs === undefined ? 0 : nowMs - this.#atMs;
    const rate = elapsedMs > 0 ? ((total - this.#total) * 1000) / elapsedMs : undefined;
    this.#atMs = nowMs;
    this.#total = total;
    return rate;
  }
}

export interface StatTotal {
  readonly name: ConntrackStatName;
  /** Since the first look, all processors together. */
  readonly total: number;
  /** In the time since the last look; absent at the first. */
  readonly perS?: number;
}

/** The statistics of all processors in sum; their counters have 32 bits and begin at 0 again. */
export class StatTotals {
  readonly #last = new Map<string, number>();
  readonly #totals = new Map<ConntrackStatName, number>();
  readonly #rates = new Map<ConntrackStatName, EventRate>();

  /** Names that no processor tells are left out. */
  add(cpus: readonly ConntrackCpuStats[], nowMs: number): StatTotal[] {
    for (const { cpu, values } of cpus) {
      for (const name of CONNTRACK_STATS) {
        const value = values[name];
        if (value === undefined) continue;
        const key = `${cpu} ${name}`;
        const grown = grownBy(this.#last.get(key) ?? value, value);
        this.#last.set(key, value);
        this.#totals.set(name, (this.#totals.get(name) ?? 0) + grown);
      }
    }
    return [...this.#totals].map(([name, total]) => {
      const rate = this.#rates.get(name) ?? new EventRate();
      this.#rates.set(name, rate);
      const perS = rate.perS(total, nowMs);
      return { name, total, ...(perS === undefined ? {} : { perS }) };
    });
  }
}

/** A counter that fell far has come to its end; one that fell less begins anew, as when the module is loaded again. */
function grownBy(last: number, value: number): number {
  if (value >= last) return value - last;
  return last - value > 2 ** 31 ? value - last + 2 ** 32 : value;
}
