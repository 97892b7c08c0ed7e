/** What HandshakeProbes ask of the nodes, also in a large cluster. */

import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { CONTRACT_LIMITS } from '#contract';
import { Plan } from '../../../operator/controllers/handshake-probe/plan.ts';
import type {
  ProbeRecord,
  ServiceRecord,
} from '../../../operator/controllers/handshake-probe/probe-record.ts';
import { probeRecord } from '../../../operator/controllers/handshake-probe/probe-record.ts';
import type { NodeRecord } from '../../../operator/workloads/inventory.ts';
import { spec, testSeed } from '../../harness.ts';

const SERVICE: ServiceRecord = {
  type: 'ClusterIP',
  clusterIp: '10.96.0.1',
  externalName: '',
  ports: [{ name: '', port: 80 }],
};

interface Known {
  readonly services: Map<string, ServiceRecord>;
  /** `NODE NAME HOST` of what was answered. */
  readonly answered: Set<string>;
}

function makePlan({ services, answered }: Known = { services: new Map(), answered: new Set() }): Plan {
  return new Plan({
    stateOf: ({ name }) => ({
      complete: false,
      answered: (node, { host }) => answered.has(`${node} ${name} ${host}`),
    }),
    directory: { serviceOf: (key) => services.get(key), endpointsOf: () => [], policy: () => undefined },
    term: 'term',
  });
}

function probe(name: string, given: object = {}, targets = 1): ProbeRecord {
  const each = (_: unknown, i: number) => ({ name: `t${i}`, address: `10.0.0.${i}`, port: 80 });
  return probeRecord({
    metadata: { namespace: 'web', name, uid: `uid-of-${name}`, generation: 1 },
    spec: { targets: Array.from({ length: targets }, each), ...given },
  });
}

function node(name: string, labels: NodeRecord['labels'] = {}): NodeRecord {
  return { name, uid: name, labels };
}

const names = (plan: Plan, of: string): string[] => plan.assignmentOf(of).map(({ name }) => name);

spec('The plan of HandshakeProbes', (test) => {
  test('shares the room of a node fairly, and counts what is left out on all nodes', () => {
    const plan = makePlan();
    for (const name of ['ferry', 'harbour']) plan.setNode(name, node(name));
    plan.set('web/a', probe('a', {}, 250));
    assert.equal([plan.assignmentOf('ferry').length, plan.leftOut('web/a')], [250, 0]);
    plan.set('web/b', probe('b', { nodes: { names: ['ferry'] } }, 20));
    const here = names(plan, 'ferry');
    assert.is(here.length, CONTRACT_LIMITS.targets);
    assert.is(here.filter((name) => name.startsWith('web/b/')).length, 20);
    assert.is(plan.assignmentOf('harbour').length, 250);
    assert.equal([plan.leftOut('web/a'), plan.leftOut('web/b')], [14, 0]);
    plan.remove('web/b');
    assert.equal([plan.assignmentOf('ferry').length, plan.leftOut('web/a')], [250, 0]);
  });

  test('gives the room of what is probed once to others when it is answered', () => {
    const known: Known = { services: new Map(), answered: new Set() };
    const plan = makePlan(known);
    plan.setNode('ferry', node('ferry'));
    plan.set('web/a', probe('a', { once: true }, 2));
    assert.equal(names(plan, 'ferry'), ['web/a/t0 10.0.0.0:80', 'web/a/t1 10.0.0.1:80']);
    known.answered.add('ferry a 10.0.0.0');
    assert.equal(names(plan, 'ferry'), ['web/a/t1 10.0.0.1:80']);
  });

  test('is the same whether it was made at once or by changes', () => {
    const small = fc.nat(3);
    const labels = fc.record({ zone: fc.constantFrom('a', 'b') });
    const nodes = fc.oneof(
      fc.constant({}),
      fc.record({
        names: fc.uniqueArray(
          small.map((n) => `node-${n}`),
          { minLength: 1 },
        ),
      }),
      fc.record({ selector: fc.record({ matchLabels: labels }) }),
    );
    const target = fc.constantFrom(
      { name: 't', address: '10.0.0.1', port: 80 },
      { name: 't', service: { name: 'shop' }, port: 80 },
    );
    const asked = fc.record({ nodes, targets: target.map((each) => [each]), suspend: fc.boolean() });
    const change = fc.oneof(
      fc.record({ probe: small, asked: fc.option(asked) }),
      fc.record({ node: small, labels: fc.option(labels) }),
      fc.record({ service: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const known: Known = { services: new Map(), answered: new Set() };
        const plan = makePlan(known);
        const probes = new Map<string, ProbeRecord>();
        const all = new Map<string, NodeRecord>();
        for (const each of changes) {
          if ('probe' in each) {
            const key = `web/${each.probe}`;
            if (each.asked === null) {
              probes.delete(key);
              plan.remove(key);
            } else {
              probes.set(key, probe(`${each.probe}`, each.asked));
              plan.set(key, probe(`${each.probe}`, each.asked));
            }
          } else if ('node' in each) {
            const name = `node-${each.node}`;
            if (each.labels === null) all.delete(name);
            else all.set(name, node(name, each.labels));
            plan.setNode(name, all.get(name));
          } else {
            if (each.service) known.services.set('web/shop', SERVICE);
            else known.services.delete('web/shop');
            for (const key of plan.usersOf('web/shop')) plan.set(key, probes.get(key) as ProbeRecord);
          }
        }
        const anew = makePlan(known);
        for (const [name, each] of all) anew.setNode(name, each);
        for (const [key, each] of probes) anew.set(key, each);
        for (const n of [0, 1, 2, 3]) {
          assert.equal(names(plan, `node-${n}`), names(anew, `node-${n}`));
          const key = `web/${n}`;
          assert.equal([...plan.of(key).nodes].sort(), [...anew.of(key).nodes].sort());
          assert.equal(plan.of(key).faults, anew.of(key).faults);
        }
      }),
      { seed: testSeed(), numRuns: 500 },
    );
  });

  test('of 50 probes and 5,000 nodes follows a change in milliseconds and keeps nothing for each of both', () => {
    const probes = Array.from({ length: 50 }, (_, i) => {
      // No two say the same.
      const zones = [`zone-${i % 3}`, `zone-of-${i}`];
      const selector = { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: zones }] };
      return probe(`probe-${i}`, { once: i % 2 === 0, nodes: { selector } }, 10);
    });
    const bytesBefore = heapBytes();
    const plan = makePlan();
    const fullMs = tookMs(() => {
      for (let i = 0; i < 5000; i++) {
        plan.setNode(`node-${i}`, node(`node-${i}`, { zone: `zone-${i % 3}` }));
      }
      for (const each of probes) plan.set(`web/${each.name}`, each);
    });
    assert.is(plan.assignmentOf('node-0').length, CONTRACT_LIMITS.targets);
    assert.ok(plan.leftOut('web/probe-1') > 0, 'the nodes are full, which is more to do than room for all');
    const changes: Record<string, (n: number) => void> = {
      'a probe': (n) => plan.set('web/probe-7', probe('probe-7', { nodes: { names: [`node-${n}`] } }, 8)),
      'another node': (n) => plan.setNode(`new-${n}`, node(`new-${n}`, { zone: 'zone-1' })),
      'labels of a node': (n) => plan.setNode('node-3', node('node-3', { zone: `zone-${n}` })),
      'a node less': (n) => plan.setNode(`node-${n}`, undefined),
    };
    const took = Object.entries(changes).map(([what, change]) => {
      // The best of three: the first may have to be compiled.
      const times = [1, 2, 4].map((n) =>
        tookMs(() => {
          change(n);
          plan.leftOut('web/probe-1');
        }),
      );
      return { what, ms: Math.min(...times) };
    });
    const reportMs = tookMs(() => {
      for (let i = 0; i < 100; i++) plan.assignmentOf(`node-${100 + i}`);
    });
    const mebibytes = (heapBytes() - bytesBefore) / 2 ** 20;
    console.log(
      `all: ${fullMs.toFixed(0)} ms, ${mebibytes.toFixed(1)} MiB; ${took.map(({ what, ms }) => `${what}: ${ms.toFixed(1)} ms`).join(', ')}`,
    );
    console.log(`the assignment of one node: ${(reportMs / 100).toFixed(2)} ms`);
    for (const { what, ms } of took)
      assert.ok(ms < Math.max(50, fullMs), `${what}: ${ms} ms, all: ${fullMs} ms`);
    assert.ok(reportMs / 100 < 5, `an assignment takes ${reportMs / 100} ms`);
    assert.ok(mebibytes < 40, `${mebibytes} MiB`);
  });
});

/** Of this thread's processor time: the machine may have other things to do. */
function tookMs(work: () => void): number {
  const start = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(start);
  return (user + system) / 1000;
}

function heapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
