/** A server certificate that others make and renew, in a mounted directory: tls.crt and tls.key. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FinwaitError } from '#base/errors.ts';
import type { IssuedPair } from './issue.ts';
import { isInItsTime, parsePair } from './pair.ts';

/**
 * Reads the pair that is mounted now.
 * @throws FinwaitError TLS_FILES_UNUSABLE
 */
export async function readMountedPair(dir: string, nowMs: number): Promise<IssuedPair> {
  try {
    const [cert, key] = await Promise.all([
      readFile(join(dir, 'tls.crt'), 'utf8'),
      readFile(join(dir, 'tls.key'), 'utf8'),
    ]);
    if (!isInItsTime(parsePair({ cert, key }).cert, nowMs))
      throw new Error('the certificate is out of its time');
    return { cert, key };
  } catch (error) {
    throw new FinwaitError(
      'TLS_FILES_UNUSABLE',
      `the server certificate in ${dir} cannot be used: ${(error as Error).message}`,
      'let --tls-dir name a directory with tls.crt and tls.key, as a Secret of type kubernetes.io/tls is mounted',
      error,
    );
  }
}
