/** How the operator's servers answer: JSON, and errors as `{ error: { code, message, hint } }`. */

import type { ServerResponse } from 'node:http';
import type { ErrorCode } from '#base/errors.ts';

export interface Refusal {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Where the operator is that would take the request. */
  readonly leader?: string;
}

export const JSON_TYPE = 'application/json; charset=utf-8';

export function errorBody({ code, message, hint, leader }: Refusal): string {
  return `${JSON.stringify({ error: { code, message, hint }, leader })}\n`;
}

/** Answers JSON with its length. */
export function answerJson(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    'content-type': JSON_TYPE,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...headers,
  });
  response.end(body);
}
