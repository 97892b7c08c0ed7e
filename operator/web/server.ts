/** The HTTP server of JSON, health and metrics: deadlines, bounds, and answers to what is no request. */

import type { RequestListener } from 'node:http';
import { createServer } from 'node:http';
import { boundConnections } from '../http/connections.ts';
import { answerFaults } from '../http/faults.ts';
import type { BoundedServer } from '../http/listen.ts';
import { PATHS_HINT } from './app.ts';

export interface WebServer extends BoundedServer {
  /** Totals since start: faults answered, connections cut. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface WebLimits {
  readonly headMs: number;
  readonly requestMs: number;
  /** Between requests, and while an answer is not read. */
  readonly idleMs: number;
}

const LIMITS: WebLimits = { headMs: 5000, requestMs: 10_000, idleMs: 30_000 };
const HEAD_BYTES = 16_384;

/** @param connections how many there may be */
export function createWebServer(
  app: RequestListener,
  connections: number,
  limits: WebLimits = LIMITS,
): WebServer {
  const counters: Record<string, number> = {};
  const count = (name: string): void => {
    counters[`web.${name}`] = (counters[`web.${name}`] ?? 0) + 1;
  };
  const server = createServer(
    {
      maxHeaderSize: HEAD_BYTES,
      headersTimeout: limits.headMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: Math.min(1000, limits.headMs / 2),
    },
    app,
  );
  server.setTimeout(limits.idleMs);
  answerFaults(server, { hint: PATHS_HINT, count });
  // Nobody is vouched for here; half of the room is left to other addresses than the busiest.
  const bounds = { total: connections, perAddress: connections >> 1, perClient: connections };
  return { server, counters, connections: boundConnections(server, bounds, count) };
}
