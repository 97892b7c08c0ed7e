/**
 * One push of one report: HTTPS with a bearer token. Every way it can end is a value.
 *
 * Of several operators only the leader takes reports; the others name its address. The agent remembers it, and
 * goes back to the address it was given when that fails.
 */

import { Agent } from 'node:https';
import { isIP } from 'node:net';
import type { PeerCertificate } from 'node:tls';
import { checkServerIdentity } from 'node:tls';
import type { Condition } from '#base/errors.ts';
import type { Acknowledgement } from '#contract';
import { parseAcknowledgement } from '../contract-parse.ts';
import { leaderOf, leadsNot } from './leader.ts';
import { networkCondition, statusCondition } from './push-conditions.ts';
import { readCredentials } from './push-credentials.ts';
import type { Answer, Destination } from './push-request.ts';
import { sendReport } from './push-request.ts';

/** How a push ended. */
export type PushOutcome =
  | { readonly kind: 'acknowledged'; readonly ack: Acknowledgement }
  /** No answer, or none from the operator: try again soon. */
  | { readonly kind: 'unreachable'; readonly condition: Condition }
  /** The operator asks for patience (503, 429), or leads nobody to the leader (421). */
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
  readonly connectTimeoutMs?: number;
  readonly silenceTimeoutMs?: number;
  readonly totalTimeoutMs?: number;
}

export interface Pusher {
  /** @param signal ends the push early, as `unreachable` */
  push(body: string, signal?: AbortSignal): Promise<PushOutcome>;
  close(): void;
}

/** From a leader that is gone to the address given, to a replica that does not lead, to the leader. */
const MAX_HOPS = 3;

/** A pusher that keeps one connection open between pushes. */
export function createPusher(config: PushConfig): Pusher {
  const { operatorUrl, connectTimeoutMs = 5_000, silenceTimeoutMs = 8_000, totalTimeoutMs = 15_000 } = config;
  // The leader is reached by its address, but its certificate is for the same name as everyone's.
  const serverName = config.serverName || new URL(operatorUrl).hostname.replace(/^\[(.*)\]$/, '$1');
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 1,
    maxFreeSockets: 1,
    // An address cannot be asked for by SNI, but the certificate can still be held against it.
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      checkServerIdentity(serverName, certificate),
  });
  const to: Omit<Destination, 'url'> = { agent, connectTimeoutMs, silenceTimeoutMs, totalTimeoutMs };
  let url = operatorUrl;
  return {
    async push(body, signal) {
      const credentials = await readCredentials(config.tokenFile, config.caFile);
      if ('condition' in credentials) return { kind: 'unreachable', condition: credentials.condition };
      // Back to the address given at most once in a push.
      let turnedBack = url === operatorUrl;
      for (let hops = 1; ; hops++) {
        const asked = url;
        const send = () => sendReport({ ...to, url: asked }, credentials, body, signal);
        const first = await send();
        const answer = 'error' in first && first.stale ? await send() : first;
        const leader = 'error' in answer ? undefined : leaderOf(answer);
        const gone = 'error' in answer || isTurnedAway(answer);
        url = leader ?? (gone ? operatorUrl : asked);
        const goesOn = url !== asked && !(turnedBack && leader === undefined);
        turnedBack ||= url === operatorUrl;
        if (goesOn && hops < MAX_HOPS && signal?.aborted !== true) continue;
        return 'error' in answer
          ? { kind: 'unreachable', condition: networkCondition(answer.error, asked) }
          : outcomeOf(answer, asked);
      }
    },
    close: () => agent.destroy(),
  };
}

/** The one asked takes no reports, for now or any more; another may. A 503 of a leader asks for patience only. */
function isTurnedAway(answer: Answer): boolean {
  const { status } = answer;
  return leadsNot(answer) || status === 404 || (status >= 500 && status !== 503);
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
  if (status === 421 || status === 429 || status === 503) {
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
