/**
 * Writes TCPReports and NodeTCPReports from what the agents say, and the status of DiagnosisPolicies. Runs on the
 * leader alone: every few seconds it judges everything anew and writes what a reader would notice, changed judgements
 * first, within a budget of writes. What the budget forbids waits for the next round, and is counted.
 */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { NodeTcpReportStatus } from '../../api/v1alpha1/node-tcp-report.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { EventRecorder } from '../../kube/event-recorder.ts';
import type { Reflector } from '../../kube/reflector.ts';
import { countersOf, createReflector, sizesOf } from '../../kube/reflector.ts';
import { DIAGNOSIS_POLICIES, NODE_TCP_REPORTS, TCP_REPORTS } from '../../kube/resource.ts';
import type { Inventory } from '../../workloads/inventory.ts';
import { WriteBudget } from '../write-budget.ts';
import { collect } from './collect.ts';
import { createNodeRound } from './node-round.ts';
import { inOrder, policyForNamespace, policyForNodes } from './policy.ts';
import type { StoredPolicy } from './policy-round.ts';
import { policyWrites, storedPolicy } from './policy-round.ts';
import type { Write } from './round.ts';
import { urgentFirst } from './round.ts';
import type { StoredReport, StoredTcpReport } from './store.ts';
import { storedReport, storedTcpReport } from './store.ts';
import { createTcpRound } from './tcp-round.ts';

export interface ReportsOptions {
  readonly client: KubeClient;
  readonly inventory: Inventory;
  readonly fleet: Pick<Fleet, 'view'>;
  readonly recorder: Pick<EventRecorder, 'record'>;
  readonly log: Logger;
  readonly nowMs?: () => number;
  readonly roundMs?: number;
}

export interface ReportsController {
  start(): void;
  /** Settles when no write is under way any more. */
  stop(): Promise<void>;
  conditions(): Condition[];
  counters(): Readonly<Record<string, number>>;
  /** Objects held, by plural. */
  sizes(): Readonly<Record<string, number>>;
}

const ROUND_MS = 3000;
/** Writes per second in the long run, and at once. */
const BUDGET = { perSecond: 10, burst: 100 };
const WRITES_AT_ONCE = 8;

export function createReportsController(options: ReportsOptions): ReportsController {
  const { client, inventory, fleet, recorder, log, nowMs = Date.now, roundMs = ROUND_MS } = options;
  const policies = createReflector<StoredPolicy>({
    client,
    resource: DIAGNOSIS_POLICIES,
    slim: storedPolicy,
    log,
  });
  const tcpReports = createReflector<StoredTcpReport>({
    client,
    resource: TCP_REPORTS,
    slim: storedTcpReport,
    log,
  });
  const nodeReports = createReflector<StoredReport<NodeTcpReportStatus>>({
    client,
    resource: NODE_TCP_REPORTS,
    slim: storedReport,
    log,
  });
  const reflectors = [policies, tcpReports, nodeReports] as const;
  const budget = new WriteBudget(BUDGET.perSecond, BUDGET.burst);
  const counters = { written: 0, failed: 0, deferred: 0, failedRounds: 0, unknownPods: 0, foreignPods: 0 };
  const stopping = new AbortController();
  let running: Promise<void> | undefined;

  function judge(
    tcpRound: ReturnType<typeof createTcpRound>,
    nodeRound: ReturnType<typeof createNodeRound>,
  ): Write[] {
    const now = nowMs();
    const views = fleet.view(now);
    const stored = [...policies.list()];
    const ordered = inOrder(stored.map(({ policy }) => policy));
    const { holdings, heard, unknownPods, foreignPods } = collect(views, inventory, now);
    counters.unknownPods += unknownPods;
    counters.foreignPods += foreignPods;
    return [
      ...policyWrites(client, stored, ordered, inventory.namespaces.list(), now),
      ...nodeRound({
        views,
        nodeOf: (name) => inventory.nodes.get(name),
        podOf: (uid) => inventory.podOf(uid),
        stored: new Map([...nodeReports.list()].map((report) => [report.name, report])),
        policy: policyForNodes(ordered),
        nowMs: now,
      }),
      ...tcpRound({
        holdings: holdings.values(),
        heard,
        stored: new Map(
          [...tcpReports.list()].map((report) => [`${report.workload.namespace}/${report.name}`, report]),
        ),
        policyOf: (namespace) => policyForNamespace(ordered, inventory.namespaces.get(namespace) ?? {}),
        nowMs: now,
      }),
    ];
  }

  async function write(writes: readonly Write[]): Promise<void> {
    const waiting = urgentFirst(writes).values();
    const work = async (): Promise<void> => {
      for (const { what, run } of waiting) {
        if (stopping.signal.aborted || !budget.take(nowMs())) {
          counters.deferred++;
          continue;
        }
        try {
          await run();
          counters.written++;
        } catch (error) {
          counters.failed++;
          log.log('warn', 'a report could not be written', { report: what, error: String(error) });
        }
      }
    };
    await Promise.all(Array.from({ length: WRITES_AT_ONCE }, work));
  }

  async function run(): Promise<void> {
    const { signal } = stopping;
    const stopped = once(signal, 'abort');
    await Promise.race([Promise.all([inventory.synced, ...reflectors.map(({ synced }) => synced)]), stopped]);
    const rounds = { client, recorder, startedMs: nowMs() };
    const tcpRound = createTcpRound(rounds);
    const nodeRound = createNodeRound(rounds);
    while (!signal.aborted) {
      try {
        await write(judge(tcpRound, nodeRound));
      } catch (error) {
        // A node's report that cannot be judged must not end the reports of all others.
        counters.failedRounds++;
        log.log('error', 'a round of reports failed', { error: String((error as Error).stack) });
      }
      await sleep(roundMs, undefined, { signal }).catch(() => undefined);
    }
  }

  return {
    start() {
      for (const reflector of reflectors) reflector.start();
      running = run();
    },
    async stop() {
      stopping.abort();
      await running;
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
    conditions: () => reflectors.flatMap((reflector) => reflector.conditions()),
    counters: () => ({ ...counters, ...countersOf(reflectors as readonly Reflector<unknown>[]) }),
    sizes: () => sizesOf(reflectors as readonly Reflector<unknown>[]),
  };
}
