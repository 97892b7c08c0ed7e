/** IP addresses: both families as one value with a canonical text, and what kind of address each is. */

import { type Decoded, decoded, undecodable } from '#base/result.ts';
import { parseIpv4Text, parseIpv6Text } from './address-text.ts';
import { readU16, sameBytes } from './bytes.ts';

export type Family = 4 | 6;

export interface IpAddress {
  readonly family: Family;
  /** Dotted IPv4, or RFC 5952 IPv6. Equal addresses have equal texts. */
  readonly text: string;
  /** 4 or 16 bytes in network order; never changed. */
  readonly bytes: Uint8Array;
}

/** What an address may be used for. `loopback` to `global` can be the source of a segment, the others cannot. */
export type AddressKind = 'unspecified' | 'loopback' | 'link-local' | 'global' | 'multicast' | 'broadcast';

/** Reads an address; a v4-mapped IPv6 address becomes the IPv4 address. Zones (`%eth0`) are not accepted. */
export function parseIpAddress(text: string): Decoded<IpAddress> {
  const bytes = text.includes(':') ? parseIpv6Text(text) : parseIpv4Text(text);
  return bytes === undefined ? undecodable('not an IP address') : decoded(ipFromBytes(bytes));
}

/**
 * The address of 4 or 16 bytes, which are copied; a v4-mapped IPv6 address becomes the IPv4 address.
 *
 * @throws RangeError for any other length, which is a bug of the caller
 */
export function ipFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return ipAt(bytes, 0, 4);
  if (bytes.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  return isV4Mapped(bytes, 0) ? ipAt(bytes, 12, 4) : ipAt(bytes, 0, 6);
}

/** The address that lies at `offset`, as it is: its bytes are copied. */
export function ipAt(packet: Uint8Array, offset: number, family: Family): IpAddress {
  if (family === 6) {
    const bytes = packet.slice(offset, offset + 16);
    return { family, text: ipv6Text(bytes), bytes };
  }
  const bytes = packet.slice(offset, offset + 4);
  return { family, text: `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`, bytes };
}

/** `127.0.0.1:80`, `[::1]:80` */
export function formatEndpoint(address: IpAddress, port: number): string {
  return address.family === 4 ? `${address.text}:${port}` : `[${address.text}]:${port}`;
}

export function sameAddress(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && sameBytes(a.bytes, 0, b.bytes, 0, a.bytes.length);
}

/** Whether the 16 bytes at `offset` are in ::ffff:0:0/96. Such an address never appears on a wire (RFC 4291 2.5.5.2). */
export function isV4Mapped(bytes: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 10; i += 1) if (bytes[offset + i] !== 0) return false;
  return readU16(bytes, offset + 10) === 0xffff;
}

export function addressKind(address: IpAddress): AddressKind {
  return addressKindAt(address.bytes, 0, address.family);
}

/** The kind of the address that lies at `offset`. RFC 1122 3.2.1.3, RFC 4291 2.4 */
export function addressKindAt(bytes: Uint8Array, offset: number, family: Family): AddressKind {
  return family === 4 ? ipv4Kind(bytes, offset) : ipv6Kind(bytes, offset);
}

function ipv4Kind(bytes: Uint8Array, offset: number): AddressKind {
  const first = bytes[offset] as number;
  if (first === 127) return 'loopback';
  if (first === 0) return 'unspecified';
  if (first === 169 && bytes[offset + 1] === 254) return 'link-local';
  if (first >= 224 && first < 240) return 'multicast';
  const ones = bytes[offset + 1] === 255 && bytes[offset + 2] === 255 && bytes[offset + 3] === 255;
  return first === 255 && ones ? 'broadcast' : 'global';
}

function ipv6Kind(bytes: Uint8Array, offset: number): AddressKind {
  const first = bytes[offset] as number;
  if (first === 0xff) return 'multicast';
  if (first === 0xfe && ((bytes[offset + 1] as number) & 0xc0) === 0x80) return 'link-local';
  for (let i = 0; i < 15; i += 1) if (bytes[offset + i] !== 0) return 'global';
  const last = bytes[offset + 15];
  return last === 0 ? 'unspecified' : last === 1 ? 'loopback' : 'global';
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function ipv6Text(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(readU16(bytes, at));
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (bestStart < 0) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}
