/** The IPv6 header and the walk over extension headers. RFC 8200 sections 3 and 4 */

import { type Decoded, decoded, undecodable } from '#base/result.ts';
import { type Field, readU8, readU16, readU32, writeU16, writeU32 } from './bytes.ts';
import type { IpHeader } from './ip.ts';

const FIELD = {
  versionClassAndFlow: [0, 4],
  payloadLength: [4, 6],
  nextHeader: [6, 7],
  hopLimit: [7, 8],
  source: [8, 24],
  destination: [24, 40],
} as const satisfies Record<string, Field>;

export const IPV6_HEADER_BYTES = 40;
export const IPV6_SOURCE = FIELD.source[0];
export const IPV6_DESTINATION = FIELD.destination[0];

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
/** A packet with more extension headers than that is not one anyone sends in good faith. */
const EXTENSION_HEADERS_MAX = 8;

/** Reads a header and skips its extension headers; bytes after the payload length are not part of the packet. */
export function decodeIpv6(packet: Uint8Array): Decoded<IpHeader> {
  if (packet.length < IPV6_HEADER_BYTES) return undecodable('short');
  const end = IPV6_HEADER_BYTES + readU16(packet, FIELD.payloadLength[0]);
  if (end > packet.length) return undecodable('total-length');
  return decodeUpTo(packet, end);
}

/** Reads what an ICMPv6 error quotes: as `decodeIpv6`, but the payload may be cut off. */
export function decodeQuotedIpv6(packet: Uint8Array): Decoded<IpHeader> {
  if (packet.length < IPV6_HEADER_BYTES) return undecodable('short');
  return decodeUpTo(packet, packet.length);
}

function decodeUpTo(packet: Uint8Array, end: number): Decoded<IpHeader> {
  const first = readU32(packet, FIELD.versionClassAndFlow[0]);
  if (first >>> 28 !== 6) return undecodable('version');
  let protocol = readU8(packet, FIELD.nextHeader[0]);
  let payload = IPV6_HEADER_BYTES;
  let fragment = false;
  for (let extensions = 0; isExtension(protocol); extensions += 1) {
    if (extensions === EXTENSION_HEADERS_MAX) return undecodable('extension-headers');
    if (payload + 8 > end) return undecodable('extension-header-length');
    const lengthField = readU8(packet, payload + 1);
    let bytes = 8 + lengthField * 8;
    // RFC 8200 4.4: it has another destination to go to; nobody here forwards it.
    if (protocol === ROUTING && readU8(packet, payload + 3) > 0) return undecodable('routing-header');
    if (protocol === AUTHENTICATION) bytes = (lengthField + 2) * 4;
    if (protocol === FRAGMENT) {
      bytes = 8;
      // An atomic fragment (offset 0, no more) is a whole packet. RFC 6946
      fragment ||= (readU16(packet, payload + 2) & 0xfff9) !== 0;
    }
    protocol = readU8(packet, payload);
    payload += bytes;
    if (payload > end) return undecodable('extension-header-length');
    if (fragment) break;
  }
  return decoded({
    family: 6,
    source: IPV6_SOURCE,
    destination: IPV6_DESTINATION,
    protocol,
    ttl: readU8(packet, FIELD.hopLimit[0]),
    trafficClass: (first >>> 20) & 0xff,
    fragment,
    payload,
    end,
  });
}

function isExtension(protocol: number): boolean {
  return (
    protocol === HOP_BY_HOP ||
    protocol === ROUTING ||
    protocol === FRAGMENT ||
    protocol === AUTHENTICATION ||
    protocol === DESTINATION_OPTIONS
  );
}

/** Writes a header at the start of `packet`; the rest of `packet` is its payload. */
export function encodeIpv6(
  packet: Uint8Array,
  header: {
    readonly source: Uint8Array;
    readonly destination: Uint8Array;
    readonly protocol: number;
    readonly ttl: number;
    readonly trafficClass: number;
    readonly flowLabel: number;
  },
): void {
  writeU32(
    packet,
    FIELD.versionClassAndFlow[0],
    (6 << 28) | (header.trafficClass << 20) | (header.flowLabel & 0xfffff),
  );
  writeU16(packet, FIELD.payloadLength[0], packet.length - IPV6_HEADER_BYTES);
  packet[FIELD.nextHeader[0]] = header.protocol;
  packet[FIELD.hopLimit[0]] = header.ttl;
  packet.set(header.source, FIELD.source[0]);
  packet.set(header.destination, FIELD.destination[0]);
}
