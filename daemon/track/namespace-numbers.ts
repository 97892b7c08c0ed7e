/** What is known of a network namespace beside its sockets: its counts, its counters and how it is set. */

import type { NamespaceSettings } from '#contract';
import type { CounterSums } from './namespace-counters.ts';
import { NamespaceCounters } from './namespace-counters.ts';
import { readNamespaceSettings } from './namespace-settings.ts';
import type { Sockstat } from './sockstat.ts';

/** Counters of a namespace in which nothing seems to happen are read this seldom, once they have been seen to stand still. */
const QUIET_COUNTERS_MS = 30_000;
/** Settings are a few dozen files, and hardly anybody changes them while programs run, but for who runs out of ports. */
const SETTINGS_MS = 600_000;
const PRESSED_SETTINGS_MS = 5_000;

export class NamespaceNumbers {
  readonly counters: NamespaceCounters;
  settings: NamespaceSettings | undefined;
  /** Whether its ports run out, so that somebody may be about to change the settings. */
  pressed = false;
  /** Of the last sweep. */
  sockstat: Sockstat = { inUse: 0, timeWait: 0, memory: { pages: 0, orphans: 0, allocated: 0 } };
  #countersMs = Number.NEGATIVE_INFINITY;
  #settingsMs = Number.NEGATIVE_INFINITY;

  constructor(sums: CounterSums) {
    this.counters = new NamespaceCounters(sums);
  }

  readCounters(procRoot: string, pid: number | 'thread-self', quiet: boolean, nowMs: number): void {
    if (quiet && !this.counters.rising && nowMs - this.#countersMs < QUIET_COUNTERS_MS) return;
    this.#countersMs = nowMs;
    this.counters.read(procRoot, pid, nowMs);
  }

  /** @param inside runs a read with the thread in the namespace; what it throws is thrown */
  readSettings(inside: (read: () => NamespaceSettings) => NamespaceSettings, nowMs: number): void {
    const everyMs =
      this.pressed || this.settings?.portRange === undefined ? PRESSED_SETTINGS_MS : SETTINGS_MS;
    if (nowMs - this.#settingsMs < everyMs) return;
    const settings = inside(() => readNamespaceSettings());
    this.#settingsMs = nowMs;
    // Every kernel has it: where it is missing, files cannot be opened just now.
    if (settings.portRange !== undefined || this.settings === undefined) this.settings = settings;
  }
}
