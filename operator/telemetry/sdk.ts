/** The OpenTelemetry SDK set up for finwait. Loaded only when there is a collector to send to. */

import { createHash } from 'node:crypto';
import { context, diag, metrics, trace } from '@opentelemetry/api';
import { envDetector, resourceFromAttributes, serviceInstanceIdDetector } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { IdGenerator, ReadableSpan } from '@opentelemetry/sdk-trace';
import { VERSION } from '#base/version.ts';
import { CollectorHealth } from './collector-health.ts';
import { logDiagnosticsTo } from './diag-log.ts';
import type { ExportChoice } from './environment.ts';
import type { ExportResult } from './exporters.ts';
import { failureText, isRefused, spanExporter, timeoutConfig } from './exporters.ts';
import { handshakeHistogram, observeExport } from './instruments.ts';
import { metricReader } from './metric-export.ts';
import { traceProbe } from './probe-trace.ts';
import { ATTR } from './semconv.ts';
import { observeNodes } from './state-metrics.ts';
import type { Telemetry, TelemetryOptions } from './telemetry.ts';
import type { Attempt } from './waiting-room.ts';
import { WaitingRoom } from './waiting-room.ts';

/** Traces that wait while the collector is away: a quarter of an hour of a few probes a second. */
const MAX_WAITING_TRACES = 4096;
/** As the SDK's own batch processor. */
const MAX_BATCH_SPANS = 512;
const SHUTDOWN_MS = 2000;

export async function startTelemetry(choice: ExportChoice, options: TelemetryOptions): Promise<Telemetry> {
  const { log } = options;
  const nodes = options.nodes;
  const endpoints = {
    ...(choice.traces === undefined ? {} : { traces: choice.traces.endpoint }),
    ...(choice.metrics === undefined || nodes === undefined ? {} : { metrics: choice.metrics.endpoint }),
  };
  const health = new CollectorHealth(endpoints, log, Date.now);

  const collected: ReadableSpan[] = [];
  const ids = probeIds();
  const metricReaders =
    choice.metrics === undefined || nodes === undefined
      ? []
      : [await metricReader(choice.metrics.protocol, health)];
  const sdk = new NodeSDK({
    // The variables' attributes are merged over these.
    resource: resourceFromAttributes({ [ATTR.serviceName]: 'finwait', [ATTR.serviceVersion]: VERSION }),
    resourceDetectors: [serviceInstanceIdDetector, envDetector],
    // Spans are handed on from here to the waiting room, which knows when the collector has accepted them.
    spanProcessors: choice.traces === undefined ? [] : [spanSink(collected)],
    idGenerator: ids,
    metricReaders,
    logRecordProcessors: [],
    textMapPropagator: null,
  });
  logDiagnosticsTo(log);
  sdk.start();

  const tracer = trace.getTracer('finwait', VERSION);
  const exporter =
    choice.traces === undefined
      ? undefined
      : await spanExporter(
          choice.traces.protocol,
          timeoutConfig('TRACES', options.exportTimeoutMs ?? Number.POSITIVE_INFINITY),
        );
  const send = (traces: readonly (readonly ReadableSpan[])[]): Promise<Attempt> => {
    const { promise, resolve } = Promise.withResolvers<Attempt>();
    exporter?.export(traces.flat(), (result: ExportResult) => {
      if (result.code === 0) health.succeeded('traces');
      else if (!isRefused(result)) health.failed('traces', failureText(result));
      else if (traces.length === 1) {
        log.log('warn', 'the collector refused a probe trace', { reason: failureText(result) });
      }
      resolve(result.code === 0 ? 'accepted' : isRefused(result) ? 'refused' : 'failed');
    });
    return promise;
  };
  const room = new WaitingRoom<ReadableSpan>({
    send,
    maxTraces: MAX_WAITING_TRACES,
    maxBatchItems: MAX_BATCH_SPANS,
    lingerMs: options.lingerMs ?? 100,
    firstPauseMs: 1000,
    maxPauseMs: 10_000,
    random: Math.random,
  });

  const meter = metrics.getMeter('finwait', VERSION);
  const recordDuration = handshakeHistogram(meter);
  if (nodes !== undefined) observeNodes(meter, nodes);
  observeExport(meter, room, health);

  return {
    async recordProbe(result, nodeName) {
      recordDuration(result, nodeName);
      if (exporter === undefined) return 'off';
      ids.startTrace(result.id);
      const sampled = traceProbe(tracer, result, nodeName);
      const spans = collected.splice(0);
      return sampled ? room.add(spans) : 'off';
    },
    view: () => ({
      traces: health.state('traces'),
      metrics: health.state('metrics'),
      ...(endpoints.traces === undefined ? {} : { endpoint: endpoints.traces }),
      waiting: room.size,
      accepted: room.accepted,
      lost: room.lost,
    }),
    conditions: () => health.conditions(),
    async shutdown(timeoutMs = SHUTDOWN_MS) {
      const waiting = room.size;
      const lostBefore = room.lost;
      // The SDK sends the last metrics; it rejects when there is no collector, which the log has told.
      const sdkDown = sdk.shutdown().catch(() => {});
      await Promise.all([room.close(timeoutMs), within(sdkDown, timeoutMs)]);
      const lost = room.lost - lostBefore;
      if (lost > 0) log.log('warn', 'probe traces were not delivered', { lost, waiting });
      // Waits for what may still be in flight and closes its connections; nobody needs to wait with it.
      exporter?.shutdown().catch(() => {});
      for (const api of [trace, metrics, context, diag]) api.disable();
    },
  };
}

/** The processor's only work is to pass ended spans on: `recordProbe` takes them in the same turn. */
function spanSink(collected: ReadableSpan[]) {
  return {
    onStart: () => {},
    onEnd: (span: ReadableSpan) => void collected.push(span),
    forceFlush: async () => {},
    shutdown: async () => {},
  };
}

/**
 * The trace's id is the probe's, and its spans' ids follow from it: a result that an agent sends again, because
 * no acknowledgement reached it, makes the same spans again and not others beside them.
 */
function probeIds(): IdGenerator & { startTrace(id: string): void } {
  let traceId = '';
  let spans = 0;
  return {
    startTrace(id) {
      traceId = id;
      spans = 0;
    },
    generateTraceId: () => traceId,
    generateSpanId: () => createHash('sha256').update(`${traceId} ${spans++}`).digest('hex').slice(0, 16),
  };
}

async function within(promise: Promise<void>, timeoutMs: number): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  await Promise.race([promise, over]);
  clearTimeout(timer);
}
