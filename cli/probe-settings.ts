/** The options of `finwait probe`. */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Setting, Settings } from '#base/settings.ts';
import { durationMs, flag, integer, oneOf, text } from '#base/settings.ts';
import { CONTRACT_LIMITS, DEFAULT_PROBE_LIMITS } from '#contract';
import type { ProfileName } from '../daemon/tcp/profile.ts';

const MINUTE_MS = 60_000;

function option<T>(of: Setting<T>): Setting<T> {
  return of;
}

function onOff(name: string, doc: string, short?: string): Setting<boolean> {
  return { name, ...(short === undefined ? {} : { short }), doc, kind: 'flag', default: false, parse: flag };
}

function limit(name: string, doc: string, defaultMs: number): Setting<number> {
  return {
    name,
    placeholder: 'DURATION',
    doc,
    default: defaultMs,
    defaultText: `${defaultMs / 1000}s`,
    parse: durationMs(1, 10 * MINUTE_MS),
  };
}

function word(name: string, placeholder: string, doc: string): Setting<string> {
  return { name, placeholder, doc, default: '', parse: text };
}

export const PROBE_SETTINGS = {
  ipv4: onOff('ipv4', 'only IPv4 addresses of a name', '4'),
  ipv6: onOff('ipv6', 'only IPv6 addresses of a name', '6'),
  all: onOff('all', 'probe every address of a name; otherwise one after the other until one accepts', 'a'),
  send: option<string>({
    name: 'send',
    placeholder: 'TEXT',
    doc: 'send this after the handshake and wait for the first byte of an answer; \\r \\n \\t \\0 \\\\ \\xHH are understood',
    default: '',
    parse: unescaped,
  }),
  connectMs: limit('connect-timeout', 'longest wait for the SYN-ACK', DEFAULT_PROBE_LIMITS.connectMs),
  exchangeMs: limit(
    'exchange-timeout',
    'longest wait for an answer to --send',
    DEFAULT_PROBE_LIMITS.exchangeMs,
  ),
  closeMs: limit('close-timeout', "longest wait for the peer's FIN after ours", DEFAULT_PROBE_LIMITS.closeMs),
  count: option<number>({
    name: 'count',
    short: 'c',
    placeholder: 'N',
    doc: 'how many times each target is probed',
    default: 1,
    parse: integer(1, 1_000_000),
  }),
  intervalMs: option<number>({
    name: 'interval',
    short: 'i',
    placeholder: 'DURATION',
    doc: 'time from one round of --count to the next',
    default: 1000,
    defaultText: '1s',
    parse: durationMs(10, 60 * MINUTE_MS),
  }),
  profile: option<ProfileName>({
    name: 'profile',
    placeholder: 'SYSTEM',
    doc: 'connect as that system would: finwait, linux or freebsd (options of the SYN and their order, windows, retransmissions)',
    default: 'finwait',
    parse: oneOf('finwait', 'linux', 'freebsd'),
  }),
  json: onOff('json', 'print each result as one line of JSON', 'j'),
  quiet: onOff('quiet', 'print the verdicts only, not the segments', 'q'),
  noColor: onOff('no-color', 'no colours, also on a terminal (as the variable NO_COLOR)'),
  allowForwarding: onOff(
    'allow-forwarding',
    'allow finwait to switch packet forwarding on while it runs, so that other machines can be probed',
  ),
  footprint: onOff(
    'footprint',
    "mark finwait's probes in conntrack, so that they can be told from other flows",
  ),
  device: word('device', 'NAME', 'name of the TUN device; without it finwait0, or the next that is free'),
  mtu: option<number>({
    name: 'mtu',
    placeholder: 'BYTES',
    doc: 'MTU of the TUN device; it sets the MSS that is offered',
    default: 1500,
    parse: integer(68, 65_535),
  }),
  prefixV4: word(
    'prefix-v4',
    'CIDR',
    'IPv4 prefix of the TUN device; without it a free one of 198.18.77.0/24',
  ),
  prefixV6: word(
    'prefix-v6',
    'CIDR',
    'IPv6 prefix of the TUN device; without it a free one of fd66:696e:7761::/48',
  ),
};

export type ProbeSettings = Settings<typeof PROBE_SETTINGS>;

const ESCAPES: Readonly<Record<string, string>> = { r: '\r', n: '\n', t: '\t', '0': '\0', '\\': '\\' };

/** Text with its escapes resolved. */
function unescaped(value: string): Decoded<string> {
  let problem: string | undefined;
  const result = value.replaceAll(/\\(x[0-7][0-9a-f]|.|$)/gi, (whole, code: string) => {
    if (/^x../i.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (ESCAPES[code] === undefined) problem = `has an escape that is not known: ${whole}`;
    return ESCAPES[code] ?? '';
  });
  if (result === '') problem ??= 'is empty';
  if (Buffer.byteLength(result) > CONTRACT_LIMITS.text)
    problem ??= `is longer than ${CONTRACT_LIMITS.text} bytes`;
  return problem === undefined ? decoded(result) : undecodable(problem);
}
