/** Why the ingest server refuses a request, and what the one who runs the agent can do about it. */

import { CONTRACT_LIMITS } from '#contract';
import type { Refusal } from '../answer.ts';

const SAME_VERSION_HINT = 'run agent and operator of the same version';

export const noToken: Refusal = {
  status: 401,
  code: 'UNAUTHENTICATED',
  message: 'the request has no bearer token',
  hint: 'start the agent with --token-file',
};

export function unauthenticated(why: string): Refusal {
  return {
    status: 401,
    code: 'UNAUTHENTICATED',
    message: why,
    hint: "give the agent's --token-file the token that the operator has in --agent-token-file",
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
  hint: 'agents push to /v1/reports; the pages for people are at the address of --web-listen',
};

export const methodNotAllowed: Refusal = {
  status: 405,
  code: 'METHOD_NOT_ALLOWED',
  message: 'reports are sent with POST',
  hint: 'agents push to /v1/reports; the pages for people are at the address of --web-listen',
};

export const internal: Refusal = {
  status: 500,
  code: 'INTERNAL',
  message: 'the report could not be handled',
  hint: "the operator's log says more",
};

/** For what Node's parser and deadlines answer before there is a request. */
export function ofClientError(code: string | undefined): Refusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return {
      status: 408,
      code: 'REQUEST_TIMEOUT',
      message: 'the request took too long to arrive',
      hint: 'look at the network between agent and operator',
    };
  }
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  return {
    status,
    code: 'REQUEST_INVALID',
    message: status === 431 ? 'the head of the request is too large' : 'the request is not HTTP',
    hint: 'this address takes reports of finwait agents',
  };
}
