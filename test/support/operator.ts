/** The operator as a process of its own, on free ports, with a directory and a token of its own. */

import { readFile, writeFile } from 'node:fs/promises';
import { request as requestHttp } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import type { Acknowledgement, Report } from '#contract';
import type { Overview } from '../../operator/fleet/view.ts';
import type { Child } from './child.ts';
import { startFinwait } from './child.ts';
import { makeTempDir } from './temp-dir.ts';

export const OPERATOR_TOKEN = 'a-token-of-a-test-0123456789';

export interface OperatorProcess extends AsyncDisposable {
  readonly child: Child;
  readonly ingestPort: number;
  readonly webPort: number;
  readonly caFile: string;
  /** Posts a report as the agent of the node does. */
  send(report: Report): Promise<{ status: number; ack: Acknowledgement }>;
  overview(): Promise<Overview>;
}

export interface OperatorProcessOptions {
  /** Added to the command line; ports and files are given already. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A directory to use again, with what an earlier operator left in it. */
  readonly dir?: string;
  /** A command line that runs the program. */
  readonly within?: readonly string[];
}

/** Settings every operator of a test has: free ports on loopback, a token, a TLS directory. */
export async function operatorArgs(dir: string): Promise<string[]> {
  const tokenFile = join(dir, 'token');
  await writeFile(tokenFile, `${OPERATOR_TOKEN}\n`, { mode: 0o600 });
  return [
    'operator',
    ...['--agent-token-file', tokenFile, '--tls-dir', join(dir, 'tls'), '--node-name', 'ferry'],
    ...['--ingest-listen', '127.0.0.1:0', '--web-listen', '127.0.0.1:0'],
  ];
}

export async function startOperator(options: OperatorProcessOptions = {}): Promise<OperatorProcess> {
  await using cleanup = new AsyncDisposableStack();
  const dir = options.dir ?? cleanup.use(await makeTempDir('operator')).path;
  const args = [...(await operatorArgs(dir)), ...(options.args ?? [])];
  const child = cleanup.use(
    startFinwait(args, { env: { ...NO_TELEMETRY, ...options.env }, within: options.within ?? [] }),
  );
  const [, ingestPort, webPort] = await child.output(
    /ready ingest=https:\/\/127\.0\.0\.1:(\d+) web=http:\/\/127\.0\.0\.1:(\d+)/,
    { stream: 'stderr' },
  );
  const caFile = join(dir, 'tls/ca.crt');
  const kept = cleanup.move();
  return {
    child,
    ingestPort: Number(ingestPort),
    webPort: Number(webPort),
    caFile,
    send: async (report) => post(Number(ingestPort), await readFile(caFile), report),
    overview: () => get(Number(webPort), '/api/v1/overview'),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** What the machine that runs the tests may have set must not reach the operator. */
const NO_TELEMETRY = { OTEL_EXPORTER_OTLP_ENDPOINT: undefined, OTEL_SDK_DISABLED: undefined };

async function post(
  port: number,
  ca: Buffer,
  report: Report,
): Promise<{ status: number; ack: Acknowledgement }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; ack: Acknowledgement }>();
  const headers = { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' };
  request(
    `https://localhost:${port}/v1/reports`,
    { method: 'POST', ca, agent: false, headers },
    (response) => {
      json(response).then(
        (ack) => resolve({ status: response.statusCode ?? 0, ack: ack as Acknowledgement }),
        reject,
      );
    },
  )
    .on('error', reject)
    .end(JSON.stringify(report));
  return promise;
}

async function get(port: number, path: string): Promise<Overview> {
  const { promise, resolve, reject } = Promise.withResolvers<Overview>();
  requestHttp({ host: '127.0.0.1', port, path, agent: false }, (response) => {
    json(response).then((value) => resolve(value as Overview), reject);
  })
    .on('error', reject)
    .end();
  return promise;
}
