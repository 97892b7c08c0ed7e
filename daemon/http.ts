/** The agent's own HTTP server: liveness, readiness, metrics. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import type { HostPort } from '#base/host-port.ts';
import { hostPortText } from '#base/host-port.ts';
import { noPortFree } from '#base/no-port-free.ts';
import { PROM_CONTENT_TYPE } from '#base/prom-text.ts';

// An `import` of node:http loads all it has to offer, fetch and HTTP/2 among it: 6 MiB that are not used here.
const { createServer } = process.getBuiltinModule('node:http');

/**
 * A worker whose last sign of life is older than this hangs. Signs are milliseconds of work apart, but on a loaded machine
 * a thread may have to wait for seconds until it may work, and it is to see the load, not to be restarted for it.
 */
const HEARTBEAT_LIMIT_MS = 30_000;
const MAX_CONNECTIONS = 64;
const TIMEOUT_MS = 10_000;

/** What the server tells, asked at each request. */
export interface AgentStatus {
  /** Age of each worker's last sign of life, by the worker's name. */
  heartbeatsMs(): Readonly<Record<string, number>>;
  /** What readiness still waits for; empty when the agent is ready. */
  waitingFor(): readonly string[];
  conditions(): readonly Condition[];
  /** Prometheus text. */
  metrics(): string;
}

export interface AgentServer {
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Starts to serve.
 * @throws FinwaitError PORT_IN_USE, LISTEN_FAILED
 */
export async function serveAgent(listen: HostPort, status: AgentStatus): Promise<AgentServer> {
  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: TIMEOUT_MS,
      requestTimeout: TIMEOUT_MS,
      keepAliveTimeout: TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_MS,
    },
    (request, response) => answer(request, response, status),
  );
  server.maxConnections = MAX_CONNECTIONS;
  await listening(server, listen);
  const { address, port } = server.address() as AddressInfo;
  return {
    address,
    port,
    async close() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

function listening(server: Server, { host, port }: HostPort): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
  server.listen({ host, port }, resolve);
  return promise;
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): FinwaitError {
  const where = hostPortText(host, port);
  if (error.code === 'EADDRINUSE' && port === 0) return noPortFree(host, error);
  return error.code === 'EADDRINUSE'
    ? new FinwaitError(
        'PORT_IN_USE',
        `the agent cannot listen on ${where}: the port is taken`,
        `end what listens there (finwait sockets --listening --local-port ${port} names it), or give another --http-listen; port 0 takes any free port`,
        error,
      )
    : new FinwaitError(
        'LISTEN_FAILED',
        `the agent cannot listen on ${where}: ${error.message}`,
        'let --http-listen name an address of this machine and a port this user may listen on',
        error,
      );
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const JSON_TYPE = 'application/json; charset=utf-8';

function answer(request: IncomingMessage, response: ServerResponse, status: AgentStatus): void {
  // Nothing here reads a body; what a stranger sends is discarded.
  request.resume();
  const { pathname } = URL.parse(request.url ?? '', 'http://agent') ?? { pathname: '' };
  const route = Object.hasOwn(ROUTES, pathname) ? ROUTES[pathname] : undefined;
  const allowed = request.method === 'GET' || request.method === 'HEAD';
  const {
    status: code,
    type,
    body,
  } = route === undefined ? notFound() : allowed ? route(status) : json(405, { error: 'only GET and HEAD' });
  if (code === 405) response.setHeader('allow', 'GET, HEAD');
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

const ROUTES: Readonly<Record<string, (status: AgentStatus) => Answer>> = {
  '/healthz': health,
  '/readyz': readiness,
  '/metrics': (status) => ({ status: 200, type: PROM_CONTENT_TYPE, body: status.metrics() }),
};

/** Liveness is the workers' heartbeats, and that this thread answers; not whether the operator can be reached. */
function health(status: AgentStatus): Answer {
  const heartbeatsMs = status.heartbeatsMs();
  const hanging = Object.keys(heartbeatsMs).filter((name) => (heartbeatsMs[name] ?? 0) > HEARTBEAT_LIMIT_MS);
  return json(hanging.length === 0 ? 200 : 503, { healthy: hanging.length === 0, hanging, heartbeatsMs });
}

function readiness(status: AgentStatus): Answer {
  const waitingFor = status.waitingFor();
  const ready = waitingFor.length === 0;
  return json(ready ? 200 : 503, { ready, waitingFor, conditions: status.conditions() });
}

function notFound(): Answer {
  return json(404, { error: 'not found', paths: Object.keys(ROUTES) });
}

function json(status: number, value: unknown): Answer {
  return { status, type: JSON_TYPE, body: `${JSON.stringify(value, undefined, 2)}\n` };
}
