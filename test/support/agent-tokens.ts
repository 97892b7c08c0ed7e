/** ServiceAccount tokens as agents have them and as they must not be, of a real API server. */

import { createSign, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ApiServer } from '../cluster/api-server.ts';
import { ISSUER } from '../cluster/api-server.ts';

export const NAMESPACE = 'tcp';
export const AUDIENCE = `finwait.${NAMESPACE}`;

/** Makes the namespace, the ServiceAccounts of agent and operator, and the node. */
export async function prepareNamespace(server: ApiServer, node: string): Promise<void> {
  const account = (name: string) => ({ kind: 'ServiceAccount', metadata: { name, namespace: NAMESPACE } });
  const items = [
    { kind: 'Namespace', metadata: { name: NAMESPACE } },
    account('finwait-agent'),
    account('finwait-operator'),
    account('default'),
    { kind: 'Node', metadata: { name: node } },
    agentPod('agent', node),
    { kind: 'Secret', metadata: { name: 'finwait-tls', namespace: NAMESPACE } },
    { kind: 'ConfigMap', metadata: { name: 'finwait-ca', namespace: NAMESPACE } },
  ];
  for (const item of items) await server.apply(JSON.stringify({ apiVersion: 'v1', ...item }));
}

function agentPod(name: string, nodeName: string): object {
  const containers = [{ name: 'agent', image: 'finwait' }];
  return {
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE },
    spec: { nodeName, serviceAccountName: 'finwait-agent', containers },
  };
}

export interface TokenRequest {
  readonly account?: string;
  readonly audience?: string;
  /** The pod the token is bound to, as kubelet asks for it; undefined for none. */
  readonly pod?: string | undefined;
}

/** Asks the API server for a token as kubelet does. */
export async function requestToken(server: ApiServer, request: TokenRequest = {}): Promise<string> {
  const { account = 'finwait-agent', audience = AUDIENCE } = request;
  const pod = 'pod' in request ? request.pod : 'agent';
  const bound = pod === undefined ? [] : ['--bound-object-kind=Pod', `--bound-object-name=${pod}`];
  const token = await server.kubectl(
    ...['create', 'token', account, '-n', NAMESPACE, `--audience=${audience}`, '--duration=10m'],
    ...bound,
  );
  return token.trim();
}

/** The API server's own key, which signs what no TokenRequest gives: a token that has expired. */
export function ownKey(server: ApiServer): string {
  return readFileSync(join(dirname(server.kubeconfig), 'sa.key'), 'utf8');
}

export function foreignKey(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** A token with the claims of a real one, some of them changed, signed anew. */
export function resigned(token: string, key: string, changes: Readonly<Record<string, unknown>>): string {
  const [, payload = ''] = token.split('.');
  const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), iss: ISSUER, ...changes };
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createSign('RSA-SHA256').update(signed).sign(key, 'base64url')}`;
}
