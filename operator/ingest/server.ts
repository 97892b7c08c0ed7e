/**
 * Where agents push: `POST /v1/reports` over TLS with a bearer token. Everything a stranger can send is
 * bounded in size and time, and every refusal is counted by its code.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Server } from 'node:https';
import { createServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Logger } from '#base/log.ts';
import { CONTRACT_LIMITS } from '#contract';
import { parseReport } from '../../daemon/contract-parse.ts';
import type { Refusal } from '../answer.ts';
import { answerJson, errorBody, JSON_TYPE } from '../answer.ts';
import type { Authenticator } from './authenticator.ts';
import { parseJson, readBody } from './body.ts';
import type { Receive } from './receiver.ts';
import * as refusals from './refusals.ts';

export interface IngestOptions {
  readonly tls: { readonly cert: string; readonly key: string };
  readonly authenticate: Authenticator;
  readonly receive: Receive;
  readonly log: Logger;
  readonly limits?: Partial<IngestLimits>;
}

export interface IngestLimits {
  /** From the first byte to the end of the head, and of the whole request. */
  readonly headMs: number;
  readonly requestMs: number;
  readonly handshakeMs: number;
  readonly idleMs: number;
  readonly headBytes: number;
  readonly connections: number;
}

const LIMITS: IngestLimits = {
  headMs: 5000,
  requestMs: 15_000,
  handshakeMs: 5000,
  // Longer than any report interval: an agent keeps its connection.
  idleMs: 330_000,
  headBytes: 16_384,
  connections: 10_000,
};

/** After a refusal the rest of a body is read and thrown away, so that the answer is not lost in a reset. */
const LINGER = { ms: 2000, bytes: 16 << 20 };

export interface IngestServer {
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
  server.maxConnections = limits.connections;
  const withoutTls = new WeakSet<Duplex>();
  // Before the listener of `https` itself, which passes the error on as a clientError.
  server.prependListener('tlsClientError', (error, socket) => {
    withoutTls.add(socket);
    count('tlsFailed');
    options.log.log('debug', 'a TLS handshake failed', { error: error.message });
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (withoutTls.has(socket)) return void socket.destroy();
    const answerable = /^(HPE|ERR_HTTP)_/.test(error.code ?? '') && error.code !== 'HPE_INVALID_EOF_STATE';
    if (answerable && socket.writable) {
      refuseRaw(socket, refuse(refusals.ofClientError(error.code)));
    } else {
      count('aborted');
      socket.destroy();
    }
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const outcome = await take(request);
    if (outcome === undefined) {
      count('aborted');
      return void response.destroy();
    }
    if ('acknowledged' in outcome) {
      count('accepted');
      return answerJson(response, 200, `${JSON.stringify(outcome.acknowledged)}\n`);
    }
    const { status } = refuse(outcome);
    options.log.log('debug', 'a request was refused', { code: outcome.code, message: outcome.message });
    const headers = {
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
      ...(status === 405 ? { allow: 'POST' } : {}),
    };
    if (request.complete) answerJson(response, status, errorBody(outcome), headers);
    else answerAndLinger(request, response, outcome, headers);
  }

  /** Undefined when the client went away. */
  async function take(request: IncomingMessage) {
    if (request.url !== '/v1/reports') return refusals.notFound;
    if (request.method !== 'POST') return refusals.methodNotAllowed;
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) return refusals.noToken;
    const identity = await options.authenticate(token);
    if ('refused' in identity) return refusals.unauthenticated(identity.refused);
    if (!isPlainJson(request)) return refusals.notJson;
    const body = await readBody(request, CONTRACT_LIMITS.bodyBytes);
    if (body.kind === 'aborted') return undefined;
    if (body.kind === 'too-large') return refusals.tooLarge;
    const json = parseJson(body.bytes);
    if (!json.ok) return refusals.invalid(`the body ${json.reason}`);
    const report = parseReport(json.value);
    if (!report.ok) return refusals.invalid(report.reason);
    return { acknowledged: await options.receive(identity.node, report.value) };
  }

  return { server, counters };
}

function isPlainJson({ headers }: IncomingMessage): boolean {
  return (
    /^application\/json *(;|$)/i.test(headers['content-type'] ?? '') &&
    /^(identity)?$/i.test(headers['content-encoding'] ?? '')
  );
}

function answerAndLinger(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal,
  headers: Readonly<Record<string, string>>,
): void {
  const body = errorBody(refusal);
  response.writeHead(refusal.status, {
    'content-type': JSON_TYPE,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    ...headers,
  });
  response.write(body);
  let discarded = 0;
  const finish = (): void => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(finish, LINGER.ms);
  request.on('data', (chunk: Buffer) => {
    discarded += chunk.length;
    if (discarded > LINGER.bytes) request.destroy();
  });
  request.once('close', finish);
}

/** Answers on the bare socket, where there is no response object: the request never became one. */
function refuseRaw(socket: Duplex, refusal: Refusal): void {
  const body = errorBody(refusal);
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\nconnection: close\r\n` +
      `content-type: ${JSON_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
