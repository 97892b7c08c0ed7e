/** Keeps the certificate of a server that runs current. */

import type { Server } from 'node:tls';
import type { Condition } from '#base/errors.ts';
import { conditionOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { IssuedPair } from './issue.ts';

export interface Renewal extends Disposable {
  /** What the source says while the certificate cannot be looked after. */
  conditions(): readonly Condition[];
  /** Looks whether there is another certificate; called by itself every so often. */
  check(nowMs: number): Promise<void>;
}

/** Where a certificate is from. */
export interface TlsSource {
  /** The pair to serve now, made anew when that is due. @throws FinwaitError when that cannot be told */
  read(nowMs: number): Promise<IssuedPair>;
  readonly everyMs: number;
}

/**
 * Looks after a server's certificate until disposed. New connections get the new certificate, those that stand
 * keep theirs.
 * @param first what the server was started with
 */
export function keepRenewed(
  server: Pick<Server, 'setSecureContext'>,
  first: IssuedPair,
  source: TlsSource,
  log: Logger,
): Renewal {
  let served = first;
  let conditions: readonly Condition[] = [];
  let checking = false;
  const check = async (nowMs: number): Promise<void> => {
    if (checking) return;
    checking = true;
    try {
      const { cert, key } = await source.read(nowMs);
      conditions = [];
      if (cert === served.cert) return;
      server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' });
      served = { cert, key };
      log.log('info', 'serving another TLS certificate');
    } catch (error) {
      conditions = [conditionOf(error)];
      log.log('error', 'the TLS certificate could not be looked after', { error: (error as Error).message });
    } finally {
      checking = false;
    }
  };
  const timer = setInterval(() => void check(Date.now()), source.everyMs).unref();
  return { conditions: () => conditions, check, [Symbol.dispose]: () => clearInterval(timer) };
}
