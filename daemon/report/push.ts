/**
 * One push of one report: HTTPS with a bearer token. Every way it can end is a value. Token and CA are read again
 * each time, because both are replaced while the agent runs.
 */

import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { isIP } from 'node:net';
import type { PeerCertificate } from 'node:tls';
import { checkServerIdentity } from 'node:tls';
import type { Condition } from '#base/errors.ts';
import { VERSION } from '#base/version.ts';
import type { Acknowledgement } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { parseAcknowledgement } from '../contract-parse.ts';
import { networkCondition, statusCondition } from './push-conditions.ts';

/** How a push ended. */
export type PushOutcome =
  | { readonly kind: 'acknowledged'; readonly ack: Acknowledgement }
  /** No answer, or none from the operator: try again soon. */
  | { readonly kind: 'unreachable'; readonly condition: Condition }
  /** The operator asks for patience (503, 429). */
  | { readonly kind: 'unavailable'; readonly condition: Condition; readonly retryAfterMs: number | undefined }
  /** The token is not accepted (401, 403): someone has to do something. */
  | { readonly kind: 'unauthorized'; readonly condition: Condition }
  /** This very report will never be accepted (400, 413, 422). */
  | { readonly kind: 'invalid'; readonly condition: Condition };

export interface PushConfig {
  /** `https://HOST:PORT` */
  readonly operatorUrl: string;
  readonly tokenFile: string;
  /** Empty: the authorities Node trusts. */
  readonly caFile: string;
  /** Empty: the URL's host. */
  readonly serverName: string;
  /** Until the TLS handshake is done. */
  readonly connectTimeoutMs?: number;
  /** Until the answer is whole. */
  readonly totalTimeoutMs?: number;
}

export interface Pusher {
  /** @param signal ends the push early, as `unreachable` */
  push(body: string, signal?: AbortSignal): Promise<PushOutcome>;
  close(): void;
}

const TOKEN_BYTES = 16_384;

/** A pusher that keeps one connection open between pushes. */
export function createPusher(config: PushConfig): Pusher {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
  return {
    async push(body, signal) {
      const credentials = await readCredentials(config);
      if ('condition' in credentials) return { kind: 'unreachable', condition: credentials.condition };
      const send = () => sendOnce(config, agent, credentials, body, signal);
      const first = await send();
      const answer = 'error' in first && first.stale ? await send() : first;
      return 'error' in answer
        ? { kind: 'unreachable', condition: networkCondition(answer.error, config.operatorUrl) }
        : outcomeOf(answer, config.operatorUrl);
    },
    close: () => agent.destroy(),
  };
}

interface Credentials {
  readonly token: string;
  readonly ca: string | undefined;
}

async function readCredentials(config: PushConfig): Promise<Credentials | { readonly condition: Condition }> {
  const { tokenFile, caFile } = config;
  let token: string;
  try {
    token = (await readFile(tokenFile, 'utf8')).trim();
    if (token === '' || token.length > TOKEN_BYTES || /[^\x21-\x7e]/.test(token)) {
      throw new Error('the file does not hold one token');
    }
  } catch (error) {
    return { condition: fileCondition('TOKEN_UNREADABLE', 'token', '--token-file', tokenFile, error) };
  }
  try {
    return { token, ca: caFile === '' ? undefined : await readFile(caFile, 'utf8') };
  } catch (error) {
    return { condition: fileCondition('OPERATOR_UNREACHABLE', 'CA', '--ca-file', caFile, error) };
  }
}

function fileCondition(
  code: 'TOKEN_UNREADABLE' | 'OPERATOR_UNREACHABLE',
  what: string,
  flag: string,
  path: string,
  error: unknown,
): Condition {
  const why = error instanceof Error ? error.message : String(error);
  return {
    code,
    message: path === '' ? `no ${what} file is named` : `the ${what} file ${path} cannot be used: ${why}`,
    hint: `let ${flag} name the file that the operator's installation made; it is read again for each report`,
  };
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

/** `stale`: the operator closed the idle connection just as it was used, which says nothing about the operator. */
type Sent = Answer | { readonly error: Error; readonly stale: boolean };

function sendOnce(
  config: PushConfig,
  agent: Agent,
  credentials: Credentials,
  body: string,
  signal: AbortSignal | undefined,
): Promise<Sent> {
  const { connectTimeoutMs = 5_000, totalTimeoutMs = 15_000, serverName } = config;
  const { promise, resolve } = Promise.withResolvers<Sent>();
  const req = request(new URL('/v1/reports', config.operatorUrl), {
    method: 'POST',
    agent,
    ca: credentials.ca,
    // An address cannot be asked for by SNI, but the certificate can still be held against it.
    ...(serverName === '' || isIP(serverName) !== 0 ? {} : { servername: serverName }),
    ...(isIP(serverName) === 0
      ? {}
      : {
          checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
            checkServerIdentity(serverName, certificate),
        }),
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
  const connecting = late(connectTimeoutMs);
  const answering = late(totalTimeoutMs);
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

function outcomeOf(answer: Answer, operatorUrl: string): PushOutcome {
  const { status, text, retryAfter } = answer;
  const json = parseJson(text);
  if (status === 200) {
    const ack = parseAcknowledgement(json);
    if (ack.ok) return { kind: 'acknowledged', ack: ack.value };
    return { kind: 'unreachable', condition: statusCondition(status, { reason: ack.reason }, operatorUrl) };
  }
  const condition = statusCondition(status, json, operatorUrl);
  if (status === 401 || status === 403) return { kind: 'unauthorized', condition };
  if (status === 400 || status === 413 || status === 422) return { kind: 'invalid', condition };
  if (status === 429 || status === 503) {
    const seconds = retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined;
    return {
      kind: 'unavailable',
      condition,
      retryAfterMs: seconds === undefined ? undefined : seconds * 1000,
    };
  }
  return { kind: 'unreachable', condition };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
