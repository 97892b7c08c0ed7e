import * as assert from 'uvu/assert';
import type { Holder, SocketSummary } from '#contract';
import { apiTime } from '../../../operator/api/v1alpha1/condition.ts';
import type { Holding } from '../../../operator/controllers/reports/collect.ts';
import { collect } from '../../../operator/controllers/reports/collect.ts';
import { Growth } from '../../../operator/controllers/reports/growth.ts';
import {
  inOrder,
  policyForNamespace,
  policyForNodes,
  policyOf,
} from '../../../operator/controllers/reports/policy.ts';
import { tcpReportStatus, worthTelling } from '../../../operator/controllers/reports/tcp-report.ts';
import type { NodeView } from '../../../operator/fleet/view.ts';
import type { PodRecord } from '../../../operator/workloads/workload.ts';
import { workloadOf } from '../../../operator/workloads/workload.ts';
import { spec } from '../../harness.ts';
import { sampleReport } from '../../support/report.ts';

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const DEPLOYMENT = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop', uid: 'd-uid' };

function podOf(uid: string, node: string, changes: Partial<PodRecord> = {}): PodRecord {
  return {
    uid,
    namespace: 'web',
    name: `shop-${uid}`,
    node,
    owner: DEPLOYMENT,
    containers: [['c1', 'app']],
    ...changes,
  };
}

function holder(changes: Partial<Holder> = {}): Holder {
  return {
    state: 'CLOSE-WAIT',
    direction: 'outbound',
    process: { pid: 7, name: 'java' },
    attribution: 'socket',
    peer: '10.0.0.9',
    port: 5432,
    count: 3,
    oldestMs: 60_000,
    pod: { uid: 'p1', containerId: 'c1' },
    ...changes,
  };
}

function node(name: string, holders: readonly Holder[], pods: SocketSummary['pods'] = []): NodeView {
  const report = sampleReport();
  return {
    name,
    boot: report.boot,
    seq: 1,
    lastReportMs: NOW_MS,
    stale: false,
    reports: { applied: 1, duplicates: 0, missing: 0, boots: 1 },
    agent: report.agent,
    sockets: { states: [], holders, folded: [], listeners: [], listenersFolded: 0, pods },
    health: report.health,
    conditions: [],
    probes: [],
    assigned: [],
  };
}

function directory(...pods: readonly PodRecord[]) {
  return {
    podOf: (uid: string) => pods.find((pod) => pod.uid === uid),
    workloadOf: (pod: PodRecord) => workloadOf(pod, () => undefined),
  };
}

const counts = (closeWait: number, timeWait: number) => [
  { state: 'CLOSE-WAIT' as const, count: closeWait },
  { state: 'TIME-WAIT' as const, count: timeWait },
];

function onlyHolding(nodes: readonly NodeView[], ...pods: readonly PodRecord[]): Holding {
  const { holdings } = collect(nodes, directory(...pods), NOW_MS);
  const [holding] = holdings.values();
  if (holding === undefined || holdings.size !== 1) throw new Error(`there are ${holdings.size} holdings`);
  return holding;
}

spec('reports by workload', (test) => {
  test('sum the pods of a workload over all nodes', () => {
    const holding = onlyHolding(
      [
        node('ferry', [holder()], [{ uid: 'p1', states: counts(3, 40) }]),
        node(
          'harbour',
          [holder({ pod: { uid: 'p2' }, count: 2, oldestMs: 90_000 })],
          [{ uid: 'p2', states: counts(2, 0) }],
        ),
      ],
      podOf('p1', 'ferry'),
      podOf('p2', 'harbour'),
    );
    assert.is(holding.closeWait, 5);
    assert.is(holding.timeWait, 40);
    assert.is(holding.oldestSinceMs, NOW_MS - 90_000);
    assert.equal([...holding.pods.keys()].sort(), ['shop-p1', 'shop-p2']);
  });

  test('take the exact counts of a pod and do not add its groups to them', () => {
    const holding = onlyHolding(
      [node('ferry', [holder({ count: 3 })], [{ uid: 'p1', states: counts(10, 0) }])],
      podOf('p1', 'ferry'),
    );
    assert.is(holding.closeWait, 10);
  });

  test('count by the groups where the exact counts of a pod did not fit', () => {
    const holding = onlyHolding(
      [node('ferry', [holder({ count: 3 }), holder({ state: 'TIME-WAIT', count: 8 })])],
      podOf('p1', 'ferry'),
    );
    assert.is(holding.closeWait, 3);
    assert.is(holding.timeWait, 8);
  });

  test('do not believe a node about a pod of another node', () => {
    const { holdings, foreignPods } = collect(
      [node('ferry', [holder()], [{ uid: 'p1', states: counts(3, 0) }])],
      directory(podOf('p1', 'harbour')),
      NOW_MS,
    );
    assert.is(holdings.size, 0);
    assert.is(foreignPods, 2);
  });

  test('count what is said of pods nobody knows', () => {
    const { holdings, unknownPods } = collect([node('ferry', [holder()])], directory(), NOW_MS);
    assert.is(holdings.size, 0);
    assert.is(unknownPods, 1);
  });

  test('leave out processes of the host, and nodes that have been silent for more than a minute', () => {
    const { pod: _, ...ofHost } = holder();
    const silent = { ...node('ferry', [holder()]), lastReportMs: NOW_MS - 61_000 };
    const { holdings } = collect([node('ferry', [ofHost]), silent], directory(podOf('p1', 'ferry')), NOW_MS);
    assert.is(holdings.size, 0);
  });

  test('say the process, the container and the peer of the largest group, CLOSE_WAIT first', () => {
    const holding = onlyHolding(
      [
        node('ferry', [
          holder({ state: 'TIME-WAIT', count: 900, process: null }),
          holder({ peer: '2001:db8::9' }),
        ]),
      ],
      podOf('p1', 'ferry'),
    );
    const status = statusOf(holding);
    assert.is(status.topPeer, '[2001:db8::9]:5432');
    assert.is(status.topProcess, 'java');
    assert.is(status.groups[0]?.container, 'app');
    assert.equal(
      status.groups.map(({ state }) => state),
      ['CLOSE_WAIT', 'TIME_WAIT'],
    );
  });

  test('list at most twenty groups and ten pods, and count the connections of the rest', () => {
    const pods = Array.from({ length: 30 }, (_, i) => podOf(`p${i}`, 'ferry'));
    const holders = pods.map(({ uid }, i) => holder({ pod: { uid }, peer: `10.0.1.${i}`, count: 1 }));
    const status = statusOf(onlyHolding([node('ferry', holders)], ...pods));
    assert.is(status.groups.length, 20);
    assert.is(status.foldedConnections, 10);
    assert.is(status.pods.length, 10);
    assert.is(status.podCount, 30);
  });
});

function statusOf(
  holding: Holding | undefined,
  changes: Partial<Parameters<typeof tcpReportStatus>[0]> = {},
) {
  const policy = policyOf(undefined, {});
  return tcpReportStatus({
    holding,
    policy,
    before: undefined,
    growthPerMinute: undefined,
    nowMs: NOW_MS,
    ...changes,
  });
}

spec('the TCPReport of a workload', (test) => {
  const with100 = () =>
    onlyHolding([node('ferry', [holder({ count: 100, oldestMs: 600_000 })])], podOf('p1', 'ferry'));

  test('is worth telling from the count and the age of the policy on', () => {
    const policy = policyOf(undefined, {});
    const worth = (changes: Partial<Holder>) =>
      worthTelling(onlyHolding([node('ferry', [holder(changes)])], podOf('p1', 'ferry')), policy, NOW_MS);
    assert.ok(worth({ count: 1, oldestMs: 30_000 }));
    assert.not.ok(worth({ count: 1, oldestMs: 29_000 }));
    assert.ok(worth({ state: 'TIME-WAIT', count: 100, oldestMs: 0 }));
    assert.not.ok(worth({ state: 'TIME-WAIT', count: 99, oldestMs: 60_000 }));
  });

  test('finds CLOSE_WAIT piled up at the threshold of number and age, and not below', () => {
    const status = statusOf(with100());
    assert.is(status.verdict, 'CLOSE_WAIT piles up');
    assert.match(status.message, /100 connections .* most by java in container app towards 10\.0\.0\.9:5432/);
    const condition = status.conditions.find(({ type }) => type === 'ClosesConnections');
    assert.is(condition?.status, 'False');
    const stricter = {
      closeWait: { reportCount: 1, reportAge: '30s', problemCount: 101, problemAge: '10m' },
    };
    assert.is(statusOf(with100(), { policy: policyOf('p', stricter) }).verdict, 'OK');
    const longer = { closeWait: { reportCount: 1, reportAge: '30s', problemCount: 100, problemAge: '11m' } };
    assert.is(statusOf(with100(), { policy: policyOf('p', longer) }).verdict, 'OK');
  });

  test('calls no number of TIME_WAIT a fault, but an unusual one by its name', () => {
    const busy = onlyHolding(
      [node('ferry', [holder({ state: 'TIME-WAIT', count: 20_000 })])],
      podOf('p1', 'ferry'),
    );
    const status = statusOf(busy);
    assert.is(status.verdict, 'many TIME_WAIT');
    assert.is(status.timeWait.perSecond, '333');
    assert.match(status.message, /no fault by itself/);
  });

  test('keeps the time a condition began while its status stays', () => {
    const first = statusOf(with100());
    const later = statusOf(with100(), { before: first, nowMs: NOW_MS + 60_000 });
    assert.is(later.conditions[0]?.lastTransitionTime, apiTime(NOW_MS));
    const gone = statusOf(undefined, { before: later, nowMs: NOW_MS + 120_000 });
    assert.is(gone.conditions[0]?.lastTransitionTime, apiTime(NOW_MS + 120_000));
    assert.is(gone.verdict, 'OK');
  });

  test('keeps the age of the oldest while the readings mean the same connection', () => {
    const first = statusOf(with100());
    const jittered = with100();
    jittered.oldestSinceMs = (jittered.oldestSinceMs ?? 0) + 4000;
    assert.is(statusOf(jittered, { before: first }).closeWait.oldestSince, first.closeWait.oldestSince);
    jittered.oldestSinceMs += 10_000;
    assert.is.not(statusOf(jittered, { before: first }).closeWait.oldestSince, first.closeWait.oldestSince);
  });

  test('says how fast CLOSE_WAIT grows', () => {
    assert.is(statusOf(with100(), { growthPerMinute: 12.34 }).closeWait.perMinute, '+12');
    assert.is(statusOf(with100(), { growthPerMinute: -0.5 }).closeWait.perMinute, '-0.5');
    assert.is(statusOf(with100(), { growthPerMinute: -0.01 }).closeWait.perMinute, '0');
    assert.is(statusOf(with100()).closeWait.perMinute, undefined);
  });
});

spec('growth', (test) => {
  test('is told from a minute of readings on, over the last five', () => {
    const growth = new Growth();
    growth.add(10, 0);
    growth.add(20, 59_000);
    assert.is(growth.perMinute(), undefined);
    growth.add(30, 120_000);
    assert.is(growth.perMinute(), 10);
    growth.add(30, 419_000);
    assert.is(growth.perMinute(), 0, 'the readings of the beginning are forgotten');
  });
});

spec('policies', (test) => {
  const labels = { team: 'shop' };
  const shop = policyOf('shop', { namespaceSelector: { matchLabels: labels } });

  test('of the highest priority hold, then the first by name, then the defaults', () => {
    const high = policyOf('z', { priority: 5, namespaceSelector: { matchLabels: labels } });
    const all = policyOf('all', {});
    assert.is(policyForNamespace(inOrder([shop, high, all]), labels).name, 'z');
    assert.is(policyForNamespace(inOrder([shop, all]), labels).name, 'all');
    assert.is(policyForNamespace(inOrder([shop]), {}).name, undefined);
  });

  test('for some namespaces do not speak of nodes', () => {
    assert.is(policyForNodes(inOrder([shop])).name, undefined);
    assert.is(policyForNodes(inOrder([shop, policyOf('all', { priority: -1 })])).name, 'all');
  });

  test('select by expressions as Kubernetes does', () => {
    const chosen = (operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', given: Record<string, string>) => {
      const values = operator === 'In' || operator === 'NotIn' ? { values: ['shop', 'bank'] } : {};
      const namespaceSelector = { matchExpressions: [{ key: 'team', operator, ...values }] };
      return policyForNamespace([policyOf('p', { namespaceSelector })], given).name === 'p';
    };
    assert.ok(chosen('In', { team: 'bank' }));
    assert.not.ok(chosen('In', { team: 'other' }));
    assert.not.ok(chosen('In', {}));
    assert.ok(chosen('NotIn', {}));
    assert.not.ok(chosen('NotIn', { team: 'bank' }));
    assert.ok(chosen('Exists', { team: '' }));
    assert.not.ok(chosen('Exists', {}));
    assert.ok(chosen('DoesNotExist', {}));
    assert.not.ok(chosen('DoesNotExist', { team: '' }));
  });
});
