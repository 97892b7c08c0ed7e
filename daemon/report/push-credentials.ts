/** The token and the authorities of a push, read again each time, because both are replaced while the agent runs. */

import { readFile } from 'node:fs/promises';
import type { Condition } from '#base/errors.ts';

const TOKEN_BYTES = 16_384;

export interface Credentials {
  readonly token: string;
  /** PEM; undefined: the authorities Node trusts. */
  readonly ca: string | undefined;
}

/** Answers a condition when one of the two cannot be read. */
export async function readCredentials(
  tokenFile: string,
  caFile: string,
): Promise<Credentials | { readonly condition: Condition }> {
  let token: string;
  try {
    token = (await readFile(tokenFile, 'utf8')).trim();
    if (token === '' || token.length > TOKEN_BYTES || /[^\x21-\x7e]/.test(token)) {
      throw new Error('the file does not hold one token');
    }
  } catch (error) {
    return { condition: fileCondition('TOKEN_UNREADABLE', 'token', '--token-file', tokenFile, error) };
  }
  try {
    return { token, ca: caFile === '' ? undefined : await readFile(caFile, 'utf8') };
  } catch (error) {
    return { condition: fileCondition('OPERATOR_UNREACHABLE', 'CA', '--ca-file', caFile, error) };
  }
}

function fileCondition(
  code: 'TOKEN_UNREADABLE' | 'OPERATOR_UNREACHABLE',
  what: string,
  flag: string,
  path: string,
  error: unknown,
): Condition {
  const why = error instanceof Error ? error.message : String(error);
  return {
    code,
    message: path === '' ? `no ${what} file is named` : `the ${what} file ${path} cannot be used: ${why}`,
    hint: `let ${flag} name the file that the operator's installation made; it is read again for each report`,
  };
}
