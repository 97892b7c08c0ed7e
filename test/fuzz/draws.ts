/** What a seed chooses of a run's surroundings. */

import type { SeededRandom } from '../../daemon/netsim/random.ts';
import type { Profile } from '../../daemon/tcp/profile.ts';
import { PROFILES } from '../../daemon/tcp/profiles.ts';

export const SECOND_US = 1_000_000;

/** Steps after which the peer's octets may be others than their numbers say. */
export function isLie(kind: number): boolean {
  return kind < 67 || (kind >= 70 && kind < 74);
}

/** Any system, with small buffers, and any of its extensions off. */
export function anyProfile(random: SeededRandom): Profile {
  const base = PROFILES[(['finwait', 'finwait', 'linux', 'freebsd'] as const)[random.below(4)] ?? 'finwait'];
  const mostly = () => random.chance(0.85);
  return {
    ...base,
    offerSack: mostly(),
    offerTimestamps: mostly(),
    windowShift: mostly() ? base.windowShift : undefined,
    ecn: (['off', 'passive', 'on'] as const)[random.below(3)] ?? 'off',
    congestion: random.chance(0.5) ? 'newreno' : 'cubic',
    lossDetection: random.chance(0.8) ? base.lossDetection : random.chance(0.5) ? 'sack' : 'rack',
    receiveBufferBytes: 3000 + random.below(random.chance(0.8) ? 6000 : 60_000),
    sendBufferBytes: 2000 + random.below(random.chance(0.8) ? 6000 : 60_000),
    synCookies: (['off', 'pressure', 'always'] as const)[random.below(random.chance(0.8) ? 2 : 3)] ?? 'off',
    keepAlive: random.chance(0.3),
    challengeRst: mostly(),
    challengeSyn: mostly(),
    pathMtuDiscovery: mostly(),
    // FreeBSD holds corked text without end, which is no timer that was forgotten.
    corkUs: 200_000,
  };
}

export function anyOptions(random: SeededRandom) {
  const any = random.below(6);
  if (any === 0) return { nagle: random.chance(0.5) };
  if (any === 1) return { cork: random.chance(0.5) };
  if (any === 2) return { quickAck: random.chance(0.5) };
  if (any === 3) return { keepAlive: random.chance(0.7), keepIdleUs: 1000 + random.below(10 * SECOND_US) };
  if (any === 4) return { maxSegment: 48 + random.below(1400) };
  return { userTimeoutUs: 1000 + random.below(100 * SECOND_US), finWait2TimeoutUs: 60 * SECOND_US };
}

/** Exchanges two fields of `bytes` that lie one after the other. */
export function exchange(packet: Uint8Array, at: number, bytes: number): void {
  const first = packet.slice(at, at + bytes);
  packet.copyWithin(at, at + bytes, at + 2 * bytes);
  packet.set(first, at + bytes);
}
