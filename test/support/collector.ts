/**
 * A real OpenTelemetry Collector (scripts/collector.ts builds it), OTLP in over gRPC and HTTP; what
 * it accepted can be read back. It can be stopped and started again on the same ports.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { collectorPath } from '../../scripts/collector.ts';
import type { Child } from './child.ts';
import { ROOT, startProgram } from './child.ts';
import type { CollectedPoint, CollectedSpan, MetricsBody, TracesBody } from './otlp-json.ts';
import { pointsOf, spansOf } from './otlp-json.ts';
import { freePorts } from './ports.ts';
import { makeTempDir } from './temp-dir.ts';

export interface Collector extends AsyncDisposable {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT with OTEL_EXPORTER_OTLP_PROTOCOL http/protobuf or http/json. */
  readonly httpEndpoint: string;
  /** For OTEL_EXPORTER_OTLP_ENDPOINT with OTEL_EXPORTER_OTLP_PROTOCOL grpc. */
  readonly grpcEndpoint: string;
  /** Waits until at least `count` spans match, and gives all that do. */
  spans(match: (span: CollectedSpan) => boolean, options?: ReadOptions): Promise<CollectedSpan[]>;
  /** Waits until at least `count` metric points match, and gives all that do, oldest first. */
  metrics(match: (point: CollectedPoint) => boolean, options?: ReadOptions): Promise<CollectedPoint[]>;
  /** Ends the Collector; what it accepted is kept. */
  stop(): Promise<void>;
  /** Starts it again on the same ports. */
  start(): Promise<void>;
}

export interface ReadOptions {
  readonly count?: number;
  readonly timeoutMs?: number;
}

export interface CollectorOptions {
  /** A command line to run it in: `Netns.enter`. */
  readonly within?: readonly string[];
  /** False to begin with none listening. */
  readonly started?: boolean;
  /** Where it listens; loopback by default. */
  readonly host?: string;
}

const READY_MS = 60_000;
const READ_MS = 40_000;

/** Starts a Collector and waits until it accepts data. */
export async function startCollector({
  within = [],
  started = true,
  host = '127.0.0.1',
}: CollectorOptions = {}): Promise<Collector> {
  await using cleanup = new AsyncDisposableStack();
  const dir = cleanup.use(await makeTempDir('collector'));
  const sink = cleanup.use(
    startProgram(process.execPath, [join(ROOT, 'test/support/otlp-sink.ts')], { within }),
  );
  const [, sinkPort] = await sink.output(/\{"port":(\d+)\}\n/);
  const [grpcPort = 0, httpPort = 0] = await freePorts(2);
  const configFile = join(dir.path, 'collector.yaml');
  writeFileSync(configFile, configText(host, grpcPort, httpPort, Number(sinkPort)));

  let running: Child | undefined;
  const start = async () => {
    running = startProgram(collectorPath(), ['--config', configFile], { within });
    await running.output(/Everything is ready/, { stream: 'stderr', timeoutMs: READY_MS });
  };
  const stop = async () => {
    const child = running;
    running = undefined;
    await child?.stop('SIGTERM');
  };
  cleanup.defer(stop);
  if (started) await start();

  const kept = cleanup.move();
  return {
    httpEndpoint: `http://${host}:${httpPort}`,
    grpcEndpoint: `http://${host}:${grpcPort}`,
    spans: (match, options) => read(sink, 'spans', (lines) => spansIn(lines).filter(match), options),
    metrics: (match, options) => read(sink, 'points', (lines) => pointsIn(lines).filter(match), options),
    stop,
    start,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function read<T>(
  sink: Child,
  what: string,
  find: (lines: readonly SinkLine[]) => T[],
  { count = 1, timeoutMs = READ_MS }: ReadOptions = {},
): Promise<T[]> {
  const deadlineMs = Date.now() + timeoutMs;
  for (;;) {
    const seen = sink.stdout.length;
    const lines = linesOf(sink.stdout);
    const found = find(lines);
    if (found.length >= count) return found;
    const leftMs = deadlineMs - Date.now();
    const problem = `${found.length} ${what} of ${count} reached the Collector within ${timeoutMs} ms`;
    if (leftMs <= 0) throw new Error(`${problem}; it has: ${summary(lines)}`);
    await sink.output(/\n/, { after: seen, timeoutMs: leftMs }).catch(() => {});
  }
}

type SinkLine = { readonly path?: string; readonly body?: TracesBody & MetricsBody };

function linesOf(text: string): SinkLine[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function spansIn(lines: readonly SinkLine[]): CollectedSpan[] {
  return lines.flatMap(({ body }) => spansOf(body ?? {}));
}

function pointsIn(lines: readonly SinkLine[]): CollectedPoint[] {
  return lines.flatMap(({ body }) => pointsOf(body ?? {}));
}

function summary(lines: readonly SinkLine[]): string {
  const names = [...spansIn(lines), ...pointsIn(lines)].map(({ name }) => name);
  return names.length === 0 ? 'nothing' : [...new Set(names)].join(', ');
}

function configText(host: string, grpcPort: number, httpPort: number, sinkPort: number): string {
  return `receivers:
  otlp:
    protocols:
      grpc: { endpoint: '${host}:${grpcPort}' }
      http: { endpoint: '${host}:${httpPort}' }
exporters:
  otlp_http:
    endpoint: http://127.0.0.1:${sinkPort}
    encoding: json
    compression: none
    sending_queue: { enabled: false }
service:
  telemetry:
    metrics: { level: none }
  pipelines:
    traces: { receivers: [otlp], exporters: [otlp_http] }
    metrics: { receivers: [otlp], exporters: [otlp_http] }
`;
}
