/** Whatever agents may report and people may ask for, the API server takes each status that is made of it. */

import fc from 'fast-check';
import * as assert from 'uvu/assert';
import type { ProbeResult, Report } from '#contract';
import { CONTRACT_LIMITS, PRESSURE_LIMITS, TCP_STATES, VERDICTS } from '#contract';
import { parseReport } from '../../../daemon/contract-parse.ts';
import type { NodeTcpReportStatus } from '../../../operator/api/v1alpha1/node-tcp-report.ts';
import { foundOf } from '../../../operator/controllers/handshake-probe/found.ts';
import type { Fault } from '../../../operator/controllers/handshake-probe/places.ts';
import { probeRecord } from '../../../operator/controllers/handshake-probe/probe-record.ts';
import { probeStatus } from '../../../operator/controllers/handshake-probe/status.ts';
import { collect } from '../../../operator/controllers/reports/collect.ts';
import { createNodeRound } from '../../../operator/controllers/reports/node-round.ts';
import { policyOf } from '../../../operator/controllers/reports/policy.ts';
import { policyWrites, storedPolicy } from '../../../operator/controllers/reports/policy-round.ts';
import type { Write } from '../../../operator/controllers/reports/round.ts';
import { storedReport, storedTcpReport } from '../../../operator/controllers/reports/store.ts';
import { createTcpRound } from '../../../operator/controllers/reports/tcp-round.ts';
import type { NodeView } from '../../../operator/fleet/view.ts';
import type { KubeClient } from '../../../operator/kube/client.ts';
import {
  DIAGNOSIS_POLICIES,
  HANDSHAKE_PROBES,
  NODE_TCP_REPORTS,
  TCP_REPORTS,
} from '../../../operator/kube/resource.ts';
import { podRecord, workloadOf } from '../../../operator/workloads/workload.ts';
import type { ApiServer } from '../../cluster/api-server.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { installCrds } from '../../cluster/crds.ts';
import { spec, testSeed } from '../../harness.ts';
import { sampleProbe, sampleReport } from '../../support/report.ts';
import { until } from '../../support/until.ts';

const NEEDS = { needs: ['cluster' as const], timeoutMs: 240_000 };
const RUNS = 60;
const NOW = Date.UTC(2026, 4, 1);
const LONG_NAME = `${'n'.repeat(63)}.`.repeat(4).slice(0, 253).replace(/\.$/, 'n');

/** Text as a stranger may choose it: control characters, half characters, much of it. */
const odd = (maxLength: number) =>
  fc.oneof(
    fc.string({ unit: 'binary', maxLength }),
    fc.constantFrom(
      'x'.repeat(maxLength),
      '😀'.repeat(maxLength >> 1),
      `x${'😀'.repeat((maxLength - 1) >> 1)}`,
      '\u0000\u001b\u007f\u0085\u009f\u2028\u2029\ufeff\uffff'.slice(0, maxLength),
      '\ud800',
      '\udc00: {[- #&*!|>\'"%@`'.slice(0, maxLength),
      '',
    ),
  );
const count = fc.oneof(fc.nat(200), fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1));
const durationMs = fc.oneof(fc.nat(1_000_000), fc.constantFrom(0, Number.MAX_SAFE_INTEGER));
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.constant(`fe80:1111:2222:3333:4444:5555:6666:7777%${'z'.repeat(24)}`),
);
const port = fc.integer({ min: 0, max: 65_535 });
const code = fc.oneof(
  fc.stringMatching(/^[A-Z][A-Z0-9_]{1,62}$/),
  fc.constantFrom('A_', 'X__9_', `T${'_'.repeat(63)}`),
);
const uid = fc.integer({ min: 0, max: 9 }).map((n) => `0000000${n}-0000-4000-8000-000000000000`);
const nodeName = fc.constantFrom('ferry', 'harbour', LONG_NAME);

const result: fc.Arbitrary<ProbeResult> = fc
  .record({
    remote: fc.record({ address, port }),
    verdict: fc.constantFrom(...VERDICTS),
    sentence: odd(CONTRACT_LIMITS.text),
    tainted: fc.option(odd(CONTRACT_LIMITS.text), { nil: undefined }),
    startUs: fc.oneof(fc.constantFrom(0, Number.MAX_SAFE_INTEGER), fc.constant(NOW * 1000)),
    retransmits: fc.record({ syn: count, data: count, fin: count }),
    handshakeUs: fc.double({ min: 0, max: 86_400_000_000, noNaN: true }),
  })
  .map(({ tainted, handshakeUs, ...given }) => {
    const phase = { name: 'handshake' as const, fromUs: -handshakeUs, toUs: handshakeUs, ok: true };
    return sampleProbe({ ...given, phases: [phase], ...(tainted === undefined ? {} : { tainted }) });
  });

const state = fc.constantFrom(...TCP_STATES);
const holder = fc.record(
  {
    state: fc.constantFrom('TIME-WAIT' as const, 'CLOSE-WAIT' as const),
    direction: fc.constantFrom('inbound' as const, 'outbound' as const),
    process: fc.option(fc.record({ pid: fc.nat(1000), name: odd(CONTRACT_LIMITS.text) })),
    attribution: fc.constant('socket' as const),
    pod: fc.record({ uid, containerId: fc.constantFrom('c0', 'c1') }, { requiredKeys: ['uid'] }),
    peer: address,
    port,
    count,
    oldestMs: durationMs,
  },
  { requiredKeys: ['state', 'direction', 'process', 'attribution', 'peer', 'port', 'count', 'oldestMs'] },
);

const end = fc.record({ address, port });
const use = {
  destination: end,
  used: count,
  usable: count,
  exhaustedInMs: fc.option(durationMs, { nil: undefined }),
};
const ports = fc.record({
  destinations: fc.array(
    fc.record({
      ...use,
      pod: fc.option(fc.record({ uid }), { nil: undefined }),
      source: address,
      timeWait: count,
      reusable: count,
      bound: count,
    }),
    { maxLength: PRESSURE_LIMITS.ports },
  ),
  folded: count,
});
const sourceNat = fc.record({
  destinations: fc.array(
    fc.record({
      ...use,
      address,
      waiting: count,
      consumers: fc.array(fc.record({ source: address, count }), { maxLength: PRESSURE_LIMITS.consumers }),
    }),
    { maxLength: PRESSURE_LIMITS.sourceNat },
  ),
  folded: count,
});
const divergentStates = fc.array(
  fc.record({
    state: odd(32),
    count,
    ages: fc.record({
      underMinute: count,
      underTenMinutes: count,
      underHour: count,
      older: count,
      unknown: count,
    }),
    keptLong: fc.option(count, { nil: undefined }),
    samples: fc.constant([]),
  }),
  { maxLength: PRESSURE_LIMITS.divergentStates },
);
const divergence = fc.record({
  sockets: count,
  flows: count,
  through: count,
  untracked: count,
  socketsWithoutFlow: divergentStates,
  flowsWithoutSocket: divergentStates,
  unsettled: count,
  disbelief: fc.option(fc.constantFrom('conntrack-idle' as const, 'sockets-incomplete' as const), {
    nil: undefined,
  }),
});

const report: fc.Arbitrary<Report> = fc
  .record({
    version: odd(64),
    kernel: odd(CONTRACT_LIMITS.text),
    states: fc.array(fc.record({ family: fc.constantFrom(4 as const, 6 as const), state, count }), {
      maxLength: 22,
    }),
    holders: fc.array(holder, { maxLength: CONTRACT_LIMITS.holders }),
    pods: fc.array(fc.record({ uid, states: fc.array(fc.record({ state, count }), { maxLength: 11 }) }), {
      maxLength: 20,
    }),
    conntrack: fc.record({
      status: fc.constantFrom('on' as const, 'idle' as const),
      count,
      max: count,
      states: fc.array(fc.record({ state: fc.oneof(odd(32), fc.constant('CLOSE')), count }), {
        maxLength: 32,
      }),
      own: count,
      sourceNat,
      divergence,
    }),
    ports,
    probes: fc.array(result, { maxLength: 20 }),
    rssBytes: fc.constantFrom(0, Number.MAX_SAFE_INTEGER),
    conditions: fc.array(
      fc.record({ code, message: odd(CONTRACT_LIMITS.text), hint: odd(CONTRACT_LIMITS.text) }),
      { maxLength: CONTRACT_LIMITS.conditions },
    ),
  })
  .map(({ version, kernel, states, holders, pods, ports, rssBytes, ...given }) => {
    const { agent, sockets, health } = sampleReport();
    if (sockets === undefined) throw new Error('the sample has no sockets');
    const changes = {
      ...given,
      agent: { ...agent, version, kernel },
      sockets: { ...sockets, states, holders, pods, ports },
      health: { ...health, rssBytes },
    };
    return sampleReport(changes as Partial<Report>);
  });

/** As it comes through the wire. */
function received(sent: Report): Report {
  const parsed = parseReport(JSON.parse(JSON.stringify(sent)));
  if (!parsed.ok) throw new Error(`the contract forbids what the test makes: ${parsed.reason}`);
  return parsed.value;
}

function viewOf(name: string, sent: Report, stale: boolean): NodeView {
  const { boot, agent, sockets, conntrack, health, conditions, probes } = received(sent);
  return {
    name,
    boot,
    seq: 1,
    lastReportMs: NOW,
    stale,
    reports: { applied: 1, duplicates: 0, missing: 0, boots: 1 },
    agent,
    ...(sockets === undefined ? {} : { sockets }),
    ...(conntrack === undefined ? {} : { conntrack }),
    health,
    conditions,
    probes,
    assigned: [],
  };
}

const isSome = (text: string): boolean => text !== '';

/** Owners of pods are written by whoever may create pods; the API server looks at little of them. */
const owner = fc.record({
  apiVersion: fc.constantFrom('apps/v1', `${'g'.repeat(63)}.${LONG_NAME.slice(64)}/v1`, 'v'.repeat(1000)),
  kind: fc.oneof(fc.constantFrom('ReplicaSet', 'K'.repeat(1000), '_', '9-', 'Ä😀'), odd(80).filter(isSome)),
  name: fc.oneof(
    fc.constantFrom('shop', LONG_NAME, 'a..b', 'a.-b', 'system:x', 'x'.repeat(1000)),
    odd(80).filter(isSome),
  ),
  uid: fc.uuid(),
});

/** What the API server refused, each reason once. */
class Refusals {
  readonly #seen = new Set<string>();

  async of(run: () => Promise<unknown>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#seen.add(
        String(error)
          .replaceAll(/"[^"]*"/g, '"…"')
          .slice(0, 200),
      );
    }
  }

  get list(): string[] {
    return [...this.#seen];
  }
}

async function ready(): Promise<ApiServer> {
  await using starting = new AsyncDisposableStack();
  const server = starting.use(await startApiServer());
  await installCrds(server);
  for (const kind of [TCP_REPORTS, NODE_TCP_REPORTS]) {
    await until('its objects can be listed', () =>
      server.client.list(kind).then(
        () => true,
        () => undefined,
      ),
    );
  }
  starting.move();
  return server;
}

const recorder = { record: () => {} };

spec('Every status is within the bounds of its schema', (test) => {
  test(
    'of HandshakeProbes, whatever is found',
    async () => {
      await using server = await ready();
      const refusals = new Refusals();
      const fault: fc.Arbitrary<Fault> = fc.record({
        reason: fc.constantFrom('ServiceNotFound' as const, 'PortNotFound' as const),
        message: odd(5000),
      });
      const asked = fc.record({
        once: fc.boolean(),
        suspend: fc.boolean(),
        targets: fc.integer({ min: 1, max: 32 }),
        host: fc.constantFrom(LONG_NAME, 'db'),
        results: fc.array(fc.tuple(result, nodeName, fc.nat(500)), { maxLength: 150 }),
        faults: fc.array(fault, { maxLength: 3 }),
        nodes: fc.constantFrom(0, 1, 5000),
        missing: fc.array(nodeName, { maxLength: 5 }),
        why: odd(3000),
        leftOut: fc.constantFrom(0, 1_000_000),
      });
      const samples = fc.sample(asked, { seed: testSeed(), numRuns: RUNS });
      for (const [n, given] of samples.entries()) {
        const metadata = { namespace: 'default', name: `probe-${n}` };
        const targets = Array.from({ length: given.targets }, (_, i) => ({
          name: `${'t'.repeat(60)}${i}`,
          host: given.host,
          port: 65_535,
        }));
        const made = await server.client.create(HANDSHAKE_PROBES, {
          metadata,
          spec: { targets, suspend: given.suspend, ...(given.once ? { once: true } : {}) },
        });
        const results = received(sampleReport({ probes: given.results.map(([each]) => each) })).probes;
        const status = probeStatus({
          probe: probeRecord(made),
          faults: given.faults,
          nodes: given.nodes,
          wanted: given.nodes * given.targets,
          missing: given.missing,
          whyMissing: () => given.why,
          found: results.map((each, i) =>
            foundOf(
              each,
              { target: targets[0]?.name ?? '', node: given.results[i]?.[1] ?? '', receivedMs: NOW },
              { verdict: 'Open', handshakeWithinUs: undefined },
            ),
          ),
          leftOut: given.leftOut,
          sinceMs: NOW - (given.results[0]?.[2] ?? 0) * 1000,
          before: undefined,
          nowMs: NOW,
        });
        const options = { fieldManager: 'test', subresource: 'status' } as const;
        await refusals.of(() => server.client.apply(HANDSHAKE_PROBES, { metadata, status }, options));
      }
      assert.equal(refusals.list, []);
    },
    NEEDS,
  );

  test(
    'of TCPReports and NodeTCPReports, whatever agents report and whoever owns pods',
    async () => {
      await using server = await ready();
      const refusals = new Refusals();
      const given = fc.record({
        reports: fc.array(fc.tuple(nodeName, report, fc.boolean()), { minLength: 1, maxLength: 3 }),
        next: report,
        owners: fc.array(owner, { minLength: 10, maxLength: 10 }),
      });
      for (const { reports, next, owners } of fc.sample(given, { seed: testSeed(), numRuns: RUNS })) {
        const rounds = { client: server.client, recorder, startedMs: NOW };
        const tcpRound = createTcpRound(rounds);
        const nodeRound = createNodeRound(rounds);
        const policy = { ...policyOf(undefined, {}), timeWait: { reportCount: 0, noticeCount: 100 } };
        const write = async (views: readonly NodeView[], nowMs: number): Promise<void> => {
          const pods = {
            podOf: (uid: string) => {
              const n = Number(uid[7]);
              const name = `${n}-${LONG_NAME}`.slice(0, 253);
              return podRecord({
                metadata: {
                  uid,
                  namespace: 'default',
                  name,
                  ownerReferences: [{ ...owners[n], controller: true }],
                },
                spec: { nodeName: views[n % views.length]?.name },
                status: { containerStatuses: [{ name: 'c'.repeat(63), containerID: 'containerd://c0' }] },
              });
            },
            workloadOf: (pod: Parameters<typeof workloadOf>[0]) => workloadOf(pod, () => undefined),
          };
          const { holdings, heard } = collect(views, pods, nowMs);
          const nodeOf = (name: string) => ({ name, uid: `uid-of-${name}`, labels: {} });
          const tcpReports = (await server.client.list(TCP_REPORTS)).items.map(storedTcpReport);
          const nodeReports = (await server.client.list(NODE_TCP_REPORTS)).items.map(
            storedReport<NodeTcpReportStatus>,
          );
          const storedNodes = new Map(nodeReports.map((each) => [each.name, each]));
          const storedTcp = new Map(tcpReports.map((each) => [`default/${each.name}`, each]));
          const writes: Write[] = [
            ...nodeRound({ views, nodeOf, podOf: pods.podOf, stored: storedNodes, policy, nowMs }),
            ...tcpRound({
              holdings: holdings.values(),
              heard,
              stored: storedTcp,
              policyOf: () => policy,
              nowMs,
            }),
          ];
          for (const each of writes) await refusals.of(() => each.run());
        };
        await refusals.of(() =>
          write(
            reports.map(([name, sent, stale]) => viewOf(name, sent, stale)),
            NOW,
          ),
        );
        // Two minutes later, so that there is growth to tell of.
        const later = { ...viewOf(reports[0]?.[0] ?? '', next, false), lastReportMs: NOW + 120_000 };
        await refusals.of(() => write([later], NOW + 120_000));
      }
      assert.equal(refusals.list, []);
    },
    NEEDS,
  );

  test(
    'of DiagnosisPolicies, whatever their names and however many namespaces there are',
    async () => {
      await using server = await ready();
      const refusals = new Refusals();
      for (const name of ['a', LONG_NAME]) {
        const made = await server.client.create(DIAGNOSIS_POLICIES, { metadata: { name }, spec: {} });
        const stored = storedPolicy(made);
        const namespaces = Array.from({ length: 10_000 }, () => ({}));
        const client: Pick<KubeClient, 'apply'> = server.client;
        for (const each of policyWrites(client, [stored], [stored.policy], namespaces, NOW)) {
          await refusals.of(() => each.run());
        }
      }
      assert.equal(refusals.list, []);
    },
    NEEDS,
  );
});
