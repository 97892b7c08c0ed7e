import * as assert from 'uvu/assert';
import { rejects, spec } from '../harness.ts';
import { startCollector } from '../support/collector.ts';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';

/** One span as an exporter of ours would send it, in OTLP's JSON. */
function tracesBody(name: string): string {
  const span = {
    traceId: TRACE_ID,
    spanId: 'b7ad6b7169203331',
    name,
    kind: 3,
    startTimeUnixNano: '1700000000000000001',
    endTimeUnixNano: '1700000000000002001',
    attributes: [
      { key: 'tcp.verdict', value: { stringValue: 'open' } },
      { key: 'network.peer.port', value: { intValue: '443' } },
    ],
    events: [{ name: 'tcp.segment', timeUnixNano: '1700000000000000501', attributes: [] }],
  };
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'finwait' } }] };
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] });
}

function metricsBody(value: number): string {
  const point = { asInt: String(value), timeUnixNano: '1700000000000000001' };
  const metric = {
    name: 'finwait.test',
    unit: '{connection}',
    sum: { aggregationTemporality: 2, dataPoints: [point] },
  };
  return JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [metric] }] }] });
}

async function post(url: string, body: string): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  });
  await response.arrayBuffer();
  return response.status;
}

spec('collector', (test) => {
  test(
    'spans and metrics that a real Collector accepted can be read back to the nanosecond',
    async () => {
      await using collector = await startCollector();
      assert.is(await post(`${collector.httpEndpoint}/v1/traces`, tracesBody('probe')), 200);
      const [span] = await collector.spans(({ name }) => name === 'probe');
      assert.equal(span, {
        traceId: TRACE_ID,
        spanId: 'b7ad6b7169203331',
        parentSpanId: '',
        name: 'probe',
        kind: 3,
        startNs: 1_700_000_000_000_000_001n,
        endNs: 1_700_000_000_000_002_001n,
        attributes: { 'tcp.verdict': 'open', 'network.peer.port': 443 },
        events: [{ name: 'tcp.segment', timeNs: 1_700_000_000_000_000_501n, attributes: {} }],
        status: 0,
        resource: { 'service.name': 'finwait' },
      });
      await post(`${collector.httpEndpoint}/v1/metrics`, metricsBody(7));
      const [point] = await collector.metrics(({ name }) => name === 'finwait.test');
      assert.equal([point?.type, point?.unit, point?.value], ['sum', '{connection}', 7]);
    },
    { needs: ['collector'], timeoutMs: 60_000 },
  );

  test(
    'it can be stopped and started again on the same ports',
    async () => {
      await using collector = await startCollector();
      await collector.stop();
      await rejects(post(`${collector.httpEndpoint}/v1/traces`, tracesBody('lost')), /fetch failed/);
      await collector.start();
      await post(`${collector.httpEndpoint}/v1/traces`, tracesBody('found'));
      const spans = await collector.spans(() => true);
      assert.equal(
        spans.map(({ name }) => name),
        ['found'],
      );
    },
    { needs: ['collector'], timeoutMs: 60_000 },
  );

  test(
    'waiting for what does not come fails and says what came instead',
    async () => {
      await using collector = await startCollector();
      await post(`${collector.httpEndpoint}/v1/traces`, tracesBody('other'));
      await collector.spans(({ name }) => name === 'other');
      const wanted = collector.spans(({ name }) => name === 'probe', { timeoutMs: 200 });
      await rejects(wanted, /0 spans of 1 reached the Collector within 200 ms; it has: other/);
    },
    { needs: ['collector'], timeoutMs: 60_000 },
  );
});
