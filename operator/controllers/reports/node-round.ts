/** The NodeTCPReports: one for each node whose agent reports, and for each that has one already. */

import type { StatusCondition } from '../../api/v1alpha1/condition.ts';
import type { NodeTcpReportStatus } from '../../api/v1alpha1/node-tcp-report.ts';
import type { NodeView } from '../../fleet/view.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { EventRecorder } from '../../kube/event-recorder.ts';
import { NODE_TCP_REPORTS } from '../../kube/resource.ts';
import type { NodeRecord } from '../../workloads/inventory.ts';
import type { OwnerRef, PodRecord } from '../../workloads/workload.ts';
import { turnsOf } from '../turns.ts';
import { worthWriting } from './change.ts';
import { Growth } from './growth.ts';
import { nodeReportStatus, silentNodeStatus } from './node-report.ts';
import type { Policy } from './policy.ts';
import type { Write } from './round.ts';
import { GRACE_MS } from './round.ts';
import type { StoredReport } from './store.ts';
import { FIELD_MANAGER, ownerReference } from './store.ts';

export interface NodeRoundOptions {
  readonly client: Pick<KubeClient, 'apply'>;
  readonly recorder: Pick<EventRecorder, 'record'>;
  readonly startedMs: number;
}

export interface NodeRoundInput {
  readonly views: readonly NodeView[];
  readonly nodeOf: (name: string) => NodeRecord | undefined;
  readonly podOf: (uid: string) => PodRecord | undefined;
  /** By name. */
  readonly stored: ReadonlyMap<string, StoredReport<NodeTcpReportStatus>>;
  readonly policy: Policy;
  readonly nowMs: number;
}

/** @returns a function that judges anew each time and answers what is to be written */
export function createNodeRound({
  client,
  recorder,
  startedMs,
}: NodeRoundOptions): (input: NodeRoundInput) => Write[] {
  const growths = new Map<string, Growth>();

  return ({ views, nodeOf, podOf, stored, policy, nowMs }) => {
    const writes: Write[] = [];
    const consider = (node: NodeRecord, status: NodeTcpReportStatus): void => {
      const before = stored.get(node.name);
      const makes = before === undefined || before.ownerUid !== node.uid;
      if (makes || worthWriting(before.status, status, figures, nowMs)) {
        writes.push(writeOf(node, policy, makes, before?.status, status));
      }
    };
    const spoken = new Set<string>();
    for (const view of views) {
      // Without a Node object there is nothing that the report would go away with.
      const node = nodeOf(view.name);
      if (node === undefined) continue;
      spoken.add(view.name);
      const growth = growths.get(view.name) ?? new Growth();
      growths.set(view.name, growth);
      if (view.conntrack !== undefined) growth.add(view.conntrack.count, nowMs);
      const before = stored.get(view.name)?.status;
      const podName = (uid: string) => nameOnNode(podOf(uid), view.name);
      const growthPerMinute = growth.perMinute();
      consider(node, nodeReportStatus({ view, policy, before, growthPerMinute, podName, nowMs }));
    }
    for (const name of growths.keys()) if (!spoken.has(name)) growths.delete(name);
    for (const [name, { status }] of stored) {
      const node = nodeOf(name);
      if (spoken.has(name) || node === undefined || status === undefined) continue;
      if (nowMs - startedMs >= GRACE_MS) consider(node, silentNodeStatus(status, nowMs));
    }
    return writes;
  };

  function writeOf(
    { name, uid }: NodeRecord,
    policy: Policy,
    makes: boolean,
    before: NodeTcpReportStatus | undefined,
    status: NodeTcpReportStatus,
  ): Write {
    const node = { apiVersion: 'v1', kind: 'Node', name, uid };
    const identity = { apiVersion: 'finwait.io/v1alpha1', kind: 'NodeTCPReport', metadata: { name } };
    const turns = turnsOf(before?.conditions, status.conditions);
    return {
      what: `NodeTCPReport ${name}`,
      urgent: turns.length > 0,
      async run() {
        if (makes) {
          const owned = { ...identity, metadata: { name, ownerReferences: [ownerReference(node)] } };
          await client.apply(NODE_TCP_REPORTS, owned, { fieldManager: FIELD_MANAGER });
        }
        const options = { fieldManager: FIELD_MANAGER, subresource: 'status' } as const;
        await client.apply(NODE_TCP_REPORTS, { ...identity, status }, options);
        if (policy.events) for (const turn of turns) tell(node, turn);
      },
    };
  }

  function tell(node: OwnerRef, condition: StatusCondition): void {
    // What an agent cannot see is told by the report: it is no fault of the node.
    if (condition.type === 'AgentHealthy') return;
    const bad = condition.status === 'False';
    recorder.record({
      regarding: node,
      type: bad ? 'Warning' : 'Normal',
      reason: bad ? condition.reason : `${condition.type}Again`,
      action: 'Diagnose',
      note: condition.message,
    });
  }
}

/** A node speaks only for itself: of a pod that is elsewhere nothing is said. */
function nameOnNode(pod: PodRecord | undefined, node: string): string | undefined {
  return pod?.node === node ? `${pod.namespace}/${pod.name}` : undefined;
}

function figures({
  established,
  timeWait,
  closeWait,
  conntrack,
  ports,
  losses = [],
}: NodeTcpReportStatus): (number | undefined)[] {
  const portsPercent = ports === undefined ? undefined : Number.parseInt(ports.fill, 10);
  const lostPerMinute = losses.reduce((sum, { perMinute }) => sum + perMinute, 0);
  return [established, timeWait, closeWait, conntrack?.count, portsPercent, lostPerMinute];
}
