/** How long to wait before trying again. */

export interface BackoffLimits {
  /** Upper bound of the first wait. */
  readonly baseMs: number;
  /** Upper bound of every wait. */
  readonly capMs: number;
  /** Lower bound of every wait. */
  readonly floorMs?: number;
}

/**
 * Exponential back-off with full jitter: anything between the floor and a bound that doubles with each failure,
 * so that many agents that lost the same operator do not come back at the same moment.
 * @param failures in a row, counted from 1
 * @param random answers [0, 1)
 */
export function backoffMs(failures: number, limits: BackoffLimits, random: () => number): number {
  const floor = limits.floorMs ?? 0;
  // 2 ** 30 is over any cap in use, and stays exact.
  const bound = Math.min(limits.capMs, limits.baseMs * 2 ** Math.min(failures - 1, 30));
  return floor + random() * Math.max(0, bound - floor);
}
