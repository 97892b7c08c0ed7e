import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import * as assert from 'uvu/assert';
import type { ProbeResult, Verdict } from '#contract';
import { VERDICTS } from '#contract';
import { errorTypeOf, traceProbe } from '../../operator/telemetry/probe-trace.ts';
import { spec } from '../harness.ts';
import { sampleProbe } from '../support/report.ts';

/** The spans of one result, by name. */
function spansOf(result: ProbeResult): ReadonlyMap<string, ReadableSpan> {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  assert.ok(traceProbe(provider.getTracer('test'), result, 'ferry'));
  return new Map(exporter.getFinishedSpans().map((span) => [span.name, span]));
}

function span(result: ProbeResult, name: string): ReadableSpan {
  const found = spansOf(result).get(name);
  if (found === undefined) throw new Error(`there is no span ${name}`);
  return found;
}

/** Offset of a span's time from the probe's start. Microseconds. */
function offsetUs(time: readonly [number, number], result: ProbeResult): number {
  return time[0] * 1e6 + time[1] / 1000 - result.startUs;
}

spec('telemetry: a probe as a trace', (test) => {
  test('has a root and a child for each phase, at the times measured', () => {
    const result = sampleProbe();
    const spans = spansOf(result);
    const times = [...spans].map(([name, { startTime, endTime }]) => [
      name,
      offsetUs(startTime, result),
      offsetUs(endTime, result),
    ]);
    assert.equal(times, [
      ['dns lookup', -900, -100],
      ['tcp handshake', 0, 130],
      ['tcp exchange', 130, 600],
      ['tcp close', 600, 1000],
      ['tcp probe', -900, 1000],
    ]);
    const root = spans.get('tcp probe');
    assert.is(root?.parentSpanContext, undefined);
    assert.is(root?.kind, SpanKind.CLIENT);
    for (const [name, child] of spans) {
      if (name === 'tcp probe') continue;
      assert.is(child.parentSpanContext?.spanId, root?.spanContext().spanId);
      assert.is(child.kind, SpanKind.INTERNAL);
    }
  });

  test('keeps microseconds at the turn of a second', () => {
    const result = sampleProbe({ startUs: 1_763_694_999_999_999 });
    const { startTime, endTime } = span(result, 'tcp handshake');
    assert.equal(startTime, [1_763_694_999, 999_999_000]);
    assert.equal(endTime, [1_763_695_000, 129_000]);
  });

  test('puts each segment on the phase it belongs to', () => {
    const spans = spansOf(sampleProbe());
    const events = (name: string) =>
      spans.get(name)?.events.map((e) => e.attributes?.['finwait.segment.flags']);
    assert.equal(events('tcp handshake'), ['SYN', 'SYN-ACK', 'ACK']);
    assert.equal(events('tcp exchange'), ['PSH-ACK', 'ACK', 'PSH-ACK']);
    assert.equal(events('tcp close'), ['FIN-ACK', 'FIN-ACK', 'ACK', 'FIN-ACK', 'ACK']);
    // The exchange ends with the first byte of the answer, and there the close begins.
    const phases = sampleProbe().phases.map((phase) =>
      phase.name === 'exchange'
        ? { ...phase, toUs: 500 }
        : phase.name === 'close'
          ? { ...phase, fromUs: 500 }
          : phase,
    );
    assert.is(spansOf(sampleProbe({ phases })).get('tcp exchange')?.events.length, 3);
    const again = spans.get('tcp close')?.events[1];
    assert.equal(again?.attributes, {
      'network.io.direction': 'transmit',
      'finwait.segment.flags': 'FIN-ACK',
      'finwait.segment.seq': 17,
      'finwait.segment.ack': 41,
      'finwait.segment.length': 0,
      'finwait.segment.window': 65_535,
      'finwait.segment.retransmission': true,
    });
  });

  test('says who, where and what came of it', () => {
    const { attributes, status } = span(sampleProbe(), 'tcp probe');
    const said = {
      'finwait.node': 'ferry',
      'finwait.target': 'db:5432',
      'finwait.verdict': 'open',
      'server.address': 'db',
      'server.port': 5432,
      'network.transport': 'tcp',
      'network.type': 'ipv4',
      'network.peer.address': '127.0.0.1',
      'network.peer.port': 5432,
      'network.local.address': '198.18.77.2',
      'finwait.retransmits.fin': 1,
      'finwait.step.syn_ack_received_us': 120,
      'finwait.syn_options.accepted': 'mss 1460, wscale 7, sack, timestamps',
    };
    for (const [name, value] of Object.entries(said)) assert.is(attributes[name], value, name);
    assert.is(attributes['error.type'], undefined);
    assert.is(status.code, SpanStatusCode.UNSET);
  });

  test('of a target that did not answer is an error, on the root and on the phase that failed', () => {
    const result = sampleProbe({
      verdict: 'filtered',
      sentence: 'filtered: no answer in 10 s',
      phases: [
        { name: 'resolve', fromUs: -900, toUs: -100, ok: true },
        { name: 'handshake', fromUs: 0, toUs: 1e7, ok: false },
      ],
      segments: sampleProbe().segments.slice(0, 1),
      options: { ...sampleProbe().options, accepted: null },
    });
    const spans = spansOf(result);
    assert.equal(spans.get('tcp probe')?.status, { code: SpanStatusCode.ERROR, message: result.sentence });
    for (const name of ['tcp probe', 'tcp handshake']) {
      assert.is(spans.get(name)?.attributes['error.type'], 'timed_out');
    }
    assert.is(spans.get('dns lookup')?.status.code, SpanStatusCode.UNSET);
  });

  test('without any phase is still a trace', () => {
    const result = sampleProbe({ verdict: 'unreachable', phases: [], segments: [], steps: {} });
    const root = span(result, 'tcp probe');
    assert.is(offsetUs(root.startTime, result), 0);
    assert.is(root.attributes['error.type'], 'network_unreachable');
  });

  test('shows an ICMP error as an event of its own', () => {
    const icmp = {
      ...sampleProbe().segments[0],
      atUs: 50,
      direction: 'in',
      kind: 'icmp',
      from: '10.0.0.1',
      note: 'host unreachable (3/1)',
    } as ProbeResult['segments'][number];
    const { events } = span(sampleProbe({ segments: [icmp] }), 'tcp handshake');
    assert.is(events[0]?.name, 'icmp.error');
    assert.equal(events[0]?.attributes, {
      'network.io.direction': 'receive',
      'finwait.icmp.note': 'host unreachable (3/1)',
      'finwait.segment.from': '10.0.0.1',
    });
  });

  test('gives every verdict but open an error type, a rejection by what the ICMP error says', () => {
    for (const verdict of VERDICTS) {
      assert.is(errorTypeOf(sampleProbe({ verdict })) === undefined, verdict === 'open', verdict);
    }
    const rejected = (note: string): string | undefined => {
      const [first] = sampleProbe().segments;
      if (first === undefined) throw new Error('the sample has no segment');
      const verdict: Verdict = 'rejected';
      return errorTypeOf(sampleProbe({ verdict, segments: [first, { ...first, kind: 'icmp', note }] }));
    };
    assert.is(rejected('host unreachable (3/1)'), 'host_unreachable');
    assert.is(rejected('network unreachable (3/0)'), 'network_unreachable');
    assert.is(rejected('port unreachable (3/3)'), 'connection_refused');
    assert.is(rejected('communication administratively prohibited (3/13)'), 'access_denied');
  });
});
