/** How metrics leave: read from the instruments at intervals, sent over OTLP, each attempt noted. */

import type { PushMetricExporter } from '@opentelemetry/sdk-metrics';
import { PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import type { CollectorHealth } from './collector-health.ts';
import type { OtlpProtocol } from './environment.ts';
import { failureText, metricExporter, timeoutConfig } from './exporters.ts';

/** A reader for the SDK, with interval and timeout by the standard variables and their defaults. */
export async function metricReader(
  protocol: OtlpProtocol,
  health: CollectorHealth,
): Promise<PeriodicExportingMetricReader> {
  const { OTEL_METRIC_EXPORT_INTERVAL: interval, OTEL_METRIC_EXPORT_TIMEOUT: timeout } = process.env;
  const exportIntervalMillis = positive(interval) ?? 60_000;
  const exportTimeoutMillis = Math.min(positive(timeout) ?? 30_000, exportIntervalMillis);
  const exporter = await metricExporter(protocol, timeoutConfig('METRICS', exportTimeoutMillis));
  return new PeriodicExportingMetricReader({
    exporter: watched(exporter, health),
    exportIntervalMillis,
    exportTimeoutMillis,
  });
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

function positive(text: string | undefined): number | undefined {
  return Number(text) > 0 ? Number(text) : undefined;
}
