/** The operator in its cluster mode as a process of its own, with its own ServiceAccount's rights and no more. */

import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import type { Report } from '#contract';
import type { Overview } from '../../operator/fleet/view.ts';
import { CONFIG_MAPS } from '../../operator/kube/resource.ts';
import type { ApiServer } from '../cluster/api-server.ts';
import { programPath } from '../cluster/programs.ts';
import { NAMESPACE, requestToken } from './agent-tokens.ts';
import type { Child } from './child.ts';
import { ROOT, runProgram, startFinwait } from './child.ts';
import { until } from './until.ts';

export interface ClusterOperator extends AsyncDisposable {
  readonly name: string;
  readonly child: Child;
  readonly ingestPort: number;
  readonly webPort: number;
  overview(): Promise<Overview>;
  /** Posts a report, or any other body, as whoever has the token. */
  post(token: string, body: Report | string, ca: string): Promise<Posted>;
}

export interface Posted {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: {
    readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
    readonly leader?: string;
    readonly seq?: number;
    readonly instance?: string;
  };
}

/** Gives the operator's ServiceAccount the rights that the chart gives it. @returns a kubeconfig of it */
export async function operatorKubeconfig(server: ApiServer, port?: number): Promise<string> {
  const chart = ['template', 'finwait', join(ROOT, 'charts/finwait'), '--namespace', NAMESPACE];
  const shown = ['--show-only', 'templates/operator-rbac.yaml'];
  const { code, stdout, stderr } = await runProgram(programPath('helm'), [...chart, ...shown]);
  if (code !== 0) throw new Error(`helm template: ${stderr}`);
  await server.apply(stdout);
  const account = 'finwait-operator';
  const token = await requestToken(server, {
    account,
    audience: 'https://kubernetes.default.svc',
    pod: undefined,
  });
  return server.kubeconfigFor(account, { token }, port);
}

/** Starts one and waits until it listens. */
export async function startClusterOperator(
  name: string,
  kubeconfig: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<ClusterOperator> {
  const child = startFinwait(
    [
      ...[
        'operator',
        '--kubernetes',
        '--kubeconfig',
        kubeconfig,
        '--namespace',
        NAMESPACE,
        '--pod-name',
        name,
      ],
      ...['--ingest-listen', '127.0.0.1:0', '--web-listen', '127.0.0.1:0', '--tls-mode', 'secret'],
      ...args,
    ],
    { env: { OTEL_EXPORTER_OTLP_ENDPOINT: undefined, ...env } },
  );
  try {
    const [, ingest, web] = await child.output(
      /ready ingest=https:\/\/127\.0\.0\.1:(\d+) web=http:\/\/127\.0\.0\.1:(\d+)/,
      { stream: 'stderr' },
    );
    const [ingestPort, webPort] = [Number(ingest), Number(web)];
    return {
      name,
      child,
      ingestPort,
      webPort,
      overview: async () =>
        (await fetch(`http://127.0.0.1:${webPort}/api/v1/overview`)).json() as Promise<Overview>,
      post: (token, body, ca) =>
        post(ingestPort, token, typeof body === 'string' ? body : JSON.stringify(body), ca),
      [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
    };
  } catch (error) {
    await child[Symbol.asyncDispose]();
    throw error;
  }
}

/** Waits until one of them leads. */
export function leaderOf(operators: readonly ClusterOperator[]): Promise<ClusterOperator> {
  return until('an operator leads', async () => {
    for (const operator of operators) {
      if ((await operator.overview()).operator.leadership?.leads === true) return operator;
    }
    return undefined;
  });
}

/** What agents are to trust, as the operators wrote it. */
export async function caOf(server: ApiServer): Promise<string> {
  const { data } = await server.client.get(CONFIG_MAPS, NAMESPACE, 'finwait-ca');
  return (data as Record<string, string>)['ca.crt'] ?? '';
}

/** Writes it where an agent reads it, as kubelet does. */
export async function mountCa(server: ApiServer, dir: string): Promise<string> {
  const path = join(dir, 'ca.crt');
  await writeFile(path, await caOf(server));
  return path;
}

async function post(port: number, token: string, body: string, ca: string): Promise<Posted> {
  const { promise, resolve, reject } = Promise.withResolvers<Posted>();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const options = { method: 'POST', ca, agent: false, headers } as const;
  request(`https://localhost:${port}/v1/reports`, options, (response) => {
    const { statusCode = 0, headers: got } = response;
    json(response).then(
      (value) =>
        resolve({ status: statusCode, retryAfter: got['retry-after'], body: value as Posted['body'] }),
      reject,
    );
  })
    .on('error', reject)
    .end(body);
  return promise;
}
