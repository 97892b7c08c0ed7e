/** Why the ingest server refuses a request, and what the one who runs the agent can do about it. */

import { CONTRACT_LIMITS } from '#contract';
import type { Refusal } from '../http/answer.ts';

export const PLACE_HINT =
  'agents push to /v1/reports; the pages for people are at the address of --web-listen';
const SAME_VERSION_HINT = 'run agent and operator of the same version';
const BEARER = { 'www-authenticate': 'Bearer' };

export const noToken: Refusal = {
  status: 401,
  code: 'UNAUTHENTICATED',
  message: 'the request has no bearer token',
  hint: 'start the agent with --token-file',
  headers: BEARER,
};

export function unauthenticated(why: string): Refusal {
  return {
    status: 401,
    code: 'UNAUTHENTICATED',
    message: why,
    hint: "give the agent's --token-file the token that the operator has in --agent-token-file",
    headers: BEARER,
  };
}

export function invalid(reason: string): Refusal {
  return { status: 400, code: 'REPORT_INVALID', message: reason, hint: SAME_VERSION_HINT };
}

export const notJson: Refusal = {
  status: 415,
  code: 'REPORT_INVALID',
  message: 'a report is application/json, not compressed',
  hint: SAME_VERSION_HINT,
};

export const tooLarge: Refusal = {
  status: 413,
  code: 'REPORT_TOO_LARGE',
  message: `the report is larger than ${CONTRACT_LIMITS.bodyBytes} bytes`,
  hint: SAME_VERSION_HINT,
};

export const notFound: Refusal = {
  status: 404,
  code: 'NOT_FOUND',
  message: 'there is nothing at this path',
  hint: PLACE_HINT,
};

export const methodNotAllowed: Refusal = {
  status: 405,
  code: 'METHOD_NOT_ALLOWED',
  message: 'reports are sent with POST',
  hint: PLACE_HINT,
  headers: { allow: 'POST' },
};

export const internal: Refusal = {
  status: 500,
  code: 'INTERNAL',
  message: 'the report could not be handled',
  hint: "the operator's log says more",
};
