/** etcd, kube-apiserver, kube-controller-manager, kube-scheduler: one of each, in the root network namespace. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  API_SERVER,
  CLUSTER_CIDR,
  CLUSTER_DOMAIN,
  HOST_ADDRESS,
  kubeconfigOf,
  PKI,
  RUN,
  SERVICE_CIDR,
} from './layout.ts';
import type { Started } from './processes.ts';
import { isAlive, logTail, start } from './processes.ts';
import { programPath } from './programs.ts';
import { run } from './run.ts';

const ETCD = 'http://127.0.0.1:12379';
const READY_TIMEOUT_MS = 180_000;

/** Starts the control plane; resolves when the API server says it is ready. */
export async function startControlPlane(): Promise<void> {
  const pki = (file: string) => join(PKI, file);
  const etcd = start('etcd', [
    programPath('etcd'),
    `--data-dir=${join(RUN, 'etcd')}`,
    `--listen-client-urls=${ETCD}`,
    `--advertise-client-urls=${ETCD}`,
    '--listen-peer-urls=http://127.0.0.1:12380',
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]);
  const apiserver = start('kube-apiserver', [
    programPath('kube-apiserver'),
    `--etcd-servers=${ETCD}`,
    `--bind-address=${HOST_ADDRESS}`,
    `--advertise-address=${HOST_ADDRESS}`,
    '--secure-port=6443',
    `--service-cluster-ip-range=${SERVICE_CIDR}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--client-ca-file=${pki('ca.crt')}`,
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--service-account-issuer=https://kubernetes.default.svc.${CLUSTER_DOMAIN}`,
    `--service-account-signing-key-file=${pki('sa.key')}`,
    `--service-account-key-file=${pki('sa.pub')}`,
    `--kubelet-client-certificate=${pki('apiserver-kubelet-client.crt')}`,
    `--kubelet-client-key=${pki('apiserver-kubelet-client.key')}`,
    `--kubelet-certificate-authority=${pki('ca.crt')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--profiling=false',
  ]);
  await apiServerReady([etcd, apiserver]);
  start('kube-controller-manager', [
    programPath('kube-controller-manager'),
    `--kubeconfig=${kubeconfigOf('controller-manager')}`,
    '--use-service-account-credentials',
    '--leader-elect=false',
    `--cluster-cidr=${CLUSTER_CIDR}`,
    `--service-cluster-ip-range=${SERVICE_CIDR}`,
    `--root-ca-file=${pki('ca.crt')}`,
    `--service-account-private-key-file=${pki('sa.key')}`,
    `--cluster-signing-cert-file=${pki('ca.crt')}`,
    `--cluster-signing-key-file=${pki('ca.key')}`,
    '--node-monitor-grace-period=20s',
  ]);
  start('kube-scheduler', [
    programPath('kube-scheduler'),
    `--kubeconfig=${kubeconfigOf('scheduler')}`,
    '--leader-elect=false',
  ]);
}

/** Runs kubectl as the administrator; answers its output. */
export function kubectl(...args: readonly string[]): Promise<string> {
  return run([programPath('kubectl'), `--kubeconfig=${kubeconfigOf('admin')}`, ...args]);
}

/** Applies objects (as JSON, which kubectl takes for YAML). */
export async function apply(...objects: readonly object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  await run([programPath('kubectl'), `--kubeconfig=${kubeconfigOf('admin')}`, 'apply', '-f', '-'], {
    input: JSON.stringify(list),
  });
}

async function apiServerReady(needed: readonly Started[]): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (let last = ''; Date.now() < deadline; await delay(100)) {
    const dead = needed.find((process) => !isAlive(process));
    if (dead !== undefined) throw new Error(`${dead.name} ended:\n${logTail(dead.name)}`);
    try {
      last = await kubectl('get', '--raw', '/readyz');
      if (last === 'ok') return;
    } catch (error) {
      last = String(error);
    }
    if (Date.now() + 200 > deadline) throw new Error(`${API_SERVER} does not get ready: ${last}`);
  }
}

/** The certificate authority, for those that talk to the API server. */
export function caCertificate(): string {
  return readFileSync(join(PKI, 'ca.crt'), 'utf8');
}
