/**
 * A CA and a server certificate that several replicas share, renewed step by step: agents must know a new CA
 * before any replica shows a certificate of it, and the old one for as long as any replica may still show its.
 *
 *   life of the CA  |--------- 2/3 ---------|-- a day --|
 *   signs            ca                      ca          next becomes ca, ca becomes previous
 *   agents trust     ca                      ca, next    ca, previous (two more days)
 */

import type { IssuedPair } from './issue.ts';
import type { ParsedPair } from './pair.ts';
import { inFirstTwoThirds, isCa, isInItsTime, isServerOf, LOOPBACK_NAMES, parsePair } from './pair.ts';

/** What is kept, PEM by name; all may be absent. */
export interface Keyring {
  readonly 'ca.crt'?: string;
  readonly 'ca.key'?: string;
  readonly 'next-ca.crt'?: string;
  readonly 'next-ca.key'?: string;
  readonly 'previous-ca.crt'?: string;
  readonly 'tls.crt'?: string;
  readonly 'tls.key'?: string;
}

export interface Rotated {
  readonly keyring: Keyring;
  /** What agents are to trust, PEM. */
  readonly bundle: string;
  readonly served: IssuedPair;
  /** What was made or changed; empty: the keyring is as it was. */
  readonly made: readonly string[];
}

const OVERLAP_MS = 86_400_000;

/**
 * Takes what is kept one step further, if a step is due.
 * @param names further names and addresses the server certificate must be for
 */
export async function rotate(kept: Keyring, names: readonly string[], nowMs: number): Promise<Rotated> {
  const made: string[] = [];
  const note = (what: string): void => void made.push(what);
  let previous = kept['previous-ca.crt'];
  let next = usableCa(kept['next-ca.crt'], kept['next-ca.key'], nowMs);
  let ca = usableCa(kept['ca.crt'], kept['ca.key'], nowMs);
  if (ca === undefined) {
    note('ca');
    ca = await newCa(nowMs);
    [next, previous] = [undefined, undefined];
  } else if (inFirstTwoThirds(ca.cert, nowMs)) {
    next = undefined;
  } else if (next === undefined) {
    note('next ca');
    next = await newCa(nowMs);
  } else if (ageMs(next, nowMs) >= OVERLAP_MS) {
    note('change of ca');
    previous = ca.certPem;
    [ca, next] = [next, undefined];
  }
  if (previous !== undefined && ageMs(ca, nowMs) >= 3 * OVERLAP_MS) {
    note('farewell to the previous ca');
    previous = undefined;
  }
  const server = await serverOf(kept, ca, [...new Set([...LOOPBACK_NAMES, ...names])], nowMs, note);
  return {
    keyring: {
      'ca.crt': ca.certPem,
      'ca.key': ca.keyPem,
      ...(next && { 'next-ca.crt': next.certPem, 'next-ca.key': next.keyPem }),
      ...(previous && { 'previous-ca.crt': previous }),
      'tls.crt': server.certPem,
      'tls.key': server.keyPem,
    },
    bundle: [ca.certPem, next?.certPem ?? '', previous ?? ''].join(''),
    served: { cert: server.certPem, key: server.keyPem },
    made,
  };
}

async function serverOf(
  kept: Keyring,
  ca: ParsedPair,
  names: readonly string[],
  nowMs: number,
  note: (what: string) => void,
): Promise<ParsedPair> {
  const stored = parsed(kept['tls.crt'], kept['tls.key']);
  if (stored !== undefined && isServerOf(stored, ca, names, nowMs)) return stored;
  note('server');
  const { issueServer } = await import('./issue.ts');
  return parsePair(await issueServer({ cert: ca.certPem, key: ca.key }, names, nowMs));
}

async function newCa(nowMs: number): Promise<ParsedPair> {
  const { issueCa } = await import('./issue.ts');
  return parsePair(await issueCa(nowMs));
}

function usableCa(cert: string | undefined, key: string | undefined, nowMs: number): ParsedPair | undefined {
  const pair = parsed(cert, key);
  return pair !== undefined && isCa(pair) && isInItsTime(pair.cert, nowMs) ? pair : undefined;
}

/** Undefined for what is missing or damaged: it is made anew. */
function parsed(cert: string | undefined, key: string | undefined): ParsedPair | undefined {
  if (cert === undefined || key === undefined) return undefined;
  try {
    return parsePair({ cert, key });
  } catch {
    return undefined;
  }
}

function ageMs({ cert }: ParsedPair, nowMs: number): number {
  return nowMs - cert.validFromDate.getTime();
}
