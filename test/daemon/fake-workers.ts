/** Workers in the place of the real ones: they do what the test says, on any machine. */

import { FinwaitError } from '#base/errors.ts';
import type { ProbeResult, ProbeTarget } from '#contract';
import type { EngineConfig, EngineHandle, EngineReady } from '../../daemon/threads/engine-client.ts';
import type { TablesHandle, TablesSweep } from '../../daemon/threads/tables-client.ts';
import { makeSockets } from './report/fixtures.ts';

export const READY: EngineReady = {
  device: 'finwait0',
  mtu: 1500,
  engineV4: '198.18.77.2',
  engineV6: 'fd66:696e:7761:6974::2',
  hostV4: '198.18.77.1',
  hostV6: 'fd66:696e:7761:6974::1',
  conditions: [],
};

export function makeSweep(changes: Partial<TablesSweep> = {}): TablesSweep {
  return {
    atMs: 1_700_000_000_000,
    durationMs: 3,
    sockets: makeSockets(),
    conditions: [],
    counters: {},
    ...changes,
  };
}

export class FakeTables implements TablesHandle {
  heartbeatMs = 5;
  stopped = false;
  readonly died: Promise<FinwaitError>;
  readonly #death = Promise.withResolvers<FinwaitError>();
  readonly #listeners: ((sweep: TablesSweep) => void)[] = [];
  #latest: TablesSweep | undefined;

  constructor() {
    this.died = this.#death.promise;
  }

  latest(): TablesSweep | undefined {
    return this.#latest;
  }

  onSweep(listener: (sweep: TablesSweep) => void): void {
    this.#listeners.push(listener);
  }

  heartbeatAgeMs(): number {
    return this.heartbeatMs;
  }

  async stop(): Promise<void> {
    this.stopped = true;
  }

  sweep(sweep = makeSweep()): void {
    this.#latest = sweep;
    for (const listener of this.#listeners) listener(sweep);
  }

  die(): void {
    this.#death.resolve(new FinwaitError('WORKER_DIED', 'the tables worker ended', 'report it'));
  }
}

export class FakeEngine implements EngineHandle {
  readonly ready: Promise<EngineReady>;
  readonly died: Promise<FinwaitError>;
  targets: readonly ProbeTarget[] = [];
  stopped = false;
  /** Resolved when the engine has stopped; tests may put one that never is. */
  stopping: Promise<void> = Promise.resolve();
  readonly config: EngineConfig;
  readonly #death = Promise.withResolvers<FinwaitError>();
  readonly #listeners: ((result: ProbeResult) => void)[] = [];

  constructor(config: EngineConfig, refusal?: FinwaitError) {
    this.config = config;
    this.ready = refusal === undefined ? Promise.resolve(READY) : Promise.reject(refusal);
    this.ready.catch(() => {});
    this.died = this.#death.promise;
  }

  setTargets(targets: readonly ProbeTarget[]): void {
    this.targets = targets;
  }

  async probe(): Promise<ProbeResult[]> {
    return [];
  }

  onResult(listener: (result: ProbeResult) => void): void {
    this.#listeners.push(listener);
  }

  result(result: ProbeResult): void {
    for (const listener of this.#listeners) listener(result);
  }

  die(error: FinwaitError): void {
    this.#death.resolve(error);
  }

  snapshot() {
    const counters = { probes_finished: 1, tcp_dropped_checksum: 2 };
    return { counters, heartbeatAgeMs: 7, conditions: [] };
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.stopping;
  }
}
