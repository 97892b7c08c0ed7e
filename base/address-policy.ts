/** Which addresses may be probed: ranges that are denied, and ranges that alone are allowed. */

import { BlockList, isIP } from 'node:net';
import type { Decoded } from './result.ts';
import { decoded, undecodable } from './result.ts';

export interface AddressRange {
  /** As given: `10.0.0.0/8`, or an address alone. */
  readonly text: string;
  readonly address: string;
  readonly length: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** Says why an address may not be probed, undefined when it may. */
export type AddressPolicy = (address: string) => string | undefined;

/** `10.0.0.0/8`, `2001:db8::/32`, or an address, which is a range of one. */
export function addressRange(text: string): Decoded<AddressRange> {
  const [, address = '', digits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  const longest = version === 4 ? 32 : 128;
  const length = digits === undefined ? longest : Number(digits);
  if (version === 0 || length > longest || address.includes('%')) {
    return undecodable('is not a range of addresses such as 10.0.0.0/8 or 2001:db8::/32');
  }
  return decoded({ text, address, length, family: version === 4 ? 'ipv4' : 'ipv6' });
}

/**
 * The policy of two lists: an address in a denied range is forbidden; where ranges are allowed, so is one in none of
 * them. Without ranges everything may be probed.
 */
export function addressPolicy(allow: readonly AddressRange[], deny: readonly AddressRange[]): AddressPolicy {
  const allowed = allow.map(asList);
  const denied = deny.map((range) => ({ text: range.text, holds: asList(range) }));
  return (address) => {
    const within = denied.find(({ holds }) => holds(address));
    if (within !== undefined) return `${address} is in ${within.text}, where probes are denied`;
    if (allowed.length > 0 && !allowed.some((holds) => holds(address))) {
      return `${address} is in none of the ranges where probes are allowed`;
    }
    return undefined;
  };
}

function asList({ address, length, family }: AddressRange): (address: string) => boolean {
  const list = new BlockList();
  list.addSubnet(address, length, family);
  return (tested) => list.check(tested, isIP(tested) === 6 ? 'ipv6' : 'ipv4');
}
