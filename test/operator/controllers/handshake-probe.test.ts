/** The HandshakeProbe controller on a real API server; what agents would report is handed in. */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { sampleProbe } from '../../support/report.ts';
import { until } from '../../support/until.ts';
import {
  assigned,
  condition,
  manifest,
  NEEDS,
  resultFor,
  scene,
  statusOf,
  TARGET,
} from './handshake-probe-scene.ts';

spec('HandshakeProbes on a real API server', (test) => {
  test(
    'at intervals are assigned to all nodes, and ready when all answer as expected',
    async () => {
      await using at = await scene();
      await at.server.apply(manifest('shop', { targets: [TARGET], interval: '10s' }));
      const [target] = await assigned(at, 'ferry', 1);
      assert.equal([target?.host, target?.port, target?.intervalMs], ['10.0.0.7', 80, 10_000]);
      await condition(at, 'shop', 'Ready', 'Unknown');
      for (const node of ['ferry', 'harbour']) {
        for (const each of await assigned(at, node, 1)) at.controller.onResult(node, resultFor(each));
      }
      const { whole: status } = await condition(at, 'shop', 'Ready', 'True');
      assert.equal([status.result, status.expected, status.nodes], ['open', '2/2', 2]);
      assert.is(status.results[0]?.traceId, sampleProbe().id);
      assert.is(status.handshake, '130 us');
      const table = await at.server.kubectl('get', 'hsp', 'shop');
      assert.match(table, /^shop +10\.0\.0\.7:80 +open +2\/2 +130 us +400 us +\S+ +\S+$/m);

      const [again] = await assigned(at, 'harbour', 1);
      if (again === undefined) throw new Error('nothing is assigned');
      const refused = {
        verdict: 'refused' as const,
        sentence: 'refused: RST',
        startUs: (Date.now() + 1000) * 1000,
      };
      at.controller.onResult('harbour', resultFor(again, refused));
      const bad = await condition(at, 'shop', 'Ready', 'False');
      assert.is(bad.reason, 'UnexpectedResult');
      assert.is(bad.message, 'from harbour, target shop: refused: RST');
      assert.is(bad.whole.results[0]?.node, 'harbour', 'the worst comes first');
      assert.is(bad.whole.result, '1 refused, 1 open');
      await until('an Event', () => at.events.length > 0 || undefined);
      assert.equal(
        at.events.map(({ type, reason }) => `${type} ${reason}`),
        ['Warning UnexpectedResult'],
      );
    },
    NEEDS,
  );

  test(
    'are ready whatever the clocks of the nodes say',
    async () => {
      await using at = await scene();
      await at.server.apply(manifest('shop', { targets: [TARGET] }));
      const startMs = Date.now();
      for (const [node, offsetMs] of Object.entries({ ferry: -18_000_000, harbour: 18_000_000 })) {
        for (const each of await assigned(at, node, 1)) {
          at.controller.onResult(node, resultFor(each, { startUs: (startMs + offsetMs) * 1000 }));
        }
      }
      const { whole: status } = await condition(at, 'shop', 'Ready', 'True');
      const last = Date.parse(status.lastProbeTime ?? '');
      assert.ok(last > startMs - 2000 && last <= Date.now(), status.lastProbeTime);
    },
    NEEDS,
  );

  test(
    'with once are run once from the chosen nodes, so that kubectl can wait for them, and again after an edit',
    async () => {
      await using at = await scene();
      const nodes = { selector: { matchLabels: { at: 'ferry' } } };
      await at.server.apply(manifest('once', { targets: [TARGET], once: true, nodes }));
      const [target] = await assigned(at, 'ferry', 1);
      if (target?.once === undefined) throw new Error('it is not run once');
      assert.equal(at.controller.assignmentOf('harbour'), []);
      at.controller.onResult('harbour', resultFor(target));
      assert.is(at.controller.counters().unknownResults, 1, 'a node that was not asked has no say');
      at.controller.onResult('ferry', resultFor(target));
      const waited = await at.server.kubectl(
        'wait',
        '--for=condition=Succeeded',
        '--timeout=20s',
        'hsp/once',
      );
      assert.match(waited, /condition met/);
      await assigned(at, 'ferry', 0);
      await until('an Event', () => at.events.length > 0 || undefined);
      assert.equal(
        at.events.map(({ type, reason }) => `${type} ${reason}`),
        ['Normal AsExpected'],
        'that it had to run first is no Event',
      );

      await at.server.apply(
        manifest('once', { targets: [TARGET], once: true, nodes, expect: { verdict: 'Denied' } }),
      );
      const [second] = await assigned(at, 'ferry', 1);
      if (second === undefined) throw new Error('it is not run again');
      assert.is.not(second.once, target.once);
      at.controller.onResult('ferry', resultFor(target));
      at.controller.onResult('ferry', resultFor(second));
      const failed = await condition(at, 'once', 'Succeeded', 'False');
      assert.is(failed.reason, 'UnexpectedResult', 'the connection opened, which was to be denied');
      assert.is(failed.observedGeneration, 2);
    },
    NEEDS,
  );

  test(
    'go on from their status under a new leader: what was answered is not asked again',
    async () => {
      await using at = await scene();
      await at.server.apply(manifest('once', { targets: [TARGET], once: true }));
      const [target] = await assigned(at, 'ferry', 1);
      if (target === undefined) throw new Error('nothing is assigned');
      at.controller.onResult('ferry', resultFor(target));
      await until('the first answer is written', async () =>
        (await statusOf(at, 'once'))?.expected === '1/2' ? true : undefined,
      );
      await at.restart();
      const [other] = await assigned(at, 'harbour', 1);
      assert.equal(at.controller.assignmentOf('ferry'), []);
      if (other === undefined) throw new Error('nothing is assigned');
      at.controller.onResult('harbour', resultFor(other));
      await condition(at, 'once', 'Succeeded', 'True');
      await at.restart();
      await assigned(at, 'harbour', 0);
    },
    NEEDS,
  );

  test(
    'are asked again by a new leader when the answer was lost with the one before',
    async () => {
      await using at = await scene();
      const targets = [TARGET, { ...TARGET, name: 'till', address: '10.0.0.8' }];
      const nodes = { names: ['ferry'] };
      await at.server.apply(manifest('once', { targets, once: true, nodes }));
      const [first, second] = await assigned(at, 'ferry', 2);
      if (first === undefined || second === undefined) throw new Error('nothing is assigned');
      at.controller.onResult('ferry', resultFor(first));
      await until('the first answer is written', async () =>
        (await statusOf(at, 'once'))?.expected === '1/2' ? true : undefined,
      );
      at.controller.onResult('ferry', resultFor(second));
      await at.restart();
      const [again] = await assigned(at, 'ferry', 1);
      assert.is(again?.name, second.name);
      assert.is.not(again?.once, second.once, 'an agent probes but once for each run');
      at.controller.onResult('ferry', resultFor(second));
      await condition(at, 'once', 'Succeeded', 'True');
    },
    NEEDS,
  );

  test(
    'with several endpoints are not done for one of them that was written down by the leader before',
    async () => {
      await using at = await scene();
      const metadata = { name: 'web', namespace: 'default' };
      const ports = [{ name: 'http', port: 80 }];
      await at.server.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } }));
      await at.server.apply(
        JSON.stringify({
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'web' } },
          addressType: 'IPv4',
          ports,
          endpoints: ['10.244.1.5', '10.244.2.6'].map((address) => ({ addresses: [address] })),
        }),
      );
      const targets = [{ name: 'pods', service: { name: 'web', via: 'Endpoints' }, port: 80 }];
      await at.server.apply(manifest('once', { targets, once: true, nodes: { names: ['ferry'] } }));
      const [first, second] = await assigned(at, 'ferry', 2);
      if (first === undefined) throw new Error('nothing is assigned');
      at.controller.onResult('ferry', resultFor(first));
      await until('the first answer is written', async () =>
        (await statusOf(at, 'once'))?.expected === '1/2' ? true : undefined,
      );
      await at.restart();
      const [left] = await assigned(at, 'ferry', 1);
      assert.is(left?.host, second?.host);
    },
    NEEDS,
  );

  test(
    'that are made anew under their name do not get the status of those before',
    async () => {
      await using at = await scene();
      const probe = manifest('once', { targets: [TARGET], once: true, nodes: { names: ['ferry'] } });
      await at.server.apply(probe);
      const [target] = await assigned(at, 'ferry', 1);
      if (target === undefined) throw new Error('nothing is assigned');
      await condition(at, 'once', 'Succeeded', 'Unknown');
      const held = Promise.withResolvers<void>();
      const waiting = Promise.withResolvers<void>();
      at.beforeWrite = () => {
        waiting.resolve();
        return held.promise;
      };
      at.controller.onResult('ferry', resultFor(target));
      await waiting.promise;
      await at.server.kubectl('delete', 'hsp', 'once');
      await at.server.apply(probe);
      at.beforeWrite = async () => {};
      held.resolve();
      const { whole } = await condition(at, 'once', 'Succeeded', 'Unknown');
      assert.is(whole.expected, '0/1');
      assert.equal(at.events, []);
      assert.is(at.controller.counters()['queue.failed'], 0);
    },
    NEEDS,
  );

  test(
    'go on when a result cannot be handled, before everything is listed and after: it is counted and told',
    async () => {
      await using at = await scene();
      await at.server.apply(manifest('shop', { targets: [TARGET] }));
      const [target] = await assigned(at, 'ferry', 1);
      if (target === undefined) throw new Error('nothing is assigned');
      const odd = { ...resultFor(target), phases: undefined as never };
      at.controller.onResult('ferry', odd);
      assert.is(at.controller.counters().failedResults, 1);
      await at.restart();
      assert.is(at.controller.assignmentOf('ferry'), undefined, 'nothing is listed yet');
      at.controller.onResult('ferry', odd);
      for (const node of ['ferry', 'harbour']) at.controller.onResult(node, resultFor(target));
      await condition(at, 'shop', 'Ready', 'True');
      assert.is(at.controller.counters().failedResults, 1);
      assert.is(at.controller.counters().results, 3, 'the one that failed too');
      assert.equal(
        at.logged.map(({ message }) => message),
        ['a result could not be handled', 'a result could not be handled'],
      );
    },
    NEEDS,
  );

  test(
    'are suspended, resumed and deleted while they run',
    async () => {
      await using at = await scene();
      await at.server.apply(manifest('shop', { targets: [TARGET] }));
      await assigned(at, 'ferry', 1);
      await at.server.apply(manifest('shop', { targets: [TARGET], suspend: true }));
      await assigned(at, 'ferry', 0);
      await until('it says so', async () =>
        (await statusOf(at, 'shop'))?.result === 'Suspended' ? true : undefined,
      );
      await at.server.apply(manifest('shop', { targets: [TARGET], suspend: false }));
      await assigned(at, 'ferry', 1);
      await at.server.kubectl('delete', 'hsp', 'shop');
      await assigned(at, 'ferry', 0);
    },
    NEEDS,
  );

  test(
    'find Services and their endpoints, follow them, and say what is missing',
    async () => {
      await using at = await scene();
      const service = { name: 'web', service: { name: 'web' }, port: 'http' };
      const direct = { name: 'pods', service: { name: 'web', via: 'Endpoints' }, port: 80 };
      await at.server.apply(manifest('web', { targets: [service, direct] }));
      const missing = await condition(at, 'web', 'Accepted', 'False');
      assert.is(missing.reason, 'ServiceNotFound');
      assert.match(missing.message, /there is no Service default\/web \(and 1 more\)/);
      const web = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' } };
      const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
      await at.server.apply(JSON.stringify({ ...web, spec: { clusterIP: '10.96.0.55', ports } }));
      await until('it has no endpoints yet', async () => {
        const accepted = (await statusOf(at, 'web'))?.conditions.find(({ type }) => type === 'Accepted');
        return accepted?.reason === 'NoEndpoints' ? true : undefined;
      });
      const slice = (addresses: readonly string[]) => ({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        endpoints: addresses.map((address, i) => ({ addresses: [address], conditions: { ready: i < 2 } })),
      });
      await at.server.apply(JSON.stringify(slice(['10.244.1.5', '10.244.2.6', '10.244.2.7'])));
      const targets = await assigned(at, 'ferry', 3);
      assert.equal(
        targets.map(({ host, port }) => `${host}:${port}`),
        ['10.96.0.55:80', '10.244.1.5:8080', '10.244.2.6:8080'],
        'an endpoint that is not ready is left out',
      );
      await condition(at, 'web', 'Accepted', 'True');
      await at.server.apply(JSON.stringify(slice(['10.244.1.5'])));
      await assigned(at, 'ferry', 2);
    },
    NEEDS,
  );

  test(
    'are told at once when they aim where probes are denied, or when no node is chosen',
    async () => {
      await using at = await scene();
      const metadata = { name: 'secrets', address: '169.254.169.254', port: 80 };
      await at.server.apply(manifest('far', { targets: [metadata] }));
      const forbidden = await condition(at, 'far', 'Accepted', 'False');
      assert.is(forbidden.reason, 'TargetForbidden');
      assert.match(forbidden.message, /169\.254\.169\.254 is in 169\.254\.0\.0\/16/);
      await at.server.apply(manifest('none', { targets: [TARGET], nodes: { names: ['elsewhere'] } }));
      assert.is((await condition(at, 'none', 'Accepted', 'False')).reason, 'NoNodes');
      assert.equal(at.controller.assignmentOf('ferry'), []);
    },
    NEEDS,
  );
});
