/** Request bodies, bounded while they stream in. */

import type { IncomingMessage } from 'node:http';
import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';

export type Body =
  | { readonly kind: 'complete'; readonly bytes: Buffer }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'aborted' };

/** Reads at most `maxBytes`; of a larger body it stops reading. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Body> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return { kind: 'too-large' };
  const { promise, resolve } = Promise.withResolvers<Body>();
  const chunks: Buffer[] = [];
  let length = 0;
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > maxBytes) resolve({ kind: 'too-large' });
    else chunks.push(chunk);
  });
  request.once('end', () => resolve({ kind: 'complete', bytes: Buffer.concat(chunks) }));
  request.once('close', () => resolve({ kind: 'aborted' }));
  const body = await promise;
  request.removeAllListeners('data');
  return body;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

export function parseJson(bytes: Uint8Array): Decoded<unknown> {
  try {
    return decoded(JSON.parse(UTF8.decode(bytes)));
  } catch (error) {
    return undecodable(error instanceof SyntaxError ? 'is not JSON' : 'is not UTF-8');
  }
}
