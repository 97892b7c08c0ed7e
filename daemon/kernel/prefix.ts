/** The prefixes of TUN devices: which addresses they give, and which are free. */

import { FinwaitError } from '#base/errors.ts';
import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Route } from '../netlink/rtnetlink.ts';
import type { Family, IpAddress } from '../wire/address.ts';
import { ipFromBytes, parseIpAddress } from '../wire/address.ts';

/** A prefix of a TUN device: the first address is the host's, the second the engine's. */
export interface Prefix {
  readonly family: Family;
  readonly length: number;
  readonly network: IpAddress;
  readonly host: IpAddress;
  readonly engine: IpAddress;
  /** `198.18.77.0/29` */
  readonly text: string;
}

/** Routes to prefixes wider than this say "everything else", as a default route does: any prefix lies in them. */
const WIDEST_OVERLAP = { 4: 8, 6: 16 } as const;

/** Of the benchmarking network 198.18.0.0/15 (RFC 2544), which no real network may use. */
const DEFAULT_V4_BASES = ['198.18.77', '198.19.77', '198.18.177', '198.19.177'];
/** Unique local (RFC 4193): `f`, then "finwait" written in ASCII. */
const DEFAULT_V6_BASE = 'fd66:696e:7761';
const DEFAULT_V6_SUBNET = 0x6974;
const SLOTS = 32;

/**
 * @param text `ADDRESS/LENGTH` with no bits set after the prefix, and room for two hosts
 */
export function parsePrefix(text: string, family: Family): Decoded<Prefix> {
  const [, address, digits] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const parsed = parseIpAddress(address ?? '');
  if (!parsed.ok || parsed.value.family !== family)
    return undecodable(`not an IPv${family} prefix: ADDRESS/LENGTH`);
  const longest = family === 4 ? 30 : 126;
  const length = Number(digits);
  if (length < WIDEST_OVERLAP[family] || length > longest)
    return undecodable(`the length is not ${WIDEST_OVERLAP[family]} to ${longest}`);
  const { bytes } = parsed.value;
  if (!isNetwork(bytes, length)) return undecodable('the address has bits set after the prefix');
  const at = (host: number) => ipFromBytes(bytes.with(bytes.length - 1, (bytes.at(-1) ?? 0) + host));
  return decoded({
    family,
    length,
    network: parsed.value,
    host: at(1),
    engine: at(2),
    text: `${parsed.value.text}/${length}`,
  });
}

/**
 * The prefixes a device may have: the configured one, or the defaults. Which default comes first depends on the
 * device's number, which the kernel gives once only, so that two runs that start together do not take the same one.
 * @throws FinwaitError CONFIG_INVALID
 */
export function candidatePrefixes(
  configured: string | undefined,
  family: Family,
  deviceNumber: number,
): Prefix[] {
  const texts = configured === undefined ? defaultPrefixes(family, deviceNumber) : [configured];
  return texts.map((text) => {
    const prefix = parsePrefix(text, family);
    if (prefix.ok) return prefix.value;
    const example = family === 4 ? '198.18.77.0/29' : 'fd66:696e:7761:6974::/64';
    throw new FinwaitError('CONFIG_INVALID', `prefix ${text}: ${prefix.reason}`, `write it like ${example}`);
  });
}

/**
 * The first candidate that no route leads into.
 * @param routes those of this network namespace that overlap a candidate, at least
 * @param deviceName the name of a link, for the error's text
 * @throws FinwaitError TUN_PREFIX_IN_USE with the route
 */
export function choosePrefix(
  candidates: readonly Prefix[],
  routes: readonly Route[],
  deviceName: (index: number) => string,
): Prefix {
  let reason: { prefix: Prefix; route: Route } | undefined;
  for (const prefix of candidates) {
    const route = routes.find((each) => overlaps(prefix, each));
    if (route === undefined) return prefix;
    reason ??= { prefix, route };
  }
  if (reason === undefined) throw new RangeError('no candidates');
  const { prefix, route } = reason;
  throw new FinwaitError(
    'TUN_PREFIX_IN_USE',
    `${prefix.text} overlaps the route ${routeText(route, deviceName)}`,
    `choose an IPv${prefix.family} prefix that nothing here uses with --prefix-v${prefix.family}`,
  );
}

function defaultPrefixes(family: Family, deviceNumber: number): string[] {
  const slot = deviceNumber % SLOTS;
  if (family === 4) return DEFAULT_V4_BASES.map((base) => `${base}.${slot * 8}/29`);
  return [0, SLOTS, 2 * SLOTS].map(
    (more) => `${DEFAULT_V6_BASE}:${(DEFAULT_V6_SUBNET + slot + more).toString(16)}::/64`,
  );
}

/** Whether a route leads to addresses of the prefix. */
export function overlaps(prefix: Prefix, route: Route): boolean {
  if (route.family !== prefix.family || route.prefixLength < WIDEST_OVERLAP[prefix.family]) return false;
  const shorter = Math.min(prefix.length, route.prefixLength);
  return samePrefix(prefix.network.bytes, route.destination, shorter);
}

function samePrefix(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  for (let i = 0; i < a.length; i++) {
    const mask = maskByte(bits - i * 8);
    if (((a[i] ?? 0) & mask) !== ((b[i] ?? 0) & mask)) return false;
  }
  return true;
}

function isNetwork(bytes: Uint8Array, bits: number): boolean {
  return bytes.every((byte, i) => (byte & ~maskByte(bits - i * 8)) === 0);
}

/** The mask of a byte of which `bits` bits, if positive, are in the prefix. */
function maskByte(bits: number): number {
  if (bits >= 8) return 0xff;
  return bits <= 0 ? 0 : (0xff << (8 - bits)) & 0xff;
}

function routeText(route: Route, deviceName: (index: number) => string): string {
  const type = route.type === 'unicast' ? '' : `${route.type} `;
  const via = route.gateway === undefined ? '' : ` via ${ipFromBytes(route.gateway).text}`;
  const by = route.oif === undefined ? '' : ` dev ${deviceName(route.oif)}`;
  return `${type}${ipFromBytes(route.destination).text}/${route.prefixLength}${via}${by}`;
}
