/** Why the ingest server refuses a request, and what the one who runs the agent can do about it. */

import { CONTRACT_LIMITS } from '#contract';
import type { Refusal } from '../http/answer.ts';

export const PLACE_HINT =
  'agents push to /v1/reports; the JSON that people read is at the address of --web-listen';
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

export const expiredToken: Refusal = {
  status: 401,
  code: 'TOKEN_EXPIRED',
  message: 'the token has expired',
  hint: 'kubelet renews the mounted token: let --token-file name the file itself, not a copy of it',
  headers: BEARER,
};

export function foreignToken(why: string): Refusal {
  return {
    status: 401,
    code: 'UNAUTHENTICATED',
    message: `the token is not one of this cluster: ${why.slice(0, 200)}`,
    hint: 'let --token-file name the projected ServiceAccount token of an agent that runs in this cluster',
    headers: BEARER,
  };
}

export function wrongAudience(given: readonly string[], wanted: string): Refusal {
  return {
    status: 401,
    code: 'TOKEN_WRONG_AUDIENCE',
    message: `the token is for ${listed(given)}, not for ${wanted}`,
    hint: `mount a projected token with audience ${wanted}; the operator's --token-audience and the agent's volume must agree`,
    headers: BEARER,
  };
}

export function wrongAccount(given: string, wanted: string): Refusal {
  return {
    status: 403,
    code: 'TOKEN_WRONG_ACCOUNT',
    message: `the token is of ${given.slice(0, 200)}, not of ${wanted}`,
    hint: "run the agent with the ServiceAccount that the operator's --agent-service-account names",
  };
}

export const tokenWithoutNode: Refusal = {
  status: 403,
  code: 'TOKEN_WITHOUT_NODE',
  message: 'the token names no node',
  hint: 'use a projected token, which kubelet binds to the pod and its node; Kubernetes 1.32 or newer writes the node into it',
};

export function nodeMismatch(said: string, node: string): Refusal {
  return {
    status: 403,
    code: 'NODE_MISMATCH',
    message: `the report names the node ${said.slice(0, 253)}, the token is of ${node}`,
    hint: 'an agent speaks for the node it runs on; see whether the token was copied to another one',
  };
}

export const tooManyReviews: Refusal = {
  status: 429,
  code: 'TOO_MANY_REVIEWS',
  message: 'more tokens came than are reviewed in a second',
  hint: 'agents try again by themselves; if it goes on, see who sends tokens to the operator',
  headers: { 'retry-after': '1' },
};

export function reviewFailed(why: string): Refusal {
  return {
    status: 503,
    code: 'REVIEW_FAILED',
    message: `the token could not be reviewed: ${why.slice(0, 200)}`,
    hint: 'see whether the API server answers, and whether the operator may create tokenreviews',
    headers: { 'retry-after': '2' },
  };
}

const NOT_LEADER = {
  code: 'NOT_LEADER',
  hint: 'agents go to the leader by themselves; see the operators when none is found',
} as const;

/** @param leader `https://ADDRESS:PORT`; empty when none is known */
export function notLeader(leader: string): Refusal {
  // The connection is of no more use here.
  const headers = { connection: 'close' };
  if (leader !== '')
    return { ...NOT_LEADER, status: 421, message: 'another operator leads', leader, headers };
  const message = 'no operator leads now';
  return { ...NOT_LEADER, status: 503, message, headers: { ...headers, 'retry-after': '1' } };
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

function listed(audiences: readonly string[]): string {
  return audiences.length === 0 ? 'no audience' : audiences.join(', ').slice(0, 200);
}
