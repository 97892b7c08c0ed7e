/**
 * Takes parsed reports: each is applied once, its probe results go to telemetry, and it is acknowledged when
 * telemetry has settled every one of them (docs/traces.md says what that guarantees).
 */

import type { Acknowledgement, ProbeTarget, Report } from '#contract';
import { CONTRACT_VERSION } from '#contract';
import type { Fleet } from '../fleet/fleet.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

export interface ReceiverOptions {
  readonly fleet: Fleet;
  readonly telemetry: Pick<Telemetry, 'recordProbe' | 'conditions'>;
  /** `Acknowledgement.instance` */
  readonly instance: () => string;
  readonly reportIntervalMs: number;
  /** Undefined while it is not known. */
  readonly assignmentOf: (node: string) => readonly ProbeTarget[] | undefined;
  /** Called with each report that is applied. */
  readonly onReport?: (node: string, report: Report) => void;
  readonly nowMs: () => number;
  /** A collector that works has answered by then, and the agent need not keep the report. */
  readonly settleWaitMs?: number;
}

export type Receive = (node: string, report: Report) => Promise<Acknowledgement>;

export function createReceiver(options: ReceiverOptions): Receive {
  const {
    fleet,
    telemetry,
    instance,
    reportIntervalMs,
    assignmentOf,
    onReport,
    nowMs,
    settleWaitMs = 1000,
  } = options;
  return async (node, report) => {
    const ledger = fleet.ledger(node, report.boot);
    const receivedBy = instance();
    if (ledger.receive(report.seq)) {
      fleet.apply(node, report, nowMs());
      onReport?.(node, report);
      if (report.probes.length > 0) {
        const deliveries = report.probes.map((result) => telemetry.recordProbe(result, node));
        ledger.settleWith(report.seq, Promise.all(deliveries));
      }
    }
    // While the collector is away no waiting helps: the agent keeps the report and goes on with the next.
    if (telemetry.conditions().length === 0) await ledger.settled(report.seq, settleWaitMs);
    const targets = assignmentOf(node);
    return {
      version: CONTRACT_VERSION,
      boot: report.boot,
      instance: receivedBy,
      seq: ledger.acknowledged,
      ...(targets === undefined ? {} : { assignment: { targets, reportIntervalMs } }),
    };
  };
}
