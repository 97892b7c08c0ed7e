/**
 * OpenTelemetry's OTLP exporters, by protocol; only the one asked for is loaded. They read endpoint, headers,
 * compression, certificates and timeout from the standard variables themselves.
 */

import type { PushMetricExporter } from '@opentelemetry/sdk-metrics';
import type { SpanExporter } from '@opentelemetry/sdk-trace';
import type { OtlpProtocol } from './environment.ts';

interface ExporterConfig {
  readonly timeoutMillis?: number;
}

export async function spanExporter(protocol: OtlpProtocol, config: ExporterConfig): Promise<SpanExporter> {
  const { OTLPTraceExporter } = await {
    grpc: () => import('@opentelemetry/exporter-trace-otlp-grpc'),
    'http/protobuf': () => import('@opentelemetry/exporter-trace-otlp-proto'),
    'http/json': () => import('@opentelemetry/exporter-trace-otlp-http'),
  }[protocol]();
  return new OTLPTraceExporter(config);
}

export async function metricExporter(
  protocol: OtlpProtocol,
  config: ExporterConfig,
): Promise<PushMetricExporter> {
  const { OTLPMetricExporter } = await {
    grpc: () => import('@opentelemetry/exporter-metrics-otlp-grpc'),
    'http/protobuf': () => import('@opentelemetry/exporter-metrics-otlp-proto'),
    'http/json': () => import('@opentelemetry/exporter-metrics-otlp-http'),
  }[protocol]();
  return new OTLPMetricExporter(config);
}

/** What an exporter says of an attempt. */
export interface ExportResult {
  /** 0 is success. */
  readonly code: number;
  readonly error?: Error;
}

/** HTTP 400 and 413, gRPC INVALID_ARGUMENT: these very data are at fault, another attempt would end the same. */
const REFUSED: ReadonlySet<unknown> = new Set([400, 413, 3]);

export function isRefused({ error }: ExportResult): boolean {
  return error !== undefined && 'code' in error && REFUSED.has(error.code);
}

/** Why an attempt failed, in one line. */
export function failureText({ error }: ExportResult): string {
  if (error === undefined) return 'unknown failure';
  const [inner] = error instanceof AggregateError ? (error.errors as Error[]) : [];
  const text = (error.message || inner?.message || error.name).split('\n', 1)[0] ?? '';
  const status = 'code' in error && typeof error.code === 'number' ? ` (${error.code})` : '';
  return `${text}${status}`;
}

/** OpenTelemetry's default for one export. */
const OTLP_TIMEOUT_MS = 10_000;

/** How long an exporter tries, a little less than whoever waits for it; what the user set goes first. */
export function timeoutConfig(signal: 'TRACES' | 'METRICS', waitedForMs: number): ExporterConfig {
  const { env } = process;
  const given = env[`OTEL_EXPORTER_OTLP_${signal}_TIMEOUT`] || env.OTEL_EXPORTER_OTLP_TIMEOUT;
  return given ? {} : { timeoutMillis: Math.min(OTLP_TIMEOUT_MS, 0.9 * waitedForMs) };
}
