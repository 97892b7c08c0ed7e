/** The TCPReports: which there are to be, and what is to be written into each. */

import type { StatusCondition } from '../../api/v1alpha1/condition.ts';
import type { TcpReportStatus } from '../../api/v1alpha1/tcp-report.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { EventRecorder } from '../../kube/event-recorder.ts';
import { TCP_REPORTS } from '../../kube/resource.ts';
import type { Workload } from '../../workloads/workload.ts';
import { turnsOf } from '../turns.ts';
import { worthWriting } from './change.ts';
import type { Holding } from './collect.ts';
import { Growth } from './growth.ts';
import type { Policy } from './policy.ts';
import type { Write } from './round.ts';
import { GRACE_MS } from './round.ts';
import type { StoredTcpReport } from './store.ts';
import { FIELD_MANAGER, ownerReference, reportName } from './store.ts';
import { tcpReportStatus, worthTelling } from './tcp-report.ts';

/** A workload of which there has been nothing to tell for so long loses its report. */
const QUIET_MS = 5 * 60_000;

export interface TcpRoundOptions {
  readonly client: Pick<KubeClient, 'apply' | 'delete'>;
  readonly recorder: Pick<EventRecorder, 'record'>;
  readonly startedMs: number;
}

export interface TcpRoundInput {
  readonly holdings: Iterable<Holding>;
  /** Nodes whose agent has told of its pods lately. What is not seen on the others is not gone. */
  readonly heard: ReadonlySet<string>;
  /** By `namespace/name`. */
  readonly stored: ReadonlyMap<string, StoredTcpReport>;
  readonly policyOf: (namespace: string) => Policy;
  readonly nowMs: number;
}

/** @returns a function that judges anew each time and answers what is to be written */
export function createTcpRound({
  client,
  recorder,
  startedMs,
}: TcpRoundOptions): (input: TcpRoundInput) => Write[] {
  const growths = new Map<string, Growth>();
  /** When there was last something to tell, by key of the report. */
  const toldMs = new Map<string, number>();

  return ({ holdings, heard, stored, policyOf, nowMs }) => {
    const writes: Write[] = [];
    const present = new Map<string, Holding>();
    for (const holding of holdings) {
      const { namespace } = holding.workload;
      const key = `${namespace}/${reportName(holding.workload)}`;
      if (worthTelling(holding, policyOf(namespace), nowMs)) toldMs.set(key, nowMs);
      if (stored.has(key) || toldMs.get(key) === nowMs) present.set(key, holding);
    }
    for (const key of growths.keys()) if (!present.has(key)) growths.delete(key);
    for (const key of toldMs.keys()) if (!present.has(key) && !stored.has(key)) toldMs.delete(key);

    const unheard = (report: StoredTcpReport | undefined): boolean =>
      report?.status?.pods?.some(({ node }) => !heard.has(node)) ?? false;
    for (const [key, holding] of present) {
      if (unheard(stored.get(key)) && nowMs - startedMs < GRACE_MS) continue;
      const growth = growths.get(key) ?? new Growth();
      growths.set(key, growth);
      growth.add(holding.closeWait, nowMs);
      const before = stored.get(key);
      const { workload } = holding;
      const policy = policyOf(workload.namespace);
      const growthPerMinute = growth.perMinute();
      const status = tcpReportStatus({ holding, policy, before: before?.status, growthPerMinute, nowMs });
      const makes = before === undefined || before.ownerUid !== workload.uid;
      if (!quiet(key, nowMs) && (makes || isWorthWriting(before.status, status, nowMs))) {
        writes.push(writeOf(key, workload, policy, makes, before, status));
      }
    }
    for (const [key, before] of stored) {
      if (quiet(key, nowMs)) writes.push(removalOf(key, before));
      else if (!present.has(key) && !unheard(before))
        pushQuieted(writes, key, before, policyOf(before.workload.namespace), nowMs);
    }
    return writes;
  };

  function quiet(key: string, nowMs: number): boolean {
    return nowMs - (toldMs.get(key) ?? startedMs) >= QUIET_MS;
  }

  /** Nobody reports connections of the workload any more: its report says so until it is removed. */
  function pushQuieted(
    writes: Write[],
    key: string,
    stored: StoredTcpReport,
    policy: Policy,
    nowMs: number,
  ): void {
    const { status: before, workload } = stored;
    const status = tcpReportStatus({ holding: undefined, policy, before, growthPerMinute: undefined, nowMs });
    if (isWorthWriting(before, status, nowMs)) {
      writes.push(writeOf(key, workload, policy, false, stored, status));
    }
  }

  function writeOf(
    key: string,
    workload: Workload,
    policy: Policy,
    makes: boolean,
    before: StoredTcpReport | undefined,
    status: TcpReportStatus,
  ): Write {
    const { namespace, apiVersion, kind, name } = workload;
    const metadata = { namespace, name: reportName(workload) };
    const identity = { apiVersion: 'finwait.io/v1alpha1', kind: 'TCPReport', metadata };
    const turns = turnsOf(before?.status?.conditions, status.conditions);
    // A report is of one workload for good, and another version or group of its kind makes another one.
    const replaces = makes && before !== undefined && before.workload.apiVersion !== apiVersion;
    return {
      what: `TCPReport ${key}`,
      urgent: turns.length > 0,
      async run() {
        if (replaces) await client.delete(TCP_REPORTS, namespace, metadata.name);
        if (makes) {
          const owned = { ...metadata, ownerReferences: [ownerReference(workload)] };
          const spec = { workload: { apiVersion, kind, name } };
          await client.apply(
            TCP_REPORTS,
            { ...identity, metadata: owned, spec },
            { fieldManager: FIELD_MANAGER },
          );
        }
        const options = { fieldManager: FIELD_MANAGER, subresource: 'status' } as const;
        await client.apply(TCP_REPORTS, { ...identity, status }, options);
        if (policy.events) for (const turn of turns) tell(workload, identity, turn);
      },
    };
  }

  function removalOf(key: string, { name, workload }: StoredTcpReport): Write {
    return {
      what: `TCPReport ${key}`,
      urgent: false,
      async run() {
        await client.delete(TCP_REPORTS, workload.namespace, name);
      },
    };
  }

  function tell({ namespace, ...regarding }: Workload, related: object, condition: StatusCondition): void {
    const bad = condition.status === 'False';
    recorder.record({
      regarding: { ...regarding, namespace },
      related: related as never,
      type: bad && condition.type === 'ClosesConnections' ? 'Warning' : 'Normal',
      reason: bad ? condition.reason : `${condition.type}Again`,
      action: 'Diagnose',
      note: condition.message,
    });
  }
}

function isWorthWriting(before: TcpReportStatus | undefined, next: TcpReportStatus, nowMs: number): boolean {
  const figures = ({ closeWait, timeWait, podCount }: TcpReportStatus) => [
    closeWait.count,
    timeWait.count,
    podCount,
  ];
  return worthWriting(before, next, figures, nowMs);
}
