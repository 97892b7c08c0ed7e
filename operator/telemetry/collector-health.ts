/** Whether the collector takes what it is sent, told once each way and not at every attempt. */

import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { ExportState } from '../fleet/view.ts';

export type Signal = 'traces' | 'metrics';

/** A collector that comes and goes is told at most this often. */
const QUIET_MS = 10_000;

export class CollectorHealth {
  readonly #endpoints: Readonly<Partial<Record<Signal, string>>>;
  readonly #log: Logger;
  readonly #nowMs: () => number;
  readonly #failing = new Map<Signal, string>();
  readonly #answered = new Set<Signal>();
  #awaySinceMs = 0;
  #told: 'fine' | 'away' = 'fine';
  #toldAtMs = Number.NEGATIVE_INFINITY;
  /** Attempts that failed since start. */
  readonly failures: Record<Signal, number> = { traces: 0, metrics: 0 };

  /** @param endpoints of the signals that are exported */
  constructor(endpoints: Readonly<Partial<Record<Signal, string>>>, log: Logger, nowMs: () => number) {
    this.#endpoints = endpoints;
    this.#log = log;
    this.#nowMs = nowMs;
  }

  succeeded(signal: Signal): void {
    this.#answered.add(signal);
    this.#failing.delete(signal);
    if (this.#failing.size === 0) this.#tell('fine');
  }

  failed(signal: Signal, reason: string): void {
    this.failures[signal]++;
    if (this.#failing.size === 0) this.#awaySinceMs = this.#nowMs();
    this.#answered.add(signal);
    this.#failing.set(signal, reason);
    this.#tell('away');
  }

  state(signal: Signal): ExportState {
    if (this.#endpoints[signal] === undefined) return 'off';
    if (this.#failing.has(signal)) return 'failing';
    return this.#answered.has(signal) ? 'ok' : 'waiting';
  }

  conditions(): readonly Condition[] {
    const [first] = this.#failing;
    if (first === undefined) return [];
    const [signal, reason] = first;
    return [
      {
        code: 'COLLECTOR_UNREACHABLE',
        message: `the collector at ${this.#endpoints[signal]} does not take ${[...this.#failing.keys()].join(' and ')}: ${reason}`,
        hint: 'start the collector, or correct the OTEL_EXPORTER_OTLP_ variables; probe traces wait meanwhile',
      },
    ];
  }

  #tell(state: 'fine' | 'away'): void {
    const nowMs = this.#nowMs();
    if (state === this.#told || nowMs - this.#toldAtMs < QUIET_MS) return;
    this.#told = state;
    this.#toldAtMs = nowMs;
    const [condition] = this.conditions();
    if (condition !== undefined) {
      this.#log.log('warn', condition.message, { code: condition.code, hint: condition.hint });
    } else {
      const seconds = Math.round((nowMs - this.#awaySinceMs) / 1000);
      this.#log.log('info', 'the collector takes data again', { awaySeconds: seconds });
    }
  }
}
