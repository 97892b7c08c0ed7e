/** What passes between the main thread and the engine worker. Both sides import this file and nothing of each other. */

import type { Condition } from '#base/errors.ts';
import type { ProbeResult, ProbeTarget } from '#contract';
import type { HostTunConfig } from '../kernel/host-tun.ts';
import type { ProfileName } from '../tcp/profile.ts';

/** What the engine got from the host. */
export interface EngineReady {
  readonly device: string;
  readonly mtu: number;
  readonly engineV4: string;
  /** Undefined when the kernel has IPv6 switched off. */
  readonly engineV6: string | undefined;
  readonly hostV4: string;
  readonly hostV6: string | undefined;
  /** What the host does not allow, although the engine runs. */
  readonly conditions: readonly Condition[];
}

/** One probe of one address. Plain data, so that it can cross threads. */
export interface ProbeRequest {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly target: ProbeTarget;
  /** Canonical text of one address of the target's host. */
  readonly address: string;
  /** When the host's name was resolved, Unix time; absent when it is an address. */
  readonly resolved?: { readonly fromUs: number; readonly toUs: number };
}

/** Handed to the worker when it starts. */
export interface EngineWorkerData {
  readonly host: HostTunConfig;
  readonly profile: ProfileName;
  /** Cells of `ENGINE_CELLS`, 64 bits each. */
  readonly shared: SharedArrayBuffer;
}

export const ENGINE_CELLS = {
  /** Worker to main: `process.hrtime` in milliseconds of its last turn. */
  heartbeat: 0,
  /** Main to worker: not 0 when it is to end. The worker's event loop never runs, so a message alone would not do. */
  stop: 1,
} as const;
export const ENGINE_SHARED_BYTES = 8 * Object.keys(ENGINE_CELLS).length;

export type ToEngineWorker =
  | { readonly type: 'probe'; readonly request: ProbeRequest }
  /** Ends a probe at once; its result still comes, with the verdict `aborted`. */
  | { readonly type: 'abort'; readonly id: string };

export type FromEngineWorker =
  /** `wakeFd`: an eventfd; 8 bytes written to it end the worker's wait. */
  | { readonly type: 'ready'; readonly ready: EngineReady; readonly wakeFd: number }
  /** The device is gone; the worker ends. */
  | { readonly type: 'lost'; readonly condition: Condition }
  /** The host does not allow the engine; the worker ends. */
  | { readonly type: 'refused'; readonly condition: Condition; readonly cause?: string }
  /** `condition` explains the verdict `unreachable`, or why the probe was not run. */
  | { readonly type: 'result'; readonly result: ProbeResult; readonly condition?: Condition }
  /** About once a second: totals since the worker started, by name, and all conditions, which may grow. */
  | {
      readonly type: 'counters';
      readonly counters: Readonly<Record<string, number>>;
      readonly conditions: readonly Condition[];
    };

/** A clock that all threads of the process share, in whole milliseconds. */
export function heartbeatClockMs(): bigint {
  return process.hrtime.bigint() / 1_000_000n;
}
