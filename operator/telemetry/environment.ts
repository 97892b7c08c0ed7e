/** What the standard `OTEL_*` variables ask for, before any of OpenTelemetry is loaded. */

import { FinwaitError } from '#base/errors.ts';

export type OtlpProtocol = 'grpc' | 'http/protobuf' | 'http/json';

export interface SignalChoice {
  readonly protocol: OtlpProtocol;
  /** As the variable gives it, for people. */
  readonly endpoint: string;
}

/** A signal that is absent is not exported. */
export interface ExportChoice {
  readonly traces?: SignalChoice;
  readonly metrics?: SignalChoice;
  /** What was asked for and is not done. */
  readonly warnings: readonly string[];
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Exports nothing unless an OTLP endpoint is named: the specification's default, a collector on localhost,
 * would make every machine without one complain.
 * https://opentelemetry.io/docs/specs/otel/protocol/exporter/
 * @throws FinwaitError CONFIG_INVALID when the endpoint is no URL
 */
export function exportChoice(env: Env): ExportChoice {
  const warnings: string[] = [];
  if (variable(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return { warnings };
  const traces = signalChoice(env, 'TRACES', warnings);
  const metrics = signalChoice(env, 'METRICS', warnings);
  return {
    ...(traces === undefined ? {} : { traces }),
    ...(metrics === undefined ? {} : { metrics }),
    warnings,
  };
}

function signalChoice(env: Env, signal: 'TRACES' | 'METRICS', warnings: string[]): SignalChoice | undefined {
  const named =
    variable(env, `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`) === undefined
      ? 'OTEL_EXPORTER_OTLP_ENDPOINT'
      : `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`;
  const endpoint = variable(env, named);
  if (endpoint === undefined) return undefined;
  const exporters = (variable(env, `OTEL_${signal}_EXPORTER`) ?? 'otlp')
    .split(',')
    .map((name) => name.trim());
  if (exporters.includes('none')) return undefined;
  for (const other of exporters.filter((name) => name !== 'otlp')) {
    warnings.push(`OTEL_${signal}_EXPORTER names ${other}, finwait has otlp and none`);
  }
  if (!exporters.includes('otlp')) return undefined;
  const protocol = protocolOf(env, signal, warnings);
  if (!isUrl(endpoint) && !(protocol === 'grpc' && isUrl(`http://${endpoint}`))) {
    throw new FinwaitError(
      'CONFIG_INVALID',
      `${named} is ${JSON.stringify(endpoint)}, which is no URL`,
      `set it to something like http://127.0.0.1:${protocol === 'grpc' ? 4317 : 4318}, or unset it`,
    );
  }
  return { protocol, endpoint: forPeople(endpoint) };
}

function protocolOf(env: Env, signal: 'TRACES' | 'METRICS', warnings: string[]): OtlpProtocol {
  const given =
    variable(env, `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`) ?? variable(env, 'OTEL_EXPORTER_OTLP_PROTOCOL');
  if (given === 'grpc' || given === 'http/json' || given === 'http/protobuf') return given;
  if (given !== undefined) warnings.push(`the OTLP protocol ${given} is not known, http/protobuf is used`);
  return 'http/protobuf';
}

/** By the specification an empty variable is as good as none. */
function variable(env: Env, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function isUrl(text: string): boolean {
  return /^https?:$/.test(URL.parse(text)?.protocol ?? '');
}

/** An endpoint without what may be secret in it. */
function forPeople(endpoint: string): string {
  const url = URL.parse(endpoint);
  return url === null || url.host === '' ? endpoint : `${url.protocol}//${url.host}${url.pathname}`;
}
