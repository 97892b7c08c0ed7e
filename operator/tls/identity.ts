/**
 * The operator's TLS identity in a directory: ca.crt (which agents trust), ca.key, server.crt, server.key.
 * What is there, valid and fitting is used again; the rest is made anew and written so that a crash leaves
 * either the old file or the new one.
 */

import { chmod, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FinwaitError } from '#base/errors.ts';
import { makeDirectory } from '#base/make-directory.ts';
import type { IssuedPair } from './issue.ts';
import type { ParsedPair } from './pair.ts';
import { inFirstTwoThirds, isCa, isServerOf, LOOPBACK_NAMES, parsePair } from './pair.ts';

export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  /** Path of the CA certificate. */
  readonly caFile: string;
  /** What had to be made anew. */
  readonly made: readonly ('ca' | 'server')[];
}

/**
 * Reads or makes the identity.
 * @param names further names and addresses the server certificate must be for
 * @throws FinwaitError TLS_DIR_UNUSABLE
 */
export async function ensureTlsIdentity(
  dir: string,
  names: readonly string[],
  nowMs: number,
): Promise<TlsIdentity> {
  try {
    await makeDirectory(dir, 0o700);
    return await readOrMake(dir, [...new Set([...LOOPBACK_NAMES, ...names])], nowMs);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new FinwaitError(
      'TLS_DIR_UNUSABLE',
      `the TLS directory ${dir} cannot be used: ${error.message}`,
      'give --tls-dir a directory that the operator may read and write',
      error,
    );
  }
}

async function readOrMake(dir: string, names: readonly string[], nowMs: number): Promise<TlsIdentity> {
  const caFile = join(dir, 'ca.crt');
  const storedCa = await readPair(dir, 'ca');
  const caFits = storedCa !== undefined && isCa(storedCa) && inFirstTwoThirds(storedCa.cert, nowMs);
  const ca = caFits ? storedCa : parsePair(await issueAndWrite(dir, 'ca', (issue) => issue.issueCa(nowMs)));

  const storedServer = caFits ? await readPair(dir, 'server') : undefined;
  const serverFits = storedServer !== undefined && isServerOf(storedServer, ca, names, nowMs);
  const server = serverFits
    ? storedServer
    : parsePair(
        await issueAndWrite(dir, 'server', (issue) =>
          issue.issueServer({ cert: ca.certPem, key: ca.key }, names, nowMs),
        ),
      );
  return {
    cert: server.certPem,
    key: server.keyPem,
    caFile,
    made: [...(caFits ? [] : ['ca' as const]), ...(serverFits ? [] : ['server' as const])],
  };
}

/** Undefined when a file is missing or damaged: both are made anew. */
async function readPair(dir: string, name: 'ca' | 'server'): Promise<ParsedPair | undefined> {
  const [cert, key] = await Promise.all([
    readIfThere(join(dir, `${name}.crt`)),
    readIfThere(join(dir, `${name}.key`)),
  ]);
  if (cert === undefined || key === undefined) return undefined;
  try {
    const stored = parsePair({ cert, key });
    await chmod(join(dir, `${name}.key`), 0o600);
    return stored;
  } catch (error) {
    if (isSystemError(error) && error.syscall === 'chmod') throw error;
    return undefined;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isSystemError(error) && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The library that issues certificates is loaded only when one has to be issued. */
async function issueAndWrite(
  dir: string,
  name: 'ca' | 'server',
  make: (issue: typeof import('./issue.ts')) => Promise<IssuedPair>,
): Promise<IssuedPair> {
  const issued = await make(await import('./issue.ts'));
  await writeAtomically(join(dir, `${name}.key`), issued.key, 0o600);
  await writeAtomically(join(dir, `${name}.crt`), issued.cert, 0o644);
  return issued;
}

async function writeAtomically(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await using file = await open(temporary, 'wx', mode);
  await file.writeFile(text);
  await file.sync();
  await rename(temporary, path);
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
