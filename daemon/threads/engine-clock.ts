/** The engine's clock: microseconds of one monotonic clock, and the Unix time they stand for. */

import { performance } from 'node:perf_hooks';

/** More than this between the two clocks is a step of the wall clock since the thread started. */
const STEP_MS = 5;

export function monotonicUs(): number {
  return performance.now() * 1000;
}

/** The Unix time of a recent monotonic time, microseconds. Precise, and it follows when the wall clock is set. */
export function unixUs(monotonic: number): number {
  const startedMs = performance.timeOrigin;
  const stepMs = Date.now() - (startedMs + performance.now());
  return (startedMs + (Math.abs(stepMs) > STEP_MS ? stepMs : 0)) * 1000 + monotonic;
}
