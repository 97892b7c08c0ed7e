/** Levels and numbers of socket options on Linux, and their values as bytes. */

import type { Errno } from '../../daemon/tcp/sockets/errno.ts';
import type { OptionName, OptionValue } from '../../daemon/tcp/sockets/options.ts';
import { ERRNO } from './errno-numbers.ts';

export const SOL_SOCKET = 1;
export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_IPV6 = 41;
export const TCP_INFO = 11;
export const TCP_CC_INFO = 26;

/** By level, then number. */
const OPTIONS: Readonly<Record<number, Readonly<Record<number, OptionName>>>> = {
  [SOL_SOCKET]: {
    2: 'SO_REUSEADDR',
    4: 'SO_ERROR',
    7: 'SO_SNDBUF',
    8: 'SO_RCVBUF',
    9: 'SO_KEEPALIVE',
    10: 'SO_OOBINLINE',
    13: 'SO_LINGER',
    30: 'SO_ACCEPTCONN',
  },
  [IPPROTO_IP]: { 1: 'IP_TOS', 2: 'IP_TTL', 11: 'IP_RECVERR' },
  [IPPROTO_IPV6]: { 16: 'IPV6_UNICAST_HOPS', 25: 'IPV6_RECVERR', 26: 'IPV6_V6ONLY', 67: 'IPV6_TCLASS' },
  [IPPROTO_TCP]: {
    1: 'TCP_NODELAY',
    2: 'TCP_MAXSEG',
    3: 'TCP_CORK',
    4: 'TCP_KEEPIDLE',
    5: 'TCP_KEEPINTVL',
    6: 'TCP_KEEPCNT',
    8: 'TCP_LINGER2',
    12: 'TCP_QUICKACK',
    13: 'TCP_CONGESTION',
    18: 'TCP_USER_TIMEOUT',
  },
};

export function optionName(level: number, number: number): OptionName | undefined {
  return OPTIONS[level]?.[number];
}

/** Where an option is found: for who writes a call. */
export function optionPlace(name: string): { readonly level: number; readonly number: number } | undefined {
  for (const [level, numbers] of Object.entries(OPTIONS)) {
    for (const [number, other] of Object.entries(numbers)) {
      if (other === name) return { level: Number(level), number: Number(number) };
    }
  }
  return undefined;
}

/** What setsockopt was given; EINVAL when it is too short for what the option takes. */
export function decodeOption(name: OptionName, bytes: Uint8Array): OptionValue | Errno {
  if (name === 'TCP_CONGESTION') return Buffer.from(bytes).toString('latin1').replace(/\0.*$/s, '');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (name === 'SO_LINGER') {
    if (bytes.length < 8) return 'EINVAL';
    return { on: view.getInt32(0, true) !== 0, seconds: view.getInt32(4, true) };
  }
  if (bytes.length >= 4) return view.getInt32(0, true);
  // The options of IP may be a single byte.
  return bytes.length > 0 && name.startsWith('IP_') ? view.getUint8(0) : 'EINVAL';
}

/** What getsockopt answers. */
export function encodeOption(name: OptionName, value: OptionValue): Uint8Array {
  if (typeof value === 'object') return int32s(Number(value.on), value.seconds);
  if (name === 'SO_ERROR') return int32s(value === '' ? 0 : ERRNO[value as Errno]);
  // TCP_CA_NAME_MAX
  if (typeof value === 'string') return Buffer.from(value.padEnd(16, '\0'), 'latin1');
  return int32s(value);
}

export function int32s(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) view.setInt32(4 * index, value, true);
  return bytes;
}
