/** What is written of a workload while some of its nodes are not heard: after a change of leader, in another mode. */

import * as assert from 'uvu/assert';
import type { TcpReportStatus } from '../../../operator/api/v1alpha1/tcp-report.ts';
import { collect } from '../../../operator/controllers/reports/collect.ts';
import { policyOf } from '../../../operator/controllers/reports/policy.ts';
import type { StoredTcpReport } from '../../../operator/controllers/reports/store.ts';
import { createTcpRound } from '../../../operator/controllers/reports/tcp-round.ts';
import type { NodeView } from '../../../operator/fleet/view.ts';
import type { EventInput } from '../../../operator/kube/event-recorder.ts';
import type { PodRecord } from '../../../operator/workloads/workload.ts';
import { workloadOf } from '../../../operator/workloads/workload.ts';
import { spec } from '../../harness.ts';
import { sampleReport } from '../../support/report.ts';

const START_MS = Date.UTC(2026, 10, 21, 12);
const POLICY = policyOf(undefined, {});
const OWNER = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop', uid: 'd-uid' };
const WORKLOAD = { ...OWNER, namespace: 'web' };
/** One on each node. */
const PODS: readonly PodRecord[] = ['ferry', 'harbour'].map((node) => ({
  uid: `on-${node}`,
  namespace: 'web',
  name: `shop-${node}`,
  node,
  owner: OWNER,
  containers: [],
}));
const DIRECTORY = {
  podOf: (uid: string) => PODS.find((pod) => pod.uid === uid),
  workloadOf: (pod: PodRecord) => workloadOf(pod, () => undefined),
};

/** @param closeWait connections of the node's pod; undefined where the agent does not look at pods */
function view(name: string, closeWait: number | undefined, nowMs: number): NodeView {
  const { boot, agent, health } = sampleReport();
  const holder = {
    state: 'CLOSE-WAIT' as const,
    direction: 'outbound' as const,
    process: { pid: 7, name: 'java' },
    attribution: 'socket' as const,
    peer: '10.0.0.9',
    port: 5432,
    count: closeWait ?? 0,
    oldestMs: 3_600_000,
    pod: { uid: `on-${name}` },
  };
  const { state, count } = holder;
  return {
    name,
    boot,
    seq: 1,
    lastReportMs: nowMs,
    stale: false,
    reports: { applied: 1, duplicates: 0, missing: 0, boots: 1 },
    agent,
    sockets: {
      states: [],
      holders: count === 0 ? [] : [holder],
      folded: [],
      listeners: [],
      listenersFolded: 0,
      ...(closeWait === undefined ? {} : { pods: [{ uid: holder.pod.uid, states: [{ state, count }] }] }),
    },
    health,
    conditions: [],
    probes: [],
    assigned: [],
  };
}

/** A leader that finds a report of a workload with many connections in CLOSE-WAIT on both nodes. */
function scene() {
  const written: TcpReportStatus[] = [];
  const events: EventInput[] = [];
  let removed = 0;
  let report: StoredTcpReport | undefined;
  const client = {
    apply: (_: unknown, object: { status?: unknown }) => {
      if (object.status === undefined) return Promise.resolve({});
      const status = object.status as TcpReportStatus;
      written.push(status);
      report = { name: 'deployment-shop', ownerUid: OWNER.uid, workload: WORKLOAD, status };
      return Promise.resolve({});
    },
    delete: () => {
      removed++;
      report = undefined;
      return Promise.resolve();
    },
  };
  const start = () =>
    createTcpRound({
      client: client as never,
      recorder: { record: (event) => void events.push(event) },
      startedMs: START_MS,
    });
  let round = start();
  const judge = async (afterMs: number, ferry: number | undefined | 'silent', harbour: typeof ferry) => {
    const nowMs = START_MS + afterMs;
    const said = { ferry, harbour };
    const views = Object.entries(said).flatMap(([name, count]) =>
      count === 'silent' ? [] : [view(name, count, nowMs)],
    );
    const { holdings, heard } = collect(views, DIRECTORY, nowMs);
    const stored = new Map(report === undefined ? [] : [['web/deployment-shop', report]]);
    const input = { holdings: holdings.values(), heard, stored, policyOf: () => POLICY, nowMs };
    for (const write of round(input)) await write.run();
  };
  return {
    written,
    events,
    judge,
    removed: () => removed,
    /** As a leader before this one left it. */
    async taken() {
      await judge(-10_000, 150, 150);
      assert.is(written.at(-1)?.verdict, 'CLOSE_WAIT piles up');
      written.length = 0;
      events.length = 0;
      round = start();
    },
  };
}

spec('the TCPReport of a workload', (test) => {
  test('stays as it was, without an Event, until a new leader has heard the nodes of its pods', async () => {
    const at = scene();
    await at.taken();
    await at.judge(0, 'silent', 'silent');
    await at.judge(3000, 150, 'silent');
    assert.equal(at.written, []);
    await at.judge(6000, 0, 0);
    assert.is(at.written.at(-1)?.closeWait.count, 0);
    assert.equal(
      at.events.map(({ reason }) => reason),
      ['ClosesConnectionsAgain'],
    );
  });

  test('goes by the nodes that are heard when another stays silent for longer than agents take to find a new leader', async () => {
    const at = scene();
    await at.taken();
    await at.judge(60_000, 40, 'silent');
    assert.is(at.written.at(-1)?.closeWait.count, 40);
  });

  test('does not say that all is well when agents do not look at pods any more, and goes after five minutes', async () => {
    const at = scene();
    await at.taken();
    await at.judge(0, 150, 150);
    await at.judge(100_000, undefined, undefined);
    await at.judge(299_000, undefined, undefined);
    assert.equal(at.written, []);
    assert.is(at.removed(), 0);
    await at.judge(300_000, undefined, undefined);
    assert.is(at.removed(), 1);
    assert.equal(at.events, []);
  });
});
