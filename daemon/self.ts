/** How the agent's own process fares. */

import { monitorEventLoopDelay } from 'node:perf_hooks';

const NS_PER_MS = 1e6;
const RESOLUTION_MS = 20;

/** The longest delay of the main loop, window by window. */
export class LoopLag implements Disposable {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.#histogram.enable();
  }

  /** Longest delay since the window began, milliseconds. The histogram's values contain its own interval. */
  get maxMs(): number {
    return Math.max(0, this.#histogram.max / NS_PER_MS - RESOLUTION_MS);
  }

  /** Ends the window and begins the next; answers the longest delay of the one that ended. */
  nextWindow(): number {
    const maxMs = this.maxMs;
    this.#histogram.reset();
    return maxMs;
  }

  [Symbol.dispose](): void {
    this.#histogram.disable();
  }
}

export function rssBytes(): number {
  return process.memoryUsage.rss();
}

/** Processor time of all threads since start, seconds. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
