/** A certificate with its key, read and judged. */

import type { KeyObject } from 'node:crypto';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { IssuedPair } from './issue.ts';

export interface ParsedPair {
  readonly certPem: string;
  readonly keyPem: string;
  readonly cert: X509Certificate;
  readonly key: KeyObject;
}

/** Names every server certificate is for: agents of the same machine use one of them. */
export const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '::1'] as const;

/** @throws when it is no certificate, no key, or they are not of each other */
export function parsePair({ cert: certPem, key: keyPem }: IssuedPair): ParsedPair {
  const [cert, key] = [new X509Certificate(certPem), createPrivateKey(keyPem)];
  if (!cert.checkPrivateKey(key)) throw new Error('the private key is not the key of the certificate');
  return { certPem, keyPem, cert, key };
}

export function isCa({ cert }: ParsedPair): boolean {
  return cert.ca && cert.verify(cert.publicKey);
}

/** Whether a server may still show it: signed by the CA, for all the names, and not due for renewal. */
export function isServerOf(
  { cert }: ParsedPair,
  ca: ParsedPair,
  names: readonly string[],
  nowMs: number,
): boolean {
  return (
    cert.verify(ca.cert.publicKey) &&
    names.every((name) => isFor(cert, name)) &&
    inFirstTwoThirds(cert, nowMs)
  );
}

function isFor(cert: X509Certificate, name: string): boolean {
  return (isIP(name) === 0 ? cert.checkHost(name) : cert.checkIP(name)) !== undefined;
}

/** When two thirds of its life are over: time for a new one. */
function renewAtMs(cert: X509Certificate): number {
  const [from, to] = [cert.validFromDate.getTime(), cert.validToDate.getTime()];
  return from + ((to - from) * 2) / 3;
}

export function inFirstTwoThirds(cert: X509Certificate, nowMs: number): boolean {
  return cert.validFromDate.getTime() <= nowMs && nowMs < renewAtMs(cert);
}

export function isInItsTime(cert: X509Certificate, nowMs: number): boolean {
  return cert.validFromDate.getTime() <= nowMs && nowMs < cert.validToDate.getTime();
}
