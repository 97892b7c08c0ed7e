/**
 * When which target is probed: each at its interval with jitter, or once for each run, a new one at once, never more than so many at the
 * same time, and never two starts closer together than the spacing. Time and randomness come in as arguments.
 */

import type { ProbeTarget } from '#contract';
import { RunMemory } from './run-memory.ts';

export interface ScheduleOptions {
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** How many targets are probed at the same time. */
  readonly concurrency: number;
  /** The least time between two starts. */
  readonly spacingMs: number;
  /** An interval is longer or shorter by up to this share of it, so that agents do not probe in step. */
  readonly jitter: number;
}

interface Entry {
  target: ProbeTarget;
  dueMs: number;
  running: boolean;
}

export class Schedule {
  /** Turns that came due while the one before still ran or waited for its turn. */
  skipped = 0;
  readonly #options: ScheduleOptions;
  /** Targets by name, in the order they were given. */
  #entries = new Map<string, Entry>();
  /** Names under way, also of targets that have been removed since. */
  readonly #running = new Set<string>();
  readonly #begun = new RunMemory();
  #freeFromMs = Number.NEGATIVE_INFINITY;

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  /**
   * Replaces the list. A target that stays keeps its turn; one that is new or now means something else is due at
   * once; one that is gone is not probed again. What runs is not disturbed. Of targets of one name the first counts.
   */
  replace(targets: readonly ProbeTarget[], nowMs: number): void {
    const before = this.#entries;
    this.#entries = new Map();
    for (const target of targets) {
      if (this.#entries.has(target.name)) continue;
      const old = before.get(target.name);
      const same = old !== undefined && samePlace(old.target, target);
      const dueMs = this.#begun.has(target)
        ? Number.POSITIVE_INFINITY
        : same
          ? Math.min(old.dueMs, nowMs + target.intervalMs)
          : nowMs;
      this.#entries.set(target.name, { target, dueMs, running: this.#running.has(target.name) });
    }
  }

  /** Takes the target that has been due longest, if one may start now. The caller says when it has `finished`. */
  take(nowMs: number): ProbeTarget | undefined {
    if (nowMs < this.#freeFromMs || this.#running.size >= this.#options.concurrency) return undefined;
    const entry = this.#next();
    if (entry === undefined || entry.dueMs > nowMs) return undefined;
    this.#freeFromMs = nowMs + this.#options.spacingMs;
    this.#running.add(entry.target.name);
    entry.running = true;
    if (entry.target.once !== undefined) {
      this.#begun.add(entry.target);
      entry.dueMs = Number.POSITIVE_INFINITY;
      return entry.target;
    }
    const late = Math.floor((nowMs - entry.dueMs) / entry.target.intervalMs);
    this.skipped += late;
    entry.dueMs += late * entry.target.intervalMs + this.#interval(entry.target);
    return entry.target;
  }

  /** The probe of the target of that name has ended. */
  finished(name: string): void {
    this.#running.delete(name);
    const entry = this.#entries.get(name);
    if (entry !== undefined) entry.running = false;
  }

  /** When `take` may have something; Infinity while all slots are taken or there is nothing to do. */
  nextDeadlineMs(): number {
    if (this.#running.size >= this.#options.concurrency) return Number.POSITIVE_INFINITY;
    const entry = this.#next();
    return entry === undefined ? Number.POSITIVE_INFINITY : Math.max(entry.dueMs, this.#freeFromMs);
  }

  #next(): Entry | undefined {
    let first: Entry | undefined;
    for (const entry of this.#entries.values()) {
      if (!entry.running && (first === undefined || entry.dueMs < first.dueMs)) first = entry;
    }
    return first;
  }

  #interval(target: ProbeTarget): number {
    return target.intervalMs * (1 + this.#options.jitter * (2 * this.#options.random() - 1));
  }
}

function samePlace(a: ProbeTarget, b: ProbeTarget): boolean {
  return a.host === b.host && a.port === b.port && a.send === b.send && a.once === b.once;
}
