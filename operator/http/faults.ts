/** Answers to what never becomes a request that a handler sees: bytes that are no HTTP, deadlines, CONNECT. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Refusal } from './answer.ts';
import { answerJson, errorBody, JSON_TYPE } from './answer.ts';

export interface FaultOptions {
  /** What this address is for, as the hint. */
  readonly hint: string;
  /** Called with `refused.CODE`, or `aborted` where nobody was left to be answered. */
  readonly count: (event: string) => void;
}

/** Makes a server answer every fault as the handlers do: `{ error: { code, message, hint } }`. */
export function answerFaults(server: Server, { hint, count }: FaultOptions): void {
  const refuse = (refusal: Refusal): Refusal => {
    count(`refused.${refusal.code}`);
    return refusal;
  };
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const answerable = /^(HPE|ERR_HTTP)_/.test(error.code ?? '') && error.code !== 'HPE_INVALID_EOF_STATE';
    if (answerable && socket.writable) return refuseRaw(socket, refuse(ofClientError(error.code, hint)));
    count('aborted');
    socket.destroy();
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    // No server of HTTP listens to this socket's errors any more.
    socket.on('error', () => {});
    refuseRaw(
      socket,
      refuse({ status: 405, code: 'METHOD_NOT_ALLOWED', message: 'this server is no proxy', hint }),
    );
  });
  server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const message = 'the only expectation met here is 100-continue';
    const refusal = refuse({ status: 417, code: 'REQUEST_INVALID', message, hint });
    answerJson(response, refusal.status, errorBody(refusal), { connection: 'close' });
  });
}

function ofClientError(code: string | undefined, hint: string): Refusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return { status: 408, code: 'REQUEST_TIMEOUT', message: 'the request took too long to arrive', hint };
  }
  return code === 'HPE_HEADER_OVERFLOW'
    ? { status: 431, code: 'REQUEST_INVALID', message: 'the head of the request is too large', hint }
    : { status: 400, code: 'REQUEST_INVALID', message: 'the request is not HTTP', hint };
}

/** Answers on the bare socket, where there is no response object. */
function refuseRaw(socket: Duplex, refusal: Refusal): void {
  const body = errorBody(refusal);
  const allow = refusal.status === 405 ? 'allow: GET, HEAD, POST\r\n' : '';
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\nconnection: close\r\n${allow}` +
      `content-type: ${JSON_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
