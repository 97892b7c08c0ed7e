/** A real kube-apiserver on a real etcd, alone and on loopback: for tests of what talks to it. Ready in seconds. */

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient } from '../../operator/kube/client.ts';
import { createKubeClient } from '../../operator/kube/client.ts';
import type { Child } from '../support/child.ts';
import { runProgram, startProgram } from '../support/child.ts';
import { freePorts } from '../support/ports.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { buildPrograms, programPath } from './programs.ts';

export interface ApiServer extends AsyncDisposable {
  readonly port: number;
  readonly etcdUrl: string;
  /** Of the administrator. */
  readonly kubeconfig: string;
  readonly client: KubeClient;
  /** Runs kubectl as the administrator; fails with what it said. */
  kubectl(...args: readonly string[]): Promise<string>;
  /** Applies YAML or JSON text. */
  apply(text: string): Promise<string>;
  /** Writes a kubeconfig; the token may be a file that is read again, the port that of a proxy. */
  kubeconfigFor(name: string, user: object, port?: number): string;
}

export const ISSUER = 'https://kubernetes.default.svc';
const ADMIN_TOKEN = 'administrator-of-the-test';
const READY_TIMEOUT_MS = 180_000;

export async function startApiServer(
  options: { readonly flags?: readonly string[] } = {},
): Promise<ApiServer> {
  await buildPrograms((line) => console.log(line));
  await using starting = new AsyncDisposableStack();
  const dir = starting.use(await makeTempDir('api-server'));
  const at = (name: string): string => join(dir.path, name);
  const [port = 0, etcdPort = 0, peerPort = 0] = await freePorts(3);
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(at('sa.key'), keys.privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
  writeFileSync(at('sa.pub'), keys.publicKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(at('tokens.csv'), `${ADMIN_TOKEN},admin,admin,system:masters\n`, { mode: 0o600 });

  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  // What they keep goes with them, and an API server sometimes takes more than ten seconds to end in order.
  const start = (name: string, args: readonly string[]): Child =>
    starting.adopt(startProgram(programPath(name), args), (child) => child.stop('SIGKILL').then(() => {}));
  const etcd = start('etcd', [
    `--data-dir=${at('etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    '--unsafe-no-fsync',
    '--log-level=error',
  ]);
  const server = start('kube-apiserver', [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${at('tls')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--authorization-mode=RBAC',
    `--token-auth-file=${at('tokens.csv')}`,
    `--service-account-issuer=${ISSUER}`,
    `--service-account-signing-key-file=${at('sa.key')}`,
    `--service-account-key-file=${at('sa.pub')}`,
    // No controllers run here that would make a ServiceAccount in each namespace.
    '--disable-admission-plugins=ServiceAccount',
    '--endpoint-reconciler-type=none',
    '--profiling=false',
    ...(options.flags ?? []),
  ]);

  const kubeconfigFor = (name: string, user: object, toPort = port): string => {
    const path = at(`${name}.kubeconfig`);
    const cluster = {
      server: `https://127.0.0.1:${toPort}`,
      'certificate-authority': join(dir.path, 'tls', 'apiserver.crt'),
    };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'fw', cluster }],
      users: [{ name, user }],
      contexts: [{ name: 'fw', context: { cluster: 'fw', user: name } }],
      'current-context': 'fw',
    };
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  };
  const kubeconfig = kubeconfigFor('admin', { token: ADMIN_TOKEN });
  await certificateMade(join(dir.path, 'tls', 'apiserver.crt'), [etcd, server]);
  const client = await createKubeClient({ kubeconfig });
  starting.defer(() => client.close());
  await ready(client, [etcd, server]);

  const running = starting.move();
  const kubectl = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runProgram(
      programPath('kubectl'),
      [`--kubeconfig=${kubeconfig}`, ...args],
      {
        timeoutMs: 90_000,
      },
    );
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}${stdout}`);
    return stdout;
  };
  return {
    port,
    etcdUrl,
    kubeconfig,
    client,
    kubeconfigFor,
    kubectl,
    apply(text) {
      const path = at(`apply-${crypto.randomUUID()}.yaml`);
      writeFileSync(path, text);
      return kubectl('apply', '--server-side', '-f', path);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function certificateMade(path: string, needed: readonly Child[]): Promise<void> {
  await withDeadline(needed, async () => existsSync(path));
}

async function ready(client: KubeClient, needed: readonly Child[]): Promise<void> {
  const namespaces = { group: '', version: 'v1', plural: 'namespaces', kind: 'Namespace', namespaced: false };
  // The namespace `default` is made last of what the tests need.
  await withDeadline(needed, () => client.get(namespaces, undefined, 'default').then(Boolean, () => false));
}

async function withDeadline(needed: readonly Child[], done: () => Promise<boolean>): Promise<void> {
  const ended = Promise.race(needed.map((child) => child.ended.then(() => child)));
  let dead: Child | undefined;
  ended.then(
    (child) => {
      dead = child;
    },
    () => undefined,
  );
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (!(await done())) {
    if (dead !== undefined)
      throw new Error(`a program of the API server ended:\n${dead.stderr.slice(-4000)}`);
    if (Date.now() > deadline) throw new Error('the API server does not get ready');
    await sleep(50);
  }
}
