/**
 * Where agents push: `POST /v1/reports` over TLS with a bearer token. Everything a stranger can send is
 * bounded in size and time, and every refusal is counted by its code.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { createServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Logger } from '#base/log.ts';
import type { Refusal } from '../http/answer.ts';
import { answerJson, errorBody } from '../http/answer.ts';
import type { ConnectionBounds } from '../http/connections.ts';
import { boundConnections } from '../http/connections.ts';
import { answerFaults } from '../http/faults.ts';
import { answerAndLinger } from '../http/linger.ts';
import type { BoundedServer } from '../http/listen.ts';
import type { Intake } from './intake.ts';
import * as refusals from './refusals.ts';

export interface IngestOptions {
  readonly tls: { readonly cert: string; readonly key: string };
  readonly intake: Intake;
  readonly log: Logger;
  /** How many connections there may be. */
  readonly connections: number;
  readonly limits?: Partial<IngestLimits>;
}

export interface IngestLimits {
  /** From the first byte to the end of the head, and of the whole request. */
  readonly headMs: number;
  readonly requestMs: number;
  readonly handshakeMs: number;
  readonly idleMs: number;
  readonly headBytes: number;
  readonly bounds: Partial<ConnectionBounds>;
}

const LIMITS: IngestLimits = {
  headMs: 5000,
  requestMs: 15_000,
  handshakeMs: 5000,
  // Longer than any report interval: an agent keeps its connection. A stranger's is closed with the answer.
  idleMs: 330_000,
  headBytes: 16_384,
  bounds: {},
};

/** An agent needs one; while it is replaced there are two of a node. */
const CONNECTIONS_PER_NODE = 8;

export interface IngestServer extends BoundedServer {
  readonly server: Server;
  /** Totals since start: reports taken, refusals by code, connections that failed. */
  readonly counters: Readonly<Record<string, number>>;
}

export function createIngestServer(options: IngestOptions): IngestServer {
  const limits = { ...LIMITS, ...options.limits };
  const counters: Record<string, number> = { accepted: 0, aborted: 0, tlsFailed: 0 };
  const count = (name: string): void => {
    counters[name] = (counters[name] ?? 0) + 1;
  };
  const refuse = (refusal: Refusal): Refusal => {
    count(`refused.${refusal.code}`);
    return refusal;
  };

  const server = createServer(
    {
      ...options.tls,
      minVersion: 'TLSv1.2',
      handshakeTimeout: limits.handshakeMs,
      headersTimeout: limits.headMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      maxHeaderSize: limits.headBytes,
      connectionsCheckingInterval: Math.min(1000, limits.headMs / 2),
    },
    (request, response) => {
      answer(request, response).catch((error: unknown) => {
        options.log.log('error', 'a report could not be answered', { error: String((error as Error).stack) });
        if (response.headersSent) response.destroy();
        else answerJson(response, 500, errorBody(refuse(refusals.internal)));
      });
    },
  );
  const connections = boundConnections(
    server,
    {
      total: options.connections,
      perAddress: Math.max(8, options.connections >> 4),
      perClient: CONNECTIONS_PER_NODE,
      ...limits.bounds,
    },
    count,
  );
  // A handshake that failed is no fault of HTTP, which `https` would make of it.
  server.removeAllListeners('tlsClientError');
  server.on('tlsClientError', (error: Error, socket: Duplex) => {
    count('tlsFailed');
    options.log.log('debug', 'a TLS handshake failed', { error: error.message });
    socket.destroy();
  });
  answerFaults(server, { hint: refusals.PLACE_HINT, count });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const outcome = await options.intake(request, (node) => connections.vouch(socket, node));
    if (outcome === 'aborted') {
      count('aborted');
      return void response.destroy();
    }
    if ('acknowledged' in outcome) {
      count('accepted');
      return answerJson(response, 200, `${JSON.stringify(outcome.acknowledged)}\n`);
    }
    refuse(outcome);
    options.log.log('debug', 'a request was refused', { code: outcome.code, message: outcome.message });
    if (!request.complete) return answerAndLinger(request, response, outcome);
    const closing = connections.knows(socket) ? {} : { connection: 'close' };
    answerJson(response, outcome.status, errorBody(outcome), { ...outcome.headers, ...closing });
  }

  return { server, connections, counters };
}
