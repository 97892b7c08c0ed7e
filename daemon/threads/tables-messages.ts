/** What passes between the main thread and the tables worker. Both sides import this file and nothing of each other. */

import type { Condition } from '#base/errors.ts';
import type { ConntrackSummary, SocketSummary } from '#contract';

export interface TablesConfig {
  /** Time from the start of one sweep to the start of the next; one that takes long delays the next: `sweepPauseMs`. */
  readonly sweepIntervalMs: number;
  /** How many sockets, and how many flows, are remembered from sweep to sweep. */
  readonly maxTracked?: number;
  /** Whether the sockets of all network namespaces of the machine are read, and pods told apart. */
  readonly allNamespaces?: boolean;
}

/** What one sweep of the kernel's tables found. */
export interface TablesSweep {
  /** Unix time of the sweep. */
  readonly atMs: number;
  /** How long it took. */
  readonly durationMs: number;
  /** Absent when the socket table could not be read; a condition says why. */
  readonly sockets?: SocketSummary;
  /** Absent when conntrack could not be read; a condition says why. */
  readonly conntrack?: ConntrackSummary;
  readonly conditions: readonly Condition[];
  /** Totals since the worker started, by name: what was missed, forgotten or undecodable. */
  readonly counters: Readonly<Record<string, number>>;
}

/** Handed to the worker when it starts. */
export interface TablesWorkerData {
  readonly config: Required<TablesConfig>;
  /** One 64-bit cell: `process.hrtime` in milliseconds of the worker's last sign of life. */
  readonly heartbeat: SharedArrayBuffer;
}

export type ToTablesWorker = { readonly type: 'stop' };
export type FromTablesWorker = { readonly type: 'sweep'; readonly sweep: TablesSweep };

/** A clock that all threads of the process share, in whole milliseconds. */
export function sharedClockMs(): bigint {
  return process.hrtime.bigint() / 1_000_000n;
}
