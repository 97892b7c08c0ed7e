/** The three places a server certificate is from, by --tls-mode. */

import type { Logger } from '#base/log.ts';
import type { KubeClient } from '../kube/client.ts';
import { readMountedPair } from './files.ts';
import { ensureTlsIdentity } from './identity.ts';
import type { TlsSource } from './renewal.ts';
import type { TlsObjects } from './secret.ts';
import { ensureTlsSecret } from './secret.ts';

/** Made by the operator and kept in a directory of its own. */
export function tlsFromDir(dir: string, names: readonly string[], log: Logger): TlsSource {
  return {
    everyMs: 3_600_000,
    async read(nowMs) {
      const identity = await ensureTlsIdentity(dir, names, nowMs);
      told(identity.made, log);
      return identity;
    },
  };
}

/** Made and renewed by others, and mounted. */
export function tlsFromFiles(dir: string): TlsSource {
  return { everyMs: 10_000, read: (nowMs) => readMountedPair(dir, nowMs) };
}

/** Made by the replicas of the operator together and kept in a Secret; the CA also in a ConfigMap. */
export function tlsFromSecret(
  client: KubeClient,
  objects: TlsObjects,
  names: readonly string[],
  log: Logger,
): TlsSource {
  return {
    everyMs: 60_000,
    async read(nowMs) {
      const { served, made } = await ensureTlsSecret(client, objects, names, nowMs);
      told(made, log);
      return served;
    },
  };
}

function told(made: readonly string[], log: Logger): void {
  if (made.length > 0) log.log('info', 'made TLS certificates', { made: made.join(', ') });
}
