/** How the agent's own process fares. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { mallocTrim } from './kernel/libc.ts';

const NS_PER_MS = 1e6;
/** Each look wakes the thread; delays that matter to probes or to health are longer. */
const RESOLUTION_MS = 100;
const TRIM_INTERVAL_MS = 15_000;

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

/**
 * Gives back what is not used any more. The C library keeps a heap for each thread and gives nothing back from its
 * middle: 8 to 10 MiB of what starting up takes would stay, and more after a load. A call takes a third of a millisecond.
 */
export class MemoryReturn implements Disposable {
  #started = false;
  readonly #timer = setInterval(() => {
    if (!this.#started) collectGarbage();
    this.#started = true;
    mallocTrim();
  }, TRIM_INTERVAL_MS);

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/**
 * Collects all garbage of the calling thread, in some 30 ms. V8 does so when the heap grows, and that of an idle agent's
 * main thread does not: another 6 to 9 MiB of what starting up takes would stay.
 */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  // Compiled code is kept for the flags it was compiled with: a thread that starts later must find those of the start.
  setFlagsFromString('--no-expose-gc');
  collect();
}

let lastRssBytes = 0;

/** Resident memory; that of the last look where no file can be opened to find it out. */
export function rssBytes(): number {
  try {
    lastRssBytes = process.memoryUsage.rss();
  } catch {
    // EMFILE: which other files could not be opened is told by conditions.
  }
  return lastRssBytes;
}

/** Processor time of all threads since start, seconds. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
