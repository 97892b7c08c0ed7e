/** One HTTPS request with a report: from the name look-up to the whole answer, each within its time. */

import type { IncomingMessage } from 'node:http';
import type { Agent } from 'node:https';
import { request } from 'node:https';
import { VERSION } from '#base/version.ts';
import { CONTRACT_LIMITS } from '#contract';
import type { Credentials } from './push-credentials.ts';

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

/** `stale`: the operator closed the idle connection just as it was used, which says nothing about the operator. */
export type Sent = Answer | { readonly error: Error; readonly stale: boolean };

export interface Destination {
  /** `https://HOST:PORT` */
  readonly url: string;
  /** Keeps the connection between requests, and checks the certificate. */
  readonly agent: Agent;
  /** Until the TLS handshake is done, without any byte either way, and until the answer is whole. */
  readonly connectTimeoutMs: number;
  readonly silenceTimeoutMs: number;
  readonly totalTimeoutMs: number;
}

/** Never rejects. @param signal ends the request early */
export function sendReport(
  to: Destination,
  credentials: Credentials,
  body: string,
  signal: AbortSignal | undefined,
): Promise<Sent> {
  const { promise, resolve } = Promise.withResolvers<Sent>();
  const req = request(new URL('/v1/reports', to.url), {
    method: 'POST',
    agent: to.agent,
    ca: credentials.ca,
    timeout: to.silenceTimeoutMs,
    headers: {
      authorization: `Bearer ${credentials.token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'user-agent': `finwait-agent/${VERSION}`,
    },
  });
  let missing = 'no address for its name';
  const late = (ms: number) =>
    setTimeout(() => req.destroy(new Error(`${missing} within ${ms / 1000} s`)), ms);
  const connecting = late(to.connectTimeoutMs);
  const answering = late(to.totalTimeoutMs);
  const connected = () => {
    missing = 'no answer';
    clearTimeout(connecting);
  };
  const end = () => req.destroy(new Error('the agent is ending'));
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();
  const settle = (sent: Sent) => {
    clearTimeout(connecting);
    clearTimeout(answering);
    signal?.removeEventListener('abort', end);
    resolve(sent);
  };
  req.on('socket', (socket) => {
    if (req.reusedSocket) return connected();
    socket.once('lookup', () => {
      missing = 'no TCP connection';
    });
    socket.once('connect', () => {
      missing = 'no TLS handshake';
    });
    socket.once('secureConnect', connected);
  });
  req.on('timeout', () =>
    req.destroy(new Error(`${missing} within ${to.silenceTimeoutMs / 1000} s of silence`)),
  );
  req.on('error', (error) => settle({ error, stale: req.reusedSocket && isDisconnect(error) }));
  req.on('response', (response) => {
    readText(response).then(
      (text) =>
        settle({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'], text }),
      (error: Error) => settle({ error, stale: false }),
    );
  });
  req.end(body);
  return promise;
}

function isDisconnect(error: Error): boolean {
  return 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > CONTRACT_LIMITS.bodyBytes)
      throw new Error('the answer is larger than an acknowledgement can be');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
