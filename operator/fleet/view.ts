/**
 * What the operator knows, as the data that the JSON API and the terminal show.
 * Times are Unix milliseconds unless the name says otherwise.
 */

import type { Condition } from '#base/errors.ts';
import type {
  AgentHealth,
  AgentIdentity,
  ConntrackSummary,
  ProbeResult,
  ProbeTarget,
  SocketSummary,
} from '#contract';

export interface Overview {
  readonly generatedAtMs: number;
  readonly operator: OperatorView;
  /** By name. */
  readonly nodes: readonly NodeView[];
}

export interface OperatorView {
  readonly version: string;
  readonly startedAtMs: number;
  /** Absent where there is but one operator. */
  readonly leadership?: LeadershipView;
  readonly telemetry: TelemetryView;
  /** Totals since start: reports applied, duplicates, refusals by code, nodes turned away. */
  readonly counters: Readonly<Record<string, number>>;
  /** Objects of the API server that this replica holds in memory, by plural. */
  readonly objects?: Readonly<Record<string, number>>;
  readonly conditions: readonly Condition[];
}

/** Of several replicas one leads: it takes the reports, and what the others show of nodes is empty. */
export interface LeadershipView {
  readonly leads: boolean;
  /** Name and ingest address of the one that leads, as far as this replica knows. */
  readonly leader?: { readonly name: string; readonly address: string };
}

/** Where traces and metrics go, and how that fares. */
export interface TelemetryView {
  /** `off`: no OTLP endpoint is configured. */
  readonly traces: ExportState;
  readonly metrics: ExportState;
  /** Where traces go, without user name, password and query; absent when traces are off. */
  readonly endpoint?: string;
  /** Probe traces waiting to be accepted by the collector. */
  readonly waiting: number;
  /** Probe traces the collector accepted. */
  readonly accepted: number;
  /** Probe traces given up: no room while the collector was away, refused by it, or cut off by the end. */
  readonly lost: number;
}

export type ExportState = 'off' | 'waiting' | 'ok' | 'failing';

export interface NodeView {
  readonly name: string;
  /** UUID of the agent's present run. */
  readonly boot: string;
  /** Number of the newest report applied. */
  readonly seq: number;
  /** When the last report arrived, by the operator's clock. */
  readonly lastReportMs: number;
  /** No report for longer than three report intervals: everything below is old. */
  readonly stale: boolean;
  readonly reports: ReportCounts;
  readonly agent: AgentIdentity;
  readonly sockets?: SocketSummary;
  readonly conntrack?: ConntrackSummary;
  readonly health: AgentHealth;
  readonly conditions: readonly Condition[];
  /** The last result of each target and address, worst first. */
  readonly probes: readonly ProbeResult[];
  readonly assigned: readonly ProbeTarget[];
}

/** Totals since the operator started. */
export interface ReportCounts {
  readonly applied: number;
  /** Sent again by the agent and not applied again. */
  readonly duplicates: number;
  /** Numbers that never came. */
  readonly missing: number;
  /** Runs of the agent seen. */
  readonly boots: number;
}
