import * as assert from 'uvu/assert';
import type { ProbeResult } from '#contract';
import { spec } from '../harness.ts';
import type { Collector } from '../support/collector.ts';
import { startCollector } from '../support/collector.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { startOperator } from '../support/operator.ts';
import type { CollectedSpan } from '../support/otlp-json.ts';
import { sampleProbe, sampleReport } from '../support/report.ts';
import { until } from '../support/until.ts';

const NEEDS = { needs: ['collector'], timeoutMs: 180_000 } as const;
const PROTOCOLS = ['http/protobuf', 'http/json', 'grpc'] as const;

const traceId = (number: number): string => number.toString(16).padStart(32, 'a');
const probe = (number: number, changes: Partial<ProbeResult> = {}): ProbeResult =>
  sampleProbe({ id: traceId(number), ...changes });

function startExporting(
  collector: Collector,
  protocol: (typeof PROTOCOLS)[number],
  env: Readonly<Record<string, string>> = {},
): Promise<OperatorProcess> {
  return startOperator({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: protocol === 'grpc' ? collector.grpcEndpoint : collector.httpEndpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_METRIC_EXPORT_INTERVAL: '500',
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: '10000',
      ...env,
    },
  });
}

function offsetUs(timeNs: bigint): number {
  return Number(timeNs - BigInt(sampleProbe().startUs) * 1000n) / 1000;
}

spec('operator: to a real Collector', (test) => {
  for (const protocol of PROTOCOLS) {
    test(
      `each probe arrives as one trace over ${protocol}`,
      async () => {
        await using collector = await startCollector();
        await using operator = await startExporting(collector, protocol);
        const report = sampleReport({ probes: [probe(1), probe(2)] });
        // On a busy machine the collector may not have them yet when the first answer is given.
        await until(
          'acknowledged, so the collector has them',
          async () => (await operator.send(report)).ack.seq === 1 || undefined,
        );
        const spans = await collector.spans((span) => span.traceId === traceId(1), { count: 5 });
        assert.equal(
          spans.map(({ name, startNs, endNs }) => [name, offsetUs(startNs), offsetUs(endNs)]).sort(byStart),
          [
            ['dns lookup', -900, -100],
            ['tcp close', 600, 1000],
            ['tcp exchange', 130, 600],
            ['tcp handshake', 0, 130],
            ['tcp probe', -900, 1000],
          ],
        );
        const root = spans.find(({ name }) => name === 'tcp probe');
        assert.is(root?.parentSpanId, '');
        assert.is(root?.kind, 3);
        for (const child of spans.filter((span) => span !== root))
          assert.is(child.parentSpanId, root?.spanId);
        const handshake = spans.find(({ name }) => name === 'tcp handshake');
        assert.equal(
          handshake?.events.map(({ name, timeNs, attributes }) => [
            name,
            offsetUs(timeNs),
            attributes['finwait.segment.flags'],
          ]),
          [
            ['tcp.segment', 0, 'SYN'],
            ['tcp.segment', 120, 'SYN-ACK'],
            ['tcp.segment', 130, 'ACK'],
          ],
        );
      },
      NEEDS,
    );

    test(
      `the states of the nodes arrive as metrics over ${protocol}`,
      async () => {
        await using collector = await startCollector();
        await using operator = await startExporting(collector, protocol);
        await operator.send(sampleReport());
        const find = async (name: string, attributes: Readonly<Record<string, unknown>>) => {
          const [point] = await collector.metrics(
            (p) =>
              p.name === name &&
              Object.entries(attributes).every(([key, value]) => p.attributes[key] === value),
          );
          return point;
        };
        const established = await find('system.network.connection.count', {
          'network.connection.state': 'established',
          'network.type': 'ipv4',
          'network.transport': 'tcp',
          'finwait.node': 'ferry',
        });
        assert.is(established?.value, 12);
        assert.is(established?.unit, '{connection}');
        assert.is(established?.type, 'sum');
        const holder = await find('finwait.connection.holder.count', { 'process.executable.name': 'curl' });
        assert.is(holder?.value, 3);
        assert.is(holder?.attributes['network.peer.address'], '2001:db8::1');
        const folded = await find('finwait.connection.holder.count', { 'finwait.holder.folded': true });
        assert.is(folded?.value, 7);
        assert.is((await find('finwait.conntrack.entry.count', {}))?.value, 420);
        assert.is((await find('finwait.conntrack.utilization', {}))?.value, 420 / 262_144);
        const duration = await find('tcp.handshake.duration', { 'finwait.target': 'db:5432' });
        assert.is(duration?.type, 'histogram');
        assert.is(duration?.value, 1);
        assert.is(duration?.sum, 0.00013);
        assert.is(duration?.attributes['error.type'], undefined);
      },
      NEEDS,
    );
  }

  test(
    'spans carry the resource that the standard variables describe',
    async () => {
      await using collector = await startCollector();
      await using operator = await startExporting(collector, 'http/protobuf', {
        OTEL_SERVICE_NAME: 'mine',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=lab',
      });
      await operator.send(sampleReport());
      const [span] = await collector.spans(() => true);
      assert.is(span?.resource['service.name'], 'mine');
      assert.is(span?.resource['deployment.environment.name'], 'lab');
      assert.type(span?.resource['service.instance.id'], 'string');
    },
    NEEDS,
  );

  test(
    'only what is asked for is sent',
    async () => {
      await using collector = await startCollector();
      await using operator = await startExporting(collector, 'http/protobuf', {
        OTEL_TRACES_EXPORTER: 'none',
      });
      const { ack } = await operator.send(sampleReport());
      assert.is(ack.seq, 1);
      await collector.metrics(({ name }) => name === 'system.network.connection.count');
      assert.equal(await collector.spans(() => true, { count: 0 }), []);
      assert.is((await operator.overview()).operator.telemetry.traces, 'off');
    },
    NEEDS,
  );

  test(
    'a collector dead at the start, and one that dies: told once each way, nothing lost, reports go on',
    async () => {
      await using collector = await startCollector({ started: false });
      await using operator = await startExporting(collector, 'http/protobuf');
      const { child } = operator;

      const dead = await operator.send(sampleReport({ seq: 1, probes: [probe(1)] }));
      assert.is(dead.status, 200);
      assert.is(dead.ack.seq, 0, 'not acknowledged while only the operator has it');
      await child.output(/warn: the collector at \S+ does not take .*ECONNREFUSED/, { stream: 'stderr' });
      const { operator: view, nodes } = await operator.overview();
      assert.is(view.conditions[0]?.code, 'COLLECTOR_UNREACHABLE');
      assert.is(view.telemetry.waiting, 1);
      assert.is(nodes.length, 1, 'the node is seen all the same');
      assert.is((await operator.send(sampleReport({ seq: 2, probes: [probe(2)] }))).status, 200);

      await collector.start();
      await collector.spans(
        ({ name, traceId: id }) => name === 'tcp probe' && [traceId(1), traceId(2)].includes(id),
        {
          count: 2,
          timeoutMs: 90_000,
        },
      );
      await child.output(/the collector takes data again/, { stream: 'stderr', timeoutMs: 90_000 });
      assert.is((await operator.send(sampleReport({ seq: 3 }))).ack.seq, 3);
      assert.equal((await operator.overview()).operator.conditions, []);

      await collector.stop();
      assert.is((await operator.send(sampleReport({ seq: 4, probes: [probe(4)] }))).ack.seq, 3);
      await until('the condition', async () => (await operator.overview()).operator.conditions[0]);
      await collector.start();
      await collector.spans((span) => span.traceId === traceId(4), { count: 5, timeoutMs: 90_000 });
      await until('the acknowledgement', async () => {
        const { ack } = await operator.send(sampleReport({ seq: 5, probes: [] }));
        return ack.seq === 5 ? ack : undefined;
      });
      const { telemetry } = (await operator.overview()).operator;
      assert.is(telemetry.lost, 0);
      assert.is(telemetry.accepted, 4);
      // The log is not filled by attempts: one line for each change, and none of OpenTelemetry's own.
      const lines = child.stderr.split('\n').filter((line) => /collector/.test(line));
      assert.ok(lines.length <= 4, child.stderr);
      assert.not.match(child.stderr, /OpenTelemetry:/);
    },
    { needs: ['collector'], timeoutMs: 300_000 },
  );

  test(
    'ends in time with the collector away, and tells what was not delivered',
    async () => {
      await using collector = await startCollector({ started: false });
      await using operator = await startExporting(collector, 'http/protobuf', {
        OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: '600000',
      });
      await operator.send(sampleReport());
      assert.equal(await operator.child.stop('SIGTERM'), { code: 0, signal: null });
      assert.match(operator.child.stderr, 'probe traces were not delivered lost=1');
    },
    NEEDS,
  );

  test(
    'a result sent again to a new run of the operator makes the same spans again',
    async () => {
      await using collector = await startCollector();
      const ids: string[][] = [];
      for (const count of [5, 10]) {
        await using operator = await startExporting(collector, 'http/protobuf');
        await operator.send(sampleReport({ probes: [probe(1)] }));
        const spans = await collector.spans((span) => span.traceId === traceId(1), { count });
        ids.push([...new Set(spans.map((span: CollectedSpan) => span.spanId))]);
      }
      assert.is(ids[0]?.length, 5);
      assert.equal(ids[0], ids[1]);
    },
    NEEDS,
  );
});

type Row = readonly [string, number, number];

function byStart([a]: Row | (string | number)[], [b]: Row | (string | number)[]): number {
  return String(a) < String(b) ? -1 : 1;
}
