/** Makes certificates: a CA of the operator's own, and server certificates signed by it. */

// The certificate library's dependency container asks for it when it loads.
import 'reflect-metadata';
import type { KeyObject } from 'node:crypto';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

/** A certificate and its private key, as PEM. */
export interface IssuedPair {
  readonly cert: string;
  readonly key: string;
}

const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** A peer whose clock is a little behind must not find the certificate not valid yet. */
const BACKDATED_MS = 5 * 60_000;

const CA_LIFE_MS = 3650 * DAY_MS;
const SERVER_LIFE_MS = 90 * DAY_MS;

/** A self-signed CA that may sign leaf certificates only. */
export async function issueCa(nowMs: number): Promise<IssuedPair> {
  const keys = await newKeys();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity(nowMs, CA_LIFE_MS),
    serialNumber: newSerial(),
    // Two CAs of finwait must not share a name, or a client that knows the older one blames the signature.
    name: `CN=finwait operator CA ${randomBytes(4).toString('hex')}`,
    keys,
    signingAlgorithm: ECDSA_P256,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return pair(cert, keys);
}

/**
 * A server certificate.
 * @param names host names and addresses it is for
 */
export async function issueServer(
  ca: { readonly cert: string; readonly key: KeyObject },
  names: readonly string[],
  nowMs: number,
): Promise<IssuedPair> {
  const keys = await newKeys();
  const caCert = new x509.X509Certificate(ca.cert);
  const cert = await x509.X509CertificateGenerator.create({
    ...validity(nowMs, SERVER_LIFE_MS),
    serialNumber: newSerial(),
    subject: 'CN=finwait operator',
    issuer: caCert.subject,
    publicKey: keys.publicKey,
    signingKey: ca.key.toCryptoKey(ECDSA_P256, false, ['sign']),
    signingAlgorithm: ECDSA_P256,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((name) => ({ type: isIP(name) === 0 ? ('dns' as const) : ('ip' as const), value: name })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(caCert.publicKey),
    ],
  });
  return pair(cert, keys);
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);
}

/** 127 random bits: positive, never zero, at most 20 octets (RFC 5280, 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function validity(nowMs: number, lifeMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(nowMs - BACKDATED_MS), notAfter: new Date(nowMs + lifeMs) };
}

async function pair(cert: x509.X509Certificate, keys: webcrypto.CryptoKeyPair): Promise<IssuedPair> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const body = pkcs8.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return {
    cert: `${cert.toString('pem')}\n`,
    key: `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`,
  };
}
