/** `set NAME VALUE`: the knobs of a system, as changes of the profile that the engine reads. */

import type { Profile } from '../../daemon/tcp/profile.ts';
import { PROFILES } from '../../daemon/tcp/profiles.ts';

/** The engine's environment that can be changed while it runs. */
export interface Knobs {
  readonly profile: { -readonly [K in keyof Profile]: Profile[K] };
  mtu: number;
}

/** Takes a value; false when it means nothing. */
type Setter = (knobs: Knobs, value: string) => boolean;

const SWITCH = new Map([
  ['off', false],
  ['0', false],
  ['on', true],
  ['1', true],
]);
const SYN_COOKIES = new Map<string, Profile['synCookies']>([
  ['off', 'off'],
  ['on', 'pressure'],
  ['pressure', 'pressure'],
  ['under-pressure', 'pressure'],
  ['on under pressure', 'pressure'],
  ['always', 'always'],
]);
/** Linux calls it reno. */
const CONGESTION = new Map<string, Profile['congestion']>([
  ['newreno', 'newreno'],
  ['reno', 'newreno'],
  ['cubic', 'cubic'],
]);
/** FreeBSD tcp_timer_rexmt: the third repetition of a SYN is the first without options. */
const REPEATS_WITH_OPTIONS = 2;
const MILLISECOND_US = 1_000;
const LARGEST = 2 ** 31;

const SETTERS: Readonly<Record<string, Setter>> = {
  profile: ({ profile }, value) => {
    const chosen = Object.entries(PROFILES).find(([name]) => name === value)?.[1];
    if (chosen !== undefined) Object.assign(profile, chosen);
    return chosen !== undefined;
  },
  timestamps: flag('offerTimestamps'),
  'window-scale': onOff(({ profile }, on) => {
    profile.windowShift = on ? PROFILES[profile.name].windowShift : undefined;
  }),
  sack: flag('offerSack'),
  ecn: ({ profile }, value) => {
    const ecn = value === 'passive' ? value : SWITCH.get(value);
    if (ecn === undefined) return false;
    profile.ecn = ecn === 'passive' ? ecn : ecn ? 'on' : 'off';
    return true;
  },
  'recv-space': count('receiveBufferBytes', 1),
  'send-space': count('sendBufferBytes', 1),
  'challenge-ack-rst': flag('challengeRst'),
  'challenge-ack-syn': flag('challengeSyn'),
  'syn-cookies': ({ profile }, value) => {
    const cookies = SYN_COOKIES.get(value);
    if (cookies !== undefined) profile.synCookies = cookies;
    return cookies !== undefined;
  },
  'rto-initial-ms': count('initialRtoUs', MILLISECOND_US),
  'rto-min-ms': count('minRtoUs', MILLISECOND_US),
  'rexmit-drop-options': onOff(({ profile }, on) => {
    profile.synOptionRetries = on ? REPEATS_WITH_OPTIONS : undefined;
  }),
  'connect-timeout-ms': count('handshakeTimeoutUs', MILLISECOND_US),
  'keepalive-idle-ms': count('keepIdleUs', MILLISECOND_US),
  'keepalive-interval-ms': count('keepIntervalUs', MILLISECOND_US),
  'keepalive-count': count('keepCount', 1),
  'delayed-ack-ms': count('delayedAckUs', MILLISECOND_US),
  'msl-ms': count('mslUs', MILLISECOND_US),
  'default-mss-v4': defaultMss(4),
  'default-mss-v6': defaultMss(6),
  congestion: ({ profile }, value) => {
    const known = CONGESTION.get(value);
    if (known !== undefined) profile.congestion = known;
    return known !== undefined;
  },
  'path-mtu-discovery': flag('pathMtuDiscovery'),
  'icmp-may-reset': flag('icmpMayReset'),
  blackhole: flag('blackhole'),
  'drop-syn-fin': flag('dropSynFin'),
  mtu: (knobs, value) => {
    const bytes = number(value);
    if (bytes === undefined || bytes < 68 || bytes > 65_535) return false;
    knobs.mtu = bytes;
    return true;
  },
};

/** Applies a setting and says how that went, in a line. */
export function applySetting(knobs: Knobs, name: string, value: string): string {
  const setter = Object.hasOwn(SETTERS, name) ? SETTERS[name] : undefined;
  if (setter === undefined) return `unknown ${name}`;
  return setter(knobs, value) ? 'ok' : `invalid ${name} ${value}`;
}

function onOff(turn: (knobs: Knobs, on: boolean) => void): Setter {
  return (knobs, value) => {
    const on = SWITCH.get(value);
    if (on !== undefined) turn(knobs, on);
    return on !== undefined;
  };
}

type KeyOf<T> = { [K in keyof Profile]: Profile[K] extends T ? K : never }[keyof Profile];

function flag(key: KeyOf<boolean>): Setter {
  return onOff(({ profile }, on) => {
    profile[key] = on;
  });
}

function count(key: KeyOf<number>, unit: number): Setter {
  return ({ profile }, value) => {
    const units = number(value);
    if (units !== undefined) profile[key] = units * unit;
    return units !== undefined;
  };
}

function defaultMss(family: 4 | 6): Setter {
  return ({ profile }, value) => {
    const bytes = number(value);
    if (bytes === undefined || bytes < 1 || bytes > 65_535) return false;
    profile.defaultMss = { ...profile.defaultMss, [family]: bytes };
    return true;
  };
}

function number(text: string): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value < LARGEST ? value : undefined;
}
