/** Refusing a request whose body is still coming. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Refusal } from './answer.ts';
import { errorBody, JSON_TYPE } from './answer.ts';

/** The rest of the body is read and thrown away, so that the answer is not lost in a reset. */
const LINGER = { ms: 2000, bytes: 16 << 20 };

/** Answers at once, and closes the connection when the body has come or enough of it was thrown away. */
export function answerAndLinger(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  const body = errorBody(refusal);
  response.writeHead(refusal.status, {
    'content-type': JSON_TYPE,
    'content-length': Buffer.byteLength(body),
    ...refusal.headers,
    connection: 'close',
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
