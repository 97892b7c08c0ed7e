/** The OpenTelemetry SDK set up for finwait. Loaded only when there is a collector to send to. */

import { createHash } from 'node:crypto';
import type { Meter } from '@opentelemetry/api';
import { context, DiagLogLevel, diag, metrics, trace } from '@opentelemetry/api';
import { envDetector, resourceFromAttributes, serviceInstanceIdDetector } from '@opentelemetry/resources';
import type { PushMetricExporter } from '@opentelemetry/sdk-metrics';
import { PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { IdGenerator, ReadableSpan } from '@opentelemetry/sdk-trace';
import type { Logger } from '#base/log.ts';
import { VERSION } from '#base/version.ts';
import type { ProbeResult } from '#contract';
import { handshakeDurationUs } from '../fleet/severity.ts';
import { CollectorHealth } from './collector-health.ts';
import type { ExportChoice } from './environment.ts';
import type { ExportResult } from './exporters.ts';
import { failureText, isRefused, metricExporter, spanExporter } from './exporters.ts';
import { errorTypeOf, traceProbe } from './probe-trace.ts';
import { ATTR, HANDSHAKE_BUCKETS_S, METRIC } from './semconv.ts';
import { observeNodes } from './state-metrics.ts';
import type { Telemetry, TelemetryOptions } from './telemetry.ts';
import { WaitingRoom } from './waiting-room.ts';

/** Traces that wait while the collector is away: a quarter of an hour of a few probes a second. */
const MAX_WAITING_TRACES = 4096;
/** As the SDK's own batch processor. */
const MAX_BATCH_SPANS = 512;
/** OpenTelemetry's default for one export. */
const OTLP_TIMEOUT_MS = 10_000;
const SHUTDOWN_MS = 2000;
const REPEATED_DIAG_MS = 60_000;

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
  const metricsTo =
    choice.metrics === undefined || nodes === undefined
      ? undefined
      : watched(
          await metricExporter(choice.metrics.protocol, timeoutConfig('METRICS', metricTimes().timeoutMs)),
          health,
        );
  const sdk = new NodeSDK({
    // The variables' attributes are merged over these.
    resource: resourceFromAttributes({ [ATTR.serviceName]: 'finwait', [ATTR.serviceVersion]: VERSION }),
    resourceDetectors: [serviceInstanceIdDetector, envDetector],
    // Spans are handed on from here to the waiting room, which knows when the collector has accepted them.
    spanProcessors: choice.traces === undefined ? [] : [spanSink(collected)],
    idGenerator: ids,
    metricReaders: metricsTo === undefined ? [] : [metricReader(metricsTo)],
    logRecordProcessors: [],
    textMapPropagator: null,
  });
  diag.setLogger(diagTo(log), {
    logLevel: process.env.OTEL_LOG_LEVEL?.toLowerCase() === 'debug' ? DiagLogLevel.DEBUG : DiagLogLevel.WARN,
    suppressOverrideMessage: true,
  });
  sdk.start();

  const tracer = trace.getTracer('finwait', VERSION);
  const exporter =
    choice.traces === undefined
      ? undefined
      : await spanExporter(
          choice.traces.protocol,
          timeoutConfig('TRACES', options.exportTimeoutMs ?? Number.POSITIVE_INFINITY),
        );
  const send = (traces: readonly (readonly ReadableSpan[])[]): Promise<'accepted' | 'failed' | 'refused'> => {
    const { promise, resolve } = Promise.withResolvers<'accepted' | 'failed' | 'refused'>();
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

/** Notes how each export went, and tells the SDK all is well: it would only log a second time. */
function watched(exporter: PushMetricExporter, health: CollectorHealth): PushMetricExporter {
  return {
    export(data, callback) {
      exporter.export(data, (result) => {
        if (result.code === 0) health.succeeded('metrics');
        else health.failed('metrics', failureText(result));
        callback({ code: 0 });
      });
    },
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
    ...(exporter.selectAggregation && { selectAggregation: exporter.selectAggregation.bind(exporter) }),
    ...(exporter.selectAggregationTemporality && {
      selectAggregationTemporality: exporter.selectAggregationTemporality.bind(exporter),
    }),
  };
}

function metricReader(exporter: PushMetricExporter): PeriodicExportingMetricReader {
  const { intervalMs, timeoutMs } = metricTimes();
  return new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: timeoutMs,
  });
}

/** By the standard variables and their defaults. */
function metricTimes(): { readonly intervalMs: number; readonly timeoutMs: number } {
  const { OTEL_METRIC_EXPORT_INTERVAL: interval, OTEL_METRIC_EXPORT_TIMEOUT: timeout } = process.env;
  const intervalMs = positive(interval) ?? 60_000;
  return { intervalMs, timeoutMs: Math.min(positive(timeout) ?? 30_000, intervalMs) };
}

function positive(text: string | undefined): number | undefined {
  return Number(text) > 0 ? Number(text) : undefined;
}

/** How long an exporter tries, a little less than whoever waits for it; what the user set goes first. */
function timeoutConfig(signal: 'TRACES' | 'METRICS', waitedForMs: number): { timeoutMillis?: number } {
  const { env } = process;
  const given = env[`OTEL_EXPORTER_OTLP_${signal}_TIMEOUT`] || env.OTEL_EXPORTER_OTLP_TIMEOUT;
  return given ? {} : { timeoutMillis: Math.min(OTLP_TIMEOUT_MS, 0.9 * waitedForMs) };
}

function handshakeHistogram(meter: Meter): (result: ProbeResult, nodeName: string) => void {
  const histogram = meter.createHistogram(METRIC.handshakeDuration, {
    unit: 's',
    description: 'Time from the first SYN to the end of the handshake, or until it was given up',
    advice: { explicitBucketBoundaries: HANDSHAKE_BUCKETS_S },
  });
  return (result, nodeName) => {
    const us = handshakeDurationUs(result);
    if (us === undefined) return;
    const failed = result.phases.some(({ name, ok }) => name === 'handshake' && !ok);
    histogram.record(us / 1e6, {
      [ATTR.node]: nodeName,
      [ATTR.target]: result.target.name,
      [ATTR.networkType]: `ipv${result.family}`,
      ...(failed ? { [ATTR.errorType]: errorTypeOf(result) ?? 'unknown' } : {}),
    });
  };
}

function observeExport(meter: Meter, room: WaitingRoom<ReadableSpan>, health: CollectorHealth): void {
  meter
    .createObservableUpDownCounter(METRIC.tracesWaiting, {
      unit: '{trace}',
      description: 'Probe traces the collector has not accepted yet',
    })
    .addCallback((to) => to.observe(room.size));
  meter
    .createObservableCounter(METRIC.traces, {
      unit: '{trace}',
      description: 'Probe traces that are done with, by what became of them',
    })
    .addCallback((to) => {
      to.observe(room.accepted, { [ATTR.delivery]: 'accepted' });
      to.observe(room.lost, { [ATTR.delivery]: 'lost' });
    });
  meter
    .createObservableCounter(METRIC.exportFailures, {
      unit: '{export}',
      description: 'Attempts to send that the collector did not accept',
    })
    .addCallback((to) => {
      for (const signal of ['traces', 'metrics'] as const) {
        to.observe(health.failures[signal], { [ATTR.signal]: signal });
      }
    });
}

/** OpenTelemetry's own log, each line at most once a minute. */
function diagTo(log: Logger) {
  const toldAtMs = new Map<string, number>();
  const at = (level: 'debug' | 'warn') => (message: string) => {
    const nowMs = Date.now();
    if (nowMs - (toldAtMs.get(message) ?? 0) < REPEATED_DIAG_MS) return;
    if (toldAtMs.size > 100) toldAtMs.clear();
    toldAtMs.set(message, nowMs);
    log.log(level, `OpenTelemetry: ${message}`);
  };
  return {
    error: at('warn'),
    warn: at('warn'),
    info: at('debug'),
    debug: at('debug'),
    verbose: at('debug'),
  };
}

async function within(promise: Promise<void>, timeoutMs: number): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  await Promise.race([promise, over]);
  clearTimeout(timer);
}
