/** From a request to a report that was taken, or to why it was not. */

import type { IncomingMessage } from 'node:http';
import type { Acknowledgement } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { parseReport } from '../../daemon/contract-parse.ts';
import type { LeadershipView } from '../fleet/view.ts';
import type { Refusal } from '../http/answer.ts';
import type { Authenticator } from './authenticator.ts';
import { parseJson, readBody } from './body.ts';
import type { Receive } from './receiver.ts';
import * as refusals from './refusals.ts';

/** `aborted`: the client went away. */
export type IntakeOutcome = { readonly acknowledged: Acknowledgement } | Refusal | 'aborted';

/** @param vouch called as soon as it is known which node speaks */
export type Intake = (request: IncomingMessage, vouch: (node: string) => void) => Promise<IntakeOutcome>;

export interface IntakeOptions {
  readonly authenticate: Authenticator;
  readonly receive: Receive;
  /** Whether this operator takes reports, or else who does, if that is known. */
  readonly leadership?: () => LeadershipView;
}

/** Asks the cheap questions first: nothing of a body is read before its sender is known. */
export function createIntake({
  authenticate,
  receive,
  leadership = () => ({ leads: true }),
}: IntakeOptions): Intake {
  return async (request, vouch) => {
    if (request.url !== '/v1/reports') return refusals.notFound;
    if (request.method !== 'POST') return refusals.methodNotAllowed;
    const first = leadership();
    if (!first.leads) return refusals.notLeader(first.leader?.address ?? '');
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) return refusals.noToken;
    const identity = await authenticate(token);
    if ('refused' in identity) return identity.refused;
    vouch(identity.node);
    if (!isPlainJson(request)) return refusals.notJson;
    const body = await readBody(request, CONTRACT_LIMITS.bodyBytes);
    if (body.kind === 'aborted') return 'aborted';
    if (body.kind === 'too-large') return refusals.tooLarge;
    const json = parseJson(body.bytes);
    if (!json.ok) return refusals.invalid(`the body ${json.reason}`);
    const report = parseReport(json.value);
    if (!report.ok) return refusals.invalid(report.reason);
    const said = report.value.agent.node;
    if (said !== undefined && said !== identity.node) return refusals.nodeMismatch(said, identity.node);
    // It may have been lost while the token was reviewed and the body came.
    const still = leadership();
    if (!still.leads) return refusals.notLeader(still.leader?.address ?? '');
    return { acknowledged: await receive(identity.node, report.value) };
  };
}

function isPlainJson({ headers }: IncomingMessage): boolean {
  return (
    /^application\/json *(;|$)/i.test(headers['content-type'] ?? '') &&
    /^(identity)?$/i.test(headers['content-encoding'] ?? '')
  );
}
