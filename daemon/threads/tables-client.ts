/** The main thread's side of the tables worker, which sweeps the kernel's socket and conntrack tables. */

import { Worker } from 'node:worker_threads';
import { FinwaitError } from '#base/errors.ts';
import type {
  FromTablesWorker,
  TablesConfig,
  TablesSweep,
  TablesWorkerData,
  ToTablesWorker,
} from './tables-messages.ts';
import { sharedClockMs } from './tables-messages.ts';
import { WORKER_LIMITS } from './worker-limits.ts';

export type { TablesConfig, TablesSweep } from './tables-messages.ts';

const MAX_TRACKED = 200_000;
/** A sweep under way may end by itself before the worker is ended by force. */
const STOP_PATIENCE_MS = 2_000;

export interface TablesHandle {
  /** The newest sweep, once there is one. */
  latest(): TablesSweep | undefined;
  onSweep(listener: (sweep: TablesSweep) => void): void;
  /** Time since the worker last gave a sign of life. A long sweep makes it grow by the sweep's length. */
  heartbeatAgeMs(): number;
  /** Resolves when the worker ends without having been told to. */
  readonly died: Promise<FinwaitError>;
  /** Ends the worker within a bounded time, also in the middle of a sweep. */
  stop(): Promise<void>;
}

/** Starts the worker; the first sweep begins at once. What the machine does not allow comes as conditions of the sweeps. */
export function startTables(config: TablesConfig): TablesHandle {
  const heartbeat = new SharedArrayBuffer(8);
  const lastSign = new BigInt64Array(heartbeat);
  Atomics.store(lastSign, 0, sharedClockMs());
  const workerData: TablesWorkerData = {
    config: { maxTracked: MAX_TRACKED, allNamespaces: false, ...config },
    heartbeat,
  };
  const worker = new Worker(new URL('./tables-worker.ts', import.meta.url), {
    workerData,
    resourceLimits: WORKER_LIMITS,
  });
  const exited = Promise.withResolvers<void>();
  const death = Promise.withResolvers<FinwaitError>();
  const listeners: ((sweep: TablesSweep) => void)[] = [];
  let latest: TablesSweep | undefined;
  let stopping = false;

  worker.on('message', ({ sweep }: FromTablesWorker) => {
    latest = sweep;
    for (const listener of listeners) listener(sweep);
  });
  worker.on('error', (cause) => death.resolve(workerDied('an exception was not caught', cause)));
  worker.on('exit', (code) => {
    exited.resolve();
    if (!stopping) death.resolve(workerDied(`it ended with code ${code}`));
  });

  return {
    latest: () => latest,
    onSweep: (listener) => void listeners.push(listener),
    heartbeatAgeMs: () => Number(sharedClockMs() - Atomics.load(lastSign, 0)),
    died: death.promise,
    async stop() {
      stopping = true;
      worker.postMessage({ type: 'stop' } satisfies ToTablesWorker);
      const force = setTimeout(() => void worker.terminate(), STOP_PATIENCE_MS);
      await exited.promise;
      clearTimeout(force);
    },
  };
}

function workerDied(what: string, cause?: unknown): FinwaitError {
  return new FinwaitError(
    'WORKER_DIED',
    `the thread that reads the kernel's tables ended unexpectedly: ${what}`,
    'this is a bug of finwait: report it with the lines above; the agent has to be started again',
    cause,
  );
}
