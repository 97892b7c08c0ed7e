/** Renews the certificates of a server that runs, before they run out. */

import { dirname } from 'node:path';
import type { Server } from 'node:tls';
import type { Condition } from '#base/errors.ts';
import { conditionOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { TlsIdentity } from './identity.ts';
import { ensureTlsIdentity } from './identity.ts';

export interface Renewal extends Disposable {
  /** TLS_DIR_UNUSABLE while renewal is due and fails. */
  conditions(): readonly Condition[];
  /** Looks whether renewal is due; called by itself every hour. */
  check(nowMs: number): Promise<void>;
}

const CHECK_MS = 3_600_000;

/**
 * Keeps a server's identity renewed until disposed. New connections get the new certificate, those that stand
 * keep theirs.
 * @param names as the identity was made for
 */
export function keepRenewed(
  server: Pick<Server, 'setSecureContext'>,
  first: TlsIdentity,
  names: readonly string[],
  log: Logger,
): Renewal {
  let { renewAtMs } = first;
  let conditions: readonly Condition[] = [];
  const check = async (nowMs: number): Promise<void> => {
    if (nowMs < renewAtMs) return;
    try {
      const renewed = await ensureTlsIdentity(dirname(first.caFile), names, nowMs);
      server.setSecureContext({ cert: renewed.cert, key: renewed.key, minVersion: 'TLSv1.2' });
      ({ renewAtMs } = renewed);
      conditions = [];
      log.log('info', 'renewed TLS certificates', { made: renewed.made.join(' ') });
    } catch (error) {
      conditions = [conditionOf(error)];
      log.log('error', 'TLS certificates could not be renewed', { error: (error as Error).message });
    }
  };
  const timer = setInterval(() => void check(Date.now()), CHECK_MS).unref();
  return { conditions: () => conditions, check, [Symbol.dispose]: () => clearInterval(timer) };
}
