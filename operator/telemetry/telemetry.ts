/** OTLP export of probes and states: off and free of cost unless an OTLP endpoint is configured. */

import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { ProbeResult } from '#contract';
import type { NodeView, TelemetryView } from '../fleet/view.ts';
import { exportChoice } from './environment.ts';

/**
 * What became of a probe's trace: taken by the collector; not wanted (no endpoint, exporter `none`, not
 * sampled); or given up, because there was no more room or time, or the collector refused it.
 */
export type Delivery = 'accepted' | 'off' | 'lost';

export interface Telemetry {
  /**
   * Makes one trace of a probe's result, its id the result's id, and sends it.
   * @param nodeName the node whose agent took the probe
   * @returns what became of it, as soon as that is known; never rejects
   */
  recordProbe(result: ProbeResult, nodeName: string): Promise<Delivery>;
  view(): TelemetryView;
  /** COLLECTOR_UNREACHABLE while the collector does not take what it is sent. */
  conditions(): readonly Condition[];
  /** Sends what still waits, for at most `timeoutMs` (2 s unless told); then all that is left is `lost`. */
  shutdown(timeoutMs?: number): Promise<void>;
}

export interface TelemetryOptions {
  readonly log: Logger;
  /** What the state metrics are read from, each time they are sent; without it there are no metrics. */
  readonly nodes?: () => readonly NodeView[];
  /**
   * How long one export may take, retries of the exporter's own included, unless the user set
   * OTEL_EXPORTER_OTLP_TIMEOUT; 10 s by OpenTelemetry's default. A command that ends soon wants less.
   */
  readonly exportTimeoutMs?: number;
  /** Time a trace waits for others to share an export. */
  readonly lingerMs?: number;
}

/**
 * Starts telemetry as the standard `OTEL_*` variables of this process say. Without an OTLP endpoint in them
 * nothing is loaded, nothing is sent and nothing complains.
 * @throws FinwaitError CONFIG_INVALID when the endpoint is no URL
 */
export async function createTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const choice = exportChoice(process.env);
  for (const warning of choice.warnings) options.log.log('warn', warning);
  if (choice.traces === undefined && choice.metrics === undefined) return OFF;
  const { startTelemetry } = await import('./sdk.ts');
  return startTelemetry(choice, options);
}

const OFF: Telemetry = {
  recordProbe: async () => 'off',
  view: () => ({ traces: 'off', metrics: 'off', waiting: 0, accepted: 0, lost: 0 }),
  conditions: () => [],
  shutdown: async () => {},
};
