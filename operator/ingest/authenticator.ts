/** Who speaks: the node's name comes from the token, never from what the agent says about itself. */

import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { FinwaitError } from '#base/errors.ts';
import type { Refusal } from '../http/answer.ts';
import { unauthenticated } from './refusals.ts';

export type Authentication = { readonly node: string } | { readonly refused: Refusal };

/** Tells which node a bearer token speaks for. */
export type Authenticator = (token: string) => Promise<Authentication>;

const MIN_TOKEN_LENGTH = 16;

/**
 * One token that speaks for one node. Both sides are hashed first, so that neither length nor content of the
 * token can be told from the time the comparison takes.
 */
export function staticAuthenticator(token: string, node: string): Authenticator {
  const expected = digest(token);
  return async (given) =>
    timingSafeEqual(digest(given), expected)
      ? { node }
      : { refused: unauthenticated('the token is not known here') };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * Reads the token that agents must show.
 * @throws FinwaitError TOKEN_UNREADABLE
 */
export async function readTokenFile(path: string): Promise<string> {
  const hint = 'give --agent-token-file a readable file that holds one secret of at least 16 characters';
  let token: string;
  try {
    token = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new FinwaitError('TOKEN_UNREADABLE', `the token file ${path} cannot be read`, hint, error);
  }
  if (token.length < MIN_TOKEN_LENGTH || /\s/.test(token)) {
    throw new FinwaitError('TOKEN_UNREADABLE', `the token file ${path} holds no usable token`, hint);
  }
  return token;
}
