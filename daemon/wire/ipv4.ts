/** The IPv4 header. RFC 791 section 3.1 */

import { type Decoded, decoded, undecodable } from '#base/result.ts';
import { type Field, readU8, readU16, writeU16 } from './bytes.ts';
import { checksumAdd, checksumFinish } from './checksum.ts';
import type { IpHeader } from './ip.ts';

const FIELD = {
  versionAndIhl: [0, 1],
  trafficClass: [1, 2],
  totalLength: [2, 4],
  identification: [4, 6],
  flagsAndFragmentOffset: [6, 8],
  ttl: [8, 9],
  protocol: [9, 10],
  checksum: [10, 12],
  source: [12, 16],
  destination: [16, 20],
} as const satisfies Record<string, Field>;

export const IPV4_HEADER_BYTES = 20;
export const IPV4_SOURCE = FIELD.source[0];
export const IPV4_DESTINATION = FIELD.destination[0];
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS_OR_OFFSET = 0x3fff;

/** Reads a header; options are skipped, bytes after the total length are not part of the packet. */
export function decodeIpv4(packet: Uint8Array): Decoded<IpHeader> {
  if (packet.length < IPV4_HEADER_BYTES) return undecodable('short');
  const first = readU8(packet, FIELD.versionAndIhl[0]);
  if (first >>> 4 !== 4) return undecodable('version');
  const headerBytes = (first & 0x0f) * 4;
  const totalLength = readU16(packet, FIELD.totalLength[0]);
  if (headerBytes < IPV4_HEADER_BYTES) return undecodable('header-length');
  if (totalLength < headerBytes || totalLength > packet.length) return undecodable('total-length');
  if (checksumFinish(checksumAdd(0, packet, 0, headerBytes)) !== 0) return undecodable('header-checksum');
  return decoded({
    family: 4,
    source: IPV4_SOURCE,
    destination: IPV4_DESTINATION,
    protocol: readU8(packet, FIELD.protocol[0]),
    ttl: readU8(packet, FIELD.ttl[0]),
    trafficClass: readU8(packet, FIELD.trafficClass[0]),
    fragment: (readU16(packet, FIELD.flagsAndFragmentOffset[0]) & MORE_FRAGMENTS_OR_OFFSET) !== 0,
    payload: headerBytes,
    end: totalLength,
  });
}

/**
 * Reads what an ICMP error quotes: as `decodeIpv4`, but the packet may be cut off after its header, and the
 * checksum and TTL may be whatever routers on the way made of them.
 */
export function decodeQuotedIpv4(packet: Uint8Array): Decoded<IpHeader> {
  if (packet.length < IPV4_HEADER_BYTES) return undecodable('short');
  const first = readU8(packet, FIELD.versionAndIhl[0]);
  const headerBytes = (first & 0x0f) * 4;
  if (first >>> 4 !== 4) return undecodable('version');
  if (headerBytes < IPV4_HEADER_BYTES || headerBytes > packet.length) return undecodable('header-length');
  return decoded({
    family: 4,
    source: IPV4_SOURCE,
    destination: IPV4_DESTINATION,
    protocol: readU8(packet, FIELD.protocol[0]),
    ttl: readU8(packet, FIELD.ttl[0]),
    trafficClass: readU8(packet, FIELD.trafficClass[0]),
    // A later fragment does not start with the TCP header.
    fragment: (readU16(packet, FIELD.flagsAndFragmentOffset[0]) & 0x1fff) !== 0,
    payload: headerBytes,
    end: packet.length,
  });
}

/** Writes a header without options at the start of `packet`, whose length is the total length. */
export function encodeIpv4(
  packet: Uint8Array,
  header: {
    readonly source: Uint8Array;
    readonly destination: Uint8Array;
    readonly protocol: number;
    readonly ttl: number;
    readonly trafficClass: number;
    readonly identification: number;
    /** Default true. */
    readonly dontFragment?: boolean;
  },
): void {
  packet[FIELD.versionAndIhl[0]] = 0x45;
  packet[FIELD.trafficClass[0]] = header.trafficClass;
  writeU16(packet, FIELD.totalLength[0], packet.length);
  writeU16(packet, FIELD.identification[0], header.identification);
  writeU16(packet, FIELD.flagsAndFragmentOffset[0], header.dontFragment === false ? 0 : DONT_FRAGMENT);
  packet[FIELD.ttl[0]] = header.ttl;
  packet[FIELD.protocol[0]] = header.protocol;
  writeU16(packet, FIELD.checksum[0], 0);
  packet.set(header.source, FIELD.source[0]);
  packet.set(header.destination, FIELD.destination[0]);
  writeU16(packet, FIELD.checksum[0], checksumFinish(checksumAdd(0, packet, 0, IPV4_HEADER_BYTES)));
}
