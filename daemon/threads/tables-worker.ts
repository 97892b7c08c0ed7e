/** The thread that sweeps the kernel's tables: one sweep after the other, never two at once, and a sign of life. */

import { parentPort, workerData } from 'node:worker_threads';
import { threadCpuMs } from '../kernel/thread-cpu.ts';
import { Sweeper } from '../track/sweeper.ts';
import { SweepPace } from './sweep-pace.ts';
import type { FromTablesWorker, TablesWorkerData, ToTablesWorker } from './tables-messages.ts';
import { sharedClockMs } from './tables-messages.ts';

/** The queue of conntrack's events holds some 52,000 of them: a million in a second. Each look is a sign of life, too. */
const FOLLOW_MS = 50;
/** After a look that found none: waking up is most of what an idle agent does. It holds a quarter of a million in a second. */
const QUIET_FOLLOW_MS = 200;

if (parentPort === null) throw new Error('the tables worker is started as a thread of the agent');
const port = parentPort;
const { config, heartbeat } = workerData as TablesWorkerData;
const lastSign = new BigInt64Array(heartbeat);
const sweeper = new Sweeper({ ...config, onProgress: giveSignOfLife });
const pace = new SweepPace(config.sweepIntervalMs);

function giveSignOfLife(): void {
  Atomics.store(lastSign, 0, sharedClockMs());
}

function sweep(): void {
  giveSignOfLife();
  const atMs = Date.now();
  const startMs = performance.now();
  const startCpuMs = threadCpuMs();
  const swept = sweeper.sweep(startMs);
  const durationMs = performance.now() - startMs;
  const pauseMs = pace.pauseAfter({ durationMs, cpuMs: threadCpuMs() - startCpuMs });
  const slowed = pace.condition();
  const conditions = slowed === undefined ? swept.conditions : [...swept.conditions, slowed];
  port.postMessage({
    type: 'sweep',
    sweep: { atMs, durationMs, ...swept, conditions },
  } satisfies FromTablesWorker);
  giveSignOfLife();
  nextSweep = setTimeout(sweep, pauseMs);
}

function follow(): void {
  nextFollow = setTimeout(follow, sweeper.follow() ? FOLLOW_MS : QUIET_FOLLOW_MS);
}

let nextFollow = setTimeout(follow, FOLLOW_MS);
let nextSweep = setTimeout(sweep, 0);

// With the timers cleared and the port closed nothing keeps the thread alive.
port.on('message', (message: ToTablesWorker) => {
  if (message.type !== 'stop') return;
  clearTimeout(nextSweep);
  clearTimeout(nextFollow);
  sweeper[Symbol.dispose]();
  port.close();
});
