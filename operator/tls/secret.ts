/**
 * The TLS identity that the replicas of an operator share: keys and certificates in a Secret, what agents are to
 * trust in a ConfigMap. Both are there already (the chart makes them empty); whoever writes first is followed by
 * the others, because a write fails when the object changed since it was read.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { FinwaitError } from '#base/errors.ts';
import type { KubeClient, KubeObject } from '../kube/client.ts';
import { isConflict, KubeError } from '../kube/kube-error.ts';
import { CONFIG_MAPS, SECRETS } from '../kube/resource.ts';
import type { Keyring, Rotated } from './rotation.ts';
import { rotate } from './rotation.ts';

export interface TlsObjects {
  readonly namespace: string;
  readonly secret: string;
  readonly configMap: string;
}

type Store = Pick<KubeClient, 'get' | 'update'>;

/** Each round that is lost was won by another replica, so that the next one has nothing to write. */
const ROUNDS = 20;
/** The API server may come up after the operator. */
const PAUSE_MS = 1000;

/**
 * Reads what is kept, takes it a step further if one is due, and sees that agents are told what to trust.
 * @throws FinwaitError TLS_SECRET_UNUSABLE
 */
export async function ensureTlsSecret(
  store: Store,
  objects: TlsObjects,
  names: readonly string[],
  nowMs: number,
): Promise<Rotated> {
  for (let round = 1; ; round++) {
    try {
      return await attempt(store, objects, names, nowMs);
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      const transient = error.status === 0 || error.status === 429 || error.status >= 500;
      if (transient && round < ROUNDS) {
        await sleep(PAUSE_MS);
        continue;
      }
      if (isConflict(error) && round < ROUNDS) continue;
      throw new FinwaitError(
        'TLS_SECRET_UNUSABLE',
        `Secret ${objects.secret} or ConfigMap ${objects.configMap} in ${objects.namespace} cannot be used: ${error.message}`,
        transient
          ? 'see whether the API server is up; an operator that runs goes on with the certificate it has'
          : 'both must exist, empty is enough (helm upgrade makes anew what was deleted), and the operator must be allowed to get and update them by name; the chart does that',
        error,
      );
    }
  }
}

async function attempt(
  store: Store,
  { namespace, secret, configMap }: TlsObjects,
  names: readonly string[],
  nowMs: number,
): Promise<Rotated> {
  const kept = await store.get(SECRETS, namespace, secret);
  const rotated = await rotate(keyringOf(kept), names, nowMs);
  if (rotated.made.length > 0) await store.update(SECRETS, { ...kept, data: encoded(rotated.keyring) });
  const told = await store.get(CONFIG_MAPS, namespace, configMap);
  if (textOf(told.data, 'ca.crt') !== rotated.bundle) {
    await store.update(CONFIG_MAPS, { ...told, data: { 'ca.crt': rotated.bundle } });
  }
  return rotated;
}

function encoded(keyring: Keyring): Record<string, string> {
  return Object.fromEntries(
    Object.entries(keyring).map(([name, text]) => [name, Buffer.from(text as string).toString('base64')]),
  );
}

function keyringOf({ data }: KubeObject): Keyring {
  const names = Object.keys(typeof data === 'object' && data !== null ? data : {});
  return Object.fromEntries(
    names.map((name) => [name, Buffer.from(textOf(data, name) ?? '', 'base64').toString('utf8')]),
  );
}

function textOf(data: unknown, name: string): string | undefined {
  const value = (data as Readonly<Record<string, unknown>> | undefined)?.[name];
  return typeof value === 'string' ? value : undefined;
}
