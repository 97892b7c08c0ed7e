/** Host names to addresses, as the C library of this machine answers, with a deadline. */

import { lookup } from 'node:dns/promises';
import { performance } from 'node:perf_hooks';
import { FinwaitError } from '#base/errors.ts';
import type { Family } from '#contract';
import { parseIpAddress } from '../wire/address.ts';

export interface ResolvedHost {
  /** Canonical texts, each once, in the resolver's order; at least one. */
  readonly addresses: readonly string[];
  /** Unix time; absent when the host was an address. */
  readonly resolved?: { readonly fromUs: number; readonly toUs: number };
}

/** A name with more addresses is probed at the first of them. */
const ADDRESSES_MAX = 16;

/**
 * @param family only addresses of that family
 * @param signal nobody waits any more; then it is rejected with the signal's reason
 * @throws FinwaitError NAME_UNRESOLVED also when there is no address of the family, or none in time
 */
export async function resolveHost(
  host: string,
  family: Family | undefined,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<ResolvedHost> {
  const literal = parseIpAddress(host);
  if (literal.ok) {
    if (family === undefined || literal.value.family === family) return { addresses: [literal.value.text] };
    throw new FinwaitError(
      'NAME_UNRESOLVED',
      `${host} is an IPv${literal.value.family} address, and only IPv${family} is asked for`,
      `leave out -${family}, or give a name or an IPv${family} address`,
    );
  }
  const fromUs = unixUs();
  const found = await withDeadline(
    lookup(host, { all: true, family: family ?? 0 }),
    deadlineMs,
    signal,
  ).catch((cause: NodeJS.ErrnoException) => {
    throw signal.aborted ? signal.reason : unresolved(host, family, cause);
  });
  // A zone (fe80::1%eth0) cannot be told to the engine, which sends through the TUN device.
  const texts = found
    .map(({ address }) => parseIpAddress(address))
    .flatMap((a) => (a.ok ? [a.value.text] : []));
  const addresses = [...new Set(texts)].slice(0, ADDRESSES_MAX);
  if (addresses.length === 0) throw unresolved(host, family, undefined);
  return { addresses, resolved: { fromUs, toUs: unixUs() } };
}

function unresolved(
  host: string,
  family: Family | undefined,
  cause: NodeJS.ErrnoException | undefined,
): FinwaitError {
  const kind = family === undefined ? 'address' : `IPv${family} address`;
  const why =
    cause?.code === 'ENOTFOUND'
      ? 'no such name'
      : cause?.code === 'EAI_AGAIN'
        ? 'the name server did not answer'
        : (cause?.message ?? 'none that can be probed');
  return new FinwaitError(
    'NAME_UNRESOLVED',
    `${host} does not resolve to an ${kind}: ${why}`,
    'check the spelling, /etc/hosts and /etc/resolv.conf; in a cluster give the full name (service.namespace.svc.cluster.local)',
  );
}

function unixUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

/** The lookup itself cannot be cancelled; when it is late, nobody waits for it any more. */
async function withDeadline<T>(promise: Promise<T>, deadlineMs: number, signal: AbortSignal): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${deadlineMs / 1000} s`)), deadlineMs);
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([promise, late]);
  } finally {
    signal.removeEventListener('abort', abort);
    clearTimeout(timer);
  }
}
