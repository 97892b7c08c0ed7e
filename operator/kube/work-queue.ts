/**
 * Work by key: a key that is added while it waits is worked once, one that is added while it is worked is worked
 * again, and never twice at a time. Failures are tried again with growing pauses.
 */

import type { Logger } from '#base/log.ts';
import { Backoff } from './backoff.ts';
import { KubeError } from './kube-error.ts';

export interface WorkQueueOptions {
  readonly name: string;
  /** May ask for the key to be worked again later. A rejection is tried again with a growing pause, and not before the API server wants it. */
  readonly handle: (key: string) => Promise<{ readonly requeueAfterMs?: number } | undefined>;
  readonly log: Logger;
  readonly concurrency?: number;
  readonly retryFirstMs?: number;
  readonly retryMaxMs?: number;
}

export interface WorkQueueCounters {
  handled: number;
  failed: number;
}

export interface WorkQueue {
  /** Adds a key, at once or after a time. The earliest of several times holds. */
  add(key: string, delayMs?: number): void;
  /** Forgets a key: neither retries nor times set for it happen. */
  forget(key: string): void;
  readonly counters: Readonly<WorkQueueCounters>;
  /** Keys that wait to be worked now. */
  readonly depth: number;
  /** Settles when no work is under way. */
  stop(): Promise<void>;
}

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { handle, log, concurrency = 4, retryFirstMs = 200, retryMaxMs = 60_000 } = options;
  const waiting = new Set<string>();
  const working = new Map<string, Promise<void>>();
  /** Added again while being worked. */
  const again = new Set<string>();
  const timers = new Map<string, { readonly timer: NodeJS.Timeout; readonly atMs: number }>();
  const backoffs = new Map<string, Backoff>();
  const counters: WorkQueueCounters = { handled: 0, failed: 0 };
  let stopped = false;

  function add(key: string, delayMs = 0): void {
    if (stopped) return;
    if (delayMs > 0) return addLater(key, delayMs);
    clearTimer(key);
    if (working.has(key)) again.add(key);
    else waiting.add(key);
    work();
  }

  function addLater(key: string, delayMs: number): void {
    const atMs = performance.now() + delayMs;
    if ((timers.get(key)?.atMs ?? Number.POSITIVE_INFINITY) <= atMs) return;
    clearTimer(key);
    timers.set(key, { timer: setTimeout(() => add(key), delayMs), atMs });
  }

  function clearTimer(key: string): void {
    clearTimeout(timers.get(key)?.timer);
    timers.delete(key);
  }

  function work(): void {
    for (const key of waiting) {
      if (working.size >= concurrency) return;
      waiting.delete(key);
      working.set(key, handled(key));
    }
  }

  async function handled(key: string): Promise<void> {
    try {
      const outcome = await handle(key);
      counters.handled++;
      backoffs.delete(key);
      if (outcome?.requeueAfterMs !== undefined) add(key, Math.max(1, outcome.requeueAfterMs));
    } catch (error) {
      counters.failed++;
      const backoff = backoffs.get(key) ?? new Backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs });
      backoffs.set(key, backoff);
      const asked = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
      const pauseMs = Math.round(Math.max(asked, backoff.next()));
      if (stopped) return;
      log.log('warn', `${options.name}: ${key} could not be handled, will try again`, {
        error: error instanceof Error ? error.message : String(error),
        pauseMs,
      });
      add(key, pauseMs);
    } finally {
      working.delete(key);
      if (again.delete(key) && !stopped) waiting.add(key);
      if (!stopped) work();
    }
  }

  return {
    add,
    forget(key) {
      clearTimer(key);
      waiting.delete(key);
      again.delete(key);
      backoffs.delete(key);
    },
    counters,
    get depth() {
      return waiting.size;
    },
    async stop() {
      stopped = true;
      waiting.clear();
      for (const key of [...timers.keys()]) clearTimer(key);
      await Promise.all(working.values());
    },
  };
}
