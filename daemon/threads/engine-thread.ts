/** The engine worker as an object: starts it, hands it probes, wakes it, tells its death, stops it. */

import { Worker } from 'node:worker_threads';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import type { ProbeResult } from '#contract';
import { wakePoller } from '../kernel/poller.ts';
import type {
  EngineReady,
  EngineWorkerData,
  FromEngineWorker,
  ProbeRequest,
  ToEngineWorker,
} from './messages.ts';
import { ENGINE_CELLS, ENGINE_SHARED_BYTES, heartbeatClockMs } from './messages.ts';
import { WORKER_LIMITS } from './worker-limits.ts';

/** The worker sends its last packets and gives back the device; more than that is taken from it. */
const STOP_PATIENCE_MS = 2_000;

export interface ProbeOutcome {
  readonly result: ProbeResult;
  /** Why the verdict is `unreachable`, or why the probe was not run. */
  readonly condition?: Condition;
}

export class EngineThread {
  readonly ready: Promise<EngineReady>;
  readonly died: Promise<FinwaitError>;
  counters: Readonly<Record<string, number>> = {};
  conditions: readonly Condition[] = [];
  readonly #worker: Worker;
  readonly #cells: BigInt64Array;
  readonly #ready = Promise.withResolvers<EngineReady>();
  readonly #death = Promise.withResolvers<FinwaitError>();
  readonly #exited = Promise.withResolvers<void>();
  readonly #probes = new Map<string, PromiseWithResolvers<ProbeOutcome>>();
  #wakeFd: number | undefined;
  #ended: FinwaitError | undefined;
  #stopping = false;

  constructor(
    start: Omit<EngineWorkerData, 'shared'>,
    entry = new URL('./engine-worker.ts', import.meta.url),
  ) {
    this.ready = this.#ready.promise;
    this.died = this.#death.promise;
    // Whoever wants to know awaits it; for others a refused engine is not an unhandled error.
    this.ready.catch(() => {});
    const shared = new SharedArrayBuffer(ENGINE_SHARED_BYTES);
    this.#cells = new BigInt64Array(shared);
    Atomics.store(this.#cells, ENGINE_CELLS.heartbeat, heartbeatClockMs());
    const workerData: EngineWorkerData = { ...start, shared };
    this.#worker = new Worker(entry, { workerData, resourceLimits: WORKER_LIMITS });
    this.#worker.on('message', (message: FromEngineWorker) => this.#onMessage(message));
    this.#worker.on('error', (cause) => this.#end(workerDied('an exception was not caught', cause)));
    process.once('exit', this.#letGo);
    this.#worker.on('exit', (code) => {
      process.off('exit', this.#letGo);
      this.#end(this.#stopping ? engineStopped() : workerDied(`it ended with code ${code}`));
      this.#exited.resolve();
    });
  }

  /** @throws FinwaitError when the engine ends before the probe does */
  async probe(request: ProbeRequest, signal: AbortSignal): Promise<ProbeOutcome> {
    if (this.#ended !== undefined) throw this.#ended;
    const outcome = Promise.withResolvers<ProbeOutcome>();
    const abort = () => this.#tell({ type: 'abort', id: request.id });
    this.#probes.set(request.id, outcome);
    this.#tell({ type: 'probe', request });
    signal.addEventListener('abort', abort);
    try {
      return await outcome.promise;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#probes.delete(request.id);
    }
  }

  heartbeatAgeMs(): number {
    return Number(heartbeatClockMs() - Atomics.load(this.#cells, ENGINE_CELLS.heartbeat));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#letGo();
    const force = setTimeout(() => void this.#worker.terminate(), STOP_PATIENCE_MS);
    await this.#exited.promise;
    clearTimeout(force);
  }

  /**
   * Ends the worker's loop. Also when this process exits without `stop`: otherwise the exit takes as long as the wait
   * that the worker is in.
   */
  readonly #letGo = (): void => {
    Atomics.store(this.#cells, ENGINE_CELLS.stop, 1n);
    this.#wake();
    this.#wakeFd = undefined;
  };

  #tell(message: ToEngineWorker): void {
    this.#worker.postMessage(message);
    this.#wake();
  }

  #wake(): void {
    if (this.#wakeFd !== undefined && this.#ended === undefined) wakePoller(this.#wakeFd);
  }

  #onMessage(message: FromEngineWorker): void {
    switch (message.type) {
      case 'ready':
        if (!this.#stopping) this.#wakeFd = message.wakeFd;
        this.conditions = message.ready.conditions;
        this.#ready.resolve(message.ready);
        break;
      case 'refused':
        this.conditions = [message.condition];
        this.#stopping = true;
        this.#end(errorOf(message.condition, message.cause));
        break;
      case 'lost':
        this.#end(errorOf(message.condition));
        break;
      case 'result':
        this.#probes.get(message.result.id)?.resolve(message);
        break;
      case 'counters':
        this.counters = message.counters;
        this.conditions = message.conditions;
        break;
    }
  }

  /** The first reason counts: everyone who waits is told it. */
  #end(error: FinwaitError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#ready.reject(error);
    for (const probe of this.#probes.values()) probe.reject(error);
    if (!this.#stopping) this.#death.resolve(error);
  }
}

function errorOf({ code, message, hint }: Condition, cause?: string): FinwaitError {
  return new FinwaitError(code, message, hint, cause === undefined ? undefined : new Error(cause));
}

function engineStopped(): FinwaitError {
  return new FinwaitError('WORKER_DIED', 'the engine was stopped', 'start it again');
}

function workerDied(what: string, cause?: unknown): FinwaitError {
  return new FinwaitError(
    'WORKER_DIED',
    `the thread of the TCP engine ended unexpectedly: ${what}`,
    'this is a bug of finwait: report it with the lines above; the agent has to be started again',
    cause,
  );
}
