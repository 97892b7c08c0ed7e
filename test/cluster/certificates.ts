/** The cluster's certificate authority and what it signs: servers, components, kubelets, the administrator. */

import { randomBytes, webcrypto } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
// The package's injection library wants this first.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import {
  API_SERVER,
  API_SERVICE_ADDRESS,
  CLUSTER_DOMAIN,
  HOST_ADDRESS,
  kubeconfigOf,
  NODES,
  PKI,
} from './layout.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

interface Subject {
  readonly file: string;
  readonly commonName: string;
  readonly organization?: string;
  readonly addresses?: readonly string[];
  readonly names?: readonly string[];
}

const SUBJECTS: readonly Subject[] = [
  {
    file: 'apiserver',
    commonName: 'kube-apiserver',
    addresses: ['127.0.0.1', HOST_ADDRESS, API_SERVICE_ADDRESS],
    names: [
      'localhost',
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
      `kubernetes.default.svc.${CLUSTER_DOMAIN}`,
    ],
  },
  {
    file: 'apiserver-kubelet-client',
    commonName: 'kube-apiserver-kubelet-client',
    organization: 'system:masters',
  },
  { file: 'admin', commonName: 'admin', organization: 'system:masters' },
  { file: 'controller-manager', commonName: 'system:kube-controller-manager' },
  { file: 'scheduler', commonName: 'system:kube-scheduler' },
  { file: 'proxy', commonName: 'system:kube-proxy' },
  { file: 'coredns', commonName: 'coredns', organization: 'system:masters' },
  ...NODES.map(({ name, address }) => ({
    file: name,
    commonName: `system:node:${name}`,
    organization: 'system:nodes',
    addresses: [address],
    names: [name],
  })),
];

/** Who gets a kubeconfig. */
const USERS = [
  'admin',
  'controller-manager',
  'scheduler',
  'proxy',
  'coredns',
  ...NODES.map(({ name }) => name),
];

/** Writes ca.crt, ca.key, a pair for each subject, the service account keys and the kubeconfigs. */
export async function makePki(): Promise<void> {
  mkdirSync(PKI, { recursive: true, mode: 0o700 });
  const caKeys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const validity = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + 30 * DAY_MS) };
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity,
    serialNumber: randomBytes(8).toString('hex'),
    name: 'CN=finwait test cluster',
    keys: caKeys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
  await write('ca', ca, caKeys.privateKey);
  for (const subject of SUBJECTS) {
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.create({
      ...validity,
      serialNumber: randomBytes(8).toString('hex'),
      subject: `CN=${subject.commonName}${subject.organization === undefined ? '' : `, O=${subject.organization}`}`,
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: extensionsOf(subject),
    });
    await write(subject.file, certificate, keys.privateKey);
  }
  const serviceAccounts = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  await writeKey('sa', serviceAccounts.privateKey);
  const publicKey = await webcrypto.subtle.exportKey('spki', serviceAccounts.publicKey);
  writeFileSync(join(PKI, 'sa.pub'), x509.PemConverter.encode(publicKey, 'PUBLIC KEY'));
  for (const user of USERS) writeFileSync(kubeconfigOf(user), kubeconfig(user), { mode: 0o600 });
}

function extensionsOf({ addresses = [], names = [] }: Subject): x509.Extension[] {
  const alternatives = [
    ...addresses.map((value) => ({ type: 'ip' as const, value })),
    ...names.map((value) => ({ type: 'dns' as const, value })),
  ];
  return [
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    ...(alternatives.length > 0 ? [new x509.SubjectAlternativeNameExtension(alternatives)] : []),
  ];
}

async function write(
  file: string,
  certificate: x509.X509Certificate,
  key: webcrypto.CryptoKey,
): Promise<void> {
  writeFileSync(join(PKI, `${file}.crt`), certificate.toString('pem'));
  await writeKey(file, key);
}

async function writeKey(file: string, key: webcrypto.CryptoKey): Promise<void> {
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', key);
  writeFileSync(join(PKI, `${file}.key`), x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'), { mode: 0o600 });
}

/** YAML is a superset of JSON. */
function kubeconfig(user: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'fw', cluster: { server: API_SERVER, 'certificate-authority': join(PKI, 'ca.crt') } }],
    users: [
      {
        name: user,
        user: { 'client-certificate': join(PKI, `${user}.crt`), 'client-key': join(PKI, `${user}.key`) },
      },
    ],
    contexts: [{ name: 'fw', context: { cluster: 'fw', user } }],
    'current-context': 'fw',
  });
}
