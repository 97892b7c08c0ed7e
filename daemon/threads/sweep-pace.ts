/** When the kernel's tables are swept again: at the interval asked for, unless that took too much of a processor. */

import type { Condition } from '#base/errors.ts';

/** What all sweeps together may take of one processor. */
const PART = 0.1;
/** Figures are not to grow older, whatever it costs: a socket stays in TIME-WAIT for a minute. */
const LONGEST_PAUSE_MS = 60_000;
/** What one sweep cost is spread over so many: now and then one reads all of conntrack. */
const SPREAD_OVER = 4;
/** Nobody is told of less than this between two sweeps. */
const TOLD_FROM_MS = 10_000;
const TOLD_STEPS_S = [15, 30, 60];

export interface SweepCost {
  /** From its start to its end. */
  readonly durationMs: number;
  /** Processor time of the thread. */
  readonly cpuMs: number;
}

export class SweepPace {
  readonly #askedMs: number;
  /** Of a sweep, smoothed. */
  #durationMs = 0;
  #cpuMs = 0;

  /** @param askedMs from the start of one sweep to that of the next */
  constructor(askedMs: number) {
    this.#askedMs = askedMs;
  }

  /** Takes what the last sweep cost. @returns how long to wait until the next, milliseconds */
  pauseAfter({ durationMs, cpuMs }: SweepCost): number {
    this.#durationMs += (durationMs - this.#durationMs) / SPREAD_OVER;
    this.#cpuMs += (cpuMs - this.#cpuMs) / SPREAD_OVER;
    return this.#pauseAfter(durationMs);
  }

  /** That figures are much older than was asked for. */
  condition(): Condition | undefined {
    const everyMs = this.#durationMs + this.#pauseAfter(this.#durationMs);
    if (everyMs < Math.max(TOLD_FROM_MS, 2 * this.#askedMs)) return undefined;
    const about = TOLD_STEPS_S.find((seconds) => everyMs <= seconds * 1_000);
    const often = about === undefined ? 'in minutes' : `in about ${about} s`;
    const starved = this.#durationMs > this.#cpuMs / PART;
    return {
      code: 'SWEEPS_SLOWED',
      message: `the kernel's tables are read once ${often} instead of ${this.#askedMs / 1_000} s, and figures are as old: ${
        starved
          ? 'other programs leave the agent too little of the processors'
          : 'more often would take more than a tenth of a processor'
      }`,
      hint: starved
        ? 'give the agent more processor time (chart: agent.resources)'
        : 'very many sockets make it costly, and more so network namespaces that change beside them; where that is how it should be, a longer --sweep-interval says so',
    };
  }

  #pauseAfter(durationMs: number): number {
    const everyMs = Math.max(this.#askedMs, Math.min(this.#cpuMs / PART, durationMs + LONGEST_PAUSE_MS));
    return Math.max(0, everyMs - durationMs);
  }
}
