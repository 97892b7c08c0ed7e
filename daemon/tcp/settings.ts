/** What holds for one connection: the profile's values, and over them what its user set. */

import type { Profile } from './profile.ts';
import type { SocketOptions } from './types.ts';

/** Shared by the parts of a connection, which read it when they need it: a change holds at once. */
export type Settings = { -readonly [K in keyof SocketOptions]: SocketOptions[K] };

export function createSettings(profile: Profile, given: Partial<SocketOptions>): Settings {
  return {
    userTimeoutUs: undefined,
    handshakeTimeoutUs: undefined,
    trafficClass: 0,
    ttl: profile.ttl,
    nagle: false,
    cork: false,
    maxSegment: undefined,
    keepAlive: profile.keepAlive,
    keepIdleUs: profile.keepIdleUs,
    keepIntervalUs: profile.keepIntervalUs,
    keepCount: profile.keepCount,
    finWait2TimeoutUs: profile.finWait2TimeoutUs,
    quickAck: false,
    congestion: profile.congestion,
    sendBufferBytes: profile.sendBufferBytes,
    receiveBufferBytes: profile.receiveBufferBytes,
    offerOptions: true,
    ...given,
  };
}
