/** What both IP headers say, as offsets into the packet: nothing is copied. */

import { type Decoded, undecodable } from '#base/result.ts';
import type { Family } from './address.ts';
import { decodeIpv4 } from './ipv4.ts';
import { decodeIpv6 } from './ipv6.ts';

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_ICMPV6 = 58;

export interface IpHeader {
  readonly family: Family;
  /** Offsets of the addresses; the destination follows the source. */
  readonly source: number;
  readonly destination: number;
  /** Of the payload, after extension headers. */
  readonly protocol: number;
  /** TTL or hop limit. */
  readonly ttl: number;
  /** DSCP and ECN: type of service or traffic class. */
  readonly trafficClass: number;
  /** The packet is a fragment; its payload is not a whole one. */
  readonly fragment: boolean;
  /** Offsets of the payload's first byte and of the byte after its last. */
  readonly payload: number;
  readonly end: number;
}

/** Bytes of an address of that family. */
export function addressBytes(family: Family): 4 | 16 {
  return family === 4 ? 4 : 16;
}

/** Reads the header of either version. */
export function decodeIp(packet: Uint8Array): Decoded<IpHeader> {
  if (packet.length === 0) return undecodable('short');
  return (packet[0] as number) >>> 4 === 6 ? decodeIpv6(packet) : decodeIpv4(packet);
}
