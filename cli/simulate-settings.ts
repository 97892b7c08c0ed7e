/** What `finwait simulate` takes. */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Settings } from '#base/settings.ts';
import { durationMs, each, flag, integer, oneOf, setting, text } from '#base/settings.ts';
import type { Leg } from '../daemon/netsim/legs.ts';
import { LEGS } from '../daemon/netsim/legs.ts';
import type { ProfileName } from '../daemon/tcp/profile.ts';
import type { CongestionName } from '../daemon/tcp/types.ts';
import { FLOOD } from './simulate-flood.ts';

const HOUR_MS = 3_600_000;
const MOST_RUNS = 1_000_000;
const PROFILE_NAMES = ['finwait', 'linux', 'freebsd'] as const satisfies readonly ProfileName[];

export const SIMULATE_SETTINGS = {
  loss: share('loss', 'share of the packets that are lost, each way: 3% or 0.03'),
  delayMs: setting<number>({
    name: 'delay',
    placeholder: 'DURATION',
    doc: 'time a packet takes, each way',
    default: 10,
    defaultText: '10ms',
    parse: durationMs(0, HOUR_MS),
  }),
  jitterMs: setting<number>({
    name: 'jitter',
    placeholder: 'DURATION',
    doc: 'up to so much more, different for each packet',
    default: 0,
    defaultText: '0',
    parse: durationMs(0, HOUR_MS),
  }),
  bitsPerSecond: setting<number | undefined>({
    name: 'rate',
    placeholder: 'BITS',
    doc: 'bits per second of the line, each way: 10M, 1G; unbounded without it, 10M in the scenario congestion',
    default: undefined,
    parse: bitRate,
  }),
  queueBytes: setting<number>({
    name: 'queue',
    placeholder: 'BYTES',
    doc: 'bytes that may wait for a line with a rate; more are lost',
    default: 65_536,
    parse: integer(1500, 1 << 30),
  }),
  duplicate: share('duplicate', 'share of the packets that arrive twice'),
  reorder: share('reorder', 'share of the packets that are overtaken by others'),
  corrupt: share('corrupt', 'share of the packets of which a bit is flipped'),
  mtu: setting<number>({
    name: 'mtu',
    placeholder: 'BYTES',
    doc: 'MTU of both ends',
    default: 1500,
    parse: integer(68, 65_535),
  }),
  lose: setting<readonly Leg[]>({
    name: 'lose',
    placeholder: 'LEG',
    kind: 'list',
    doc: `lose this leg the first time it is sent: ${LEGS.join(', ')}; twice when given twice`,
    default: [],
    parse: each((value) => oneOf(...LEGS)(value.toUpperCase())),
  }),
  bytes: setting<number | undefined>({
    name: 'bytes',
    placeholder: 'N',
    doc: 'what the client sends, in scenarios in which it sends something',
    default: undefined,
    parse: integer(0, 1 << 30),
  }),
  profile: setting<ProfileName>({
    name: 'profile',
    placeholder: 'NAME',
    doc: `whose TCP both ends have: ${PROFILE_NAMES.join(', ')}`,
    default: 'finwait',
    parse: oneOf(...PROFILE_NAMES),
  }),
  serverProfile: setting<ProfileName | undefined>({
    name: 'server-profile',
    placeholder: 'NAME',
    doc: "whose TCP the server has, when it is not the client's",
    default: undefined,
    parse: oneOf(...PROFILE_NAMES),
  }),
  congestion: setting<CongestionName | undefined>({
    name: 'congestion',
    placeholder: 'NAME',
    doc: 'congestion control of both ends: newreno, cubic; as the profile has it without',
    default: undefined,
    parse: oneOf('newreno', 'cubic'),
  }),
  ecn: setting<boolean>({
    name: 'ecn',
    kind: 'flag',
    doc: 'both ends use ECN; a line with a rate marks packets once its queue is half full',
    default: false,
    parse: flag,
  }),
  floodRate: setting<number | undefined>({
    name: 'flood',
    placeholder: 'N',
    doc: 'spoofed SYNs in a second, in the scenario syn-flood',
    default: undefined,
    defaultText: String(FLOOD.rate),
    parse: integer(1, 100_000),
  }),
  noCookies: setting<boolean>({
    name: 'no-cookies',
    kind: 'flag',
    doc: 'the server answers no SYN with a cookie when its backlog is full, in the scenario syn-flood',
    default: false,
    parse: flag,
  }),
  seed: setting<number>({
    name: 'seed',
    placeholder: 'N',
    doc: 'the same seed gives the same run; with --runs the first of them',
    default: 1,
    parse: integer(0, 2 ** 31 - 1),
  }),
  runs: setting<number | undefined>({
    name: 'runs',
    placeholder: 'N',
    doc: 'play it with so many seeds and print percentiles instead of the ladder',
    default: undefined,
    parse: integer(1, MOST_RUNS),
  }),
  limitMs: setting<number | undefined>({
    name: 'limit',
    placeholder: 'DURATION',
    doc: 'virtual time after which a run is cut off: 20m, in the scenario keepalive 3h',
    default: undefined,
    parse: durationMs(1, 24 * HOUR_MS),
  }),
  pcap: setting<string>({
    name: 'pcap',
    placeholder: 'FILE',
    doc: 'write the packets as they were sent, for Wireshark and tcpdump',
    default: '',
    parse: text,
  }),
  json: setting<boolean>({
    name: 'json',
    kind: 'flag',
    doc: 'print data',
    default: false,
    parse: flag,
  }),
};

export type SimulateSettings = Settings<typeof SIMULATE_SETTINGS>;

function share(name: string, doc: string) {
  return setting<number>({ name, placeholder: 'SHARE', doc, default: 0, parse: shareOf });
}

/** `3%`, `0.03` */
function shareOf(value: string): Decoded<number> {
  const [, digits, percent] = /^(\d+(?:\.\d+)?|\.\d+)(%?)$/.exec(value) ?? [];
  const number = digits === undefined ? Number.NaN : Number(digits) / (percent === '%' ? 100 : 1);
  return number >= 0 && number <= 1 ? decoded(number) : undecodable('is not a share such as 3% or 0.03');
}

const RATE_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

/** `64k`, `10M`, `1G` */
function bitRate(value: string): Decoded<number> {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)([kmg]?)(?:bit)?(?:\/s)?$/i.exec(value) ?? [];
  const rate = digits === '' ? Number.NaN : Number(digits) * (RATE_UNITS[unit.toLowerCase()] ?? Number.NaN);
  return rate >= 1000 && rate <= 1e12
    ? decoded(rate)
    : undecodable('is not a rate from 1k to 1000G, such as 10M');
}
