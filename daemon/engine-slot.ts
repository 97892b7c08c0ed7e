/**
 * The place of the engine in the agent: filled when the machine allows it, empty with a condition that says why
 * not, and tried again, so that who follows the hint need not start the agent again.
 */

import type { Condition } from '#base/errors.ts';
import { conditionOf, FinwaitError } from '#base/errors.ts';
import type { ProbeResult, ProbeTarget } from '#contract';
import { RunMemory } from './probe/run-memory.ts';
import type { Clock } from './report/clock.ts';
import type { EngineConfig, EngineHandle, EngineReady } from './threads/engine-client.ts';

const RETRY_MS = 30_000;
/** A device that was taken away can most likely be had again. */
const LOST_RETRY_MS = 1_000;
/** How long it is told that the device was taken away, when there is another. */
const TELL_LOST_MS = 60_000;

export interface EngineSlotDeps {
  readonly startEngine: (config: EngineConfig) => EngineHandle;
  readonly clock: Clock;
  readonly onReady: (ready: EngineReady) => void;
  readonly onResult: (result: ProbeResult) => void;
}

export class EngineSlot {
  /** Resolves when an engine that was ready ends without having been told to; one whose device is lost is replaced. */
  readonly died: Promise<FinwaitError>;
  readonly #config: EngineConfig;
  readonly #deps: EngineSlotDeps;
  readonly #death = Promise.withResolvers<FinwaitError>();
  #engine: EngineHandle | undefined;
  #ready: EngineReady | undefined;
  #refusal: Condition | undefined;
  #callOffRetry: () => void = () => {};
  #stopping = false;
  #lost: { readonly condition: Condition; readonly atMs: number } | undefined;
  #losses = 0;
  /** Runs that have their result: an engine that takes another's place must not run them again. */
  readonly #answered = new RunMemory();

  constructor(config: EngineConfig, deps: EngineSlotDeps) {
    this.#config = config;
    this.#deps = deps;
    this.died = this.#death.promise;
  }

  /** What the running engine got from the host; undefined while there is none. */
  get ready(): EngineReady | undefined {
    return this.#ready;
  }

  /** Whether it is known if this machine allows an engine: there is one, or a condition says why not. */
  get settled(): boolean {
    return this.#ready !== undefined || this.#refusal !== undefined;
  }

  /**
   * Starts an engine and waits until it is ready or refused; when it is refused it is tried again later.
   * @returns why it was refused
   */
  async start(): Promise<FinwaitError | undefined> {
    const engine = this.#deps.startEngine(this.#config);
    this.#engine = engine;
    engine.onResult((result) => {
      if (result.verdict !== 'aborted') this.#answered.add(result.target);
      this.#deps.onResult(result);
    });
    engine.died.then((error) => {
      if (error.code === 'TUN_LOST') this.#onLost(error);
      else this.#death.resolve(error);
    });
    try {
      this.#ready = await engine.ready;
    } catch (error) {
      this.#engine = undefined;
      // A worker that crashed takes the agent down (see `died`); that is not for the machine to allow.
      if (this.#stopping || (error instanceof FinwaitError && error.code === 'WORKER_DIED')) return undefined;
      return this.#refused(error, RETRY_MS);
    }
    this.#refusal = undefined;
    this.#deps.onReady(this.#ready);
    return undefined;
  }

  setTargets(targets: readonly ProbeTarget[]): void {
    if (this.#ready === undefined) return;
    this.#engine?.setTargets(targets.filter((target) => !this.#answered.has(target)));
  }

  conditions(): readonly Condition[] {
    if (this.#refusal !== undefined) return [this.#refusal];
    const told = this.#deps.clock.nowMs() - (this.#lost?.atMs ?? Number.NEGATIVE_INFINITY) < TELL_LOST_MS;
    const lost = this.#lost === undefined || !told ? [] : [this.#lost.condition];
    return [...lost, ...(this.#engine?.snapshot().conditions ?? [])];
  }

  /** Totals of the engine since it started, and of the devices that were taken away from it. */
  counters(): Readonly<Record<string, number>> {
    return { ...this.#engine?.snapshot().counters, tun_devices_lost: this.#losses };
  }

  /** Undefined while there is no engine that could give a sign of life. */
  heartbeatAgeMs(): number | undefined {
    return this.#engine?.snapshot().heartbeatAgeMs;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#callOffRetry();
    await this.#engine?.stop();
  }

  #onLost(error: FinwaitError): void {
    this.#engine = undefined;
    this.#ready = undefined;
    this.#losses++;
    this.#lost = { condition: conditionOf(error), atMs: this.#deps.clock.nowMs() };
    if (!this.#stopping) this.#refused(error, LOST_RETRY_MS);
  }

  #refused(error: unknown, retryMs: number): FinwaitError {
    this.#refusal = conditionOf(error);
    this.#callOffRetry = this.#deps.clock.after(retryMs, () => void this.start());
    return error as FinwaitError;
  }
}
