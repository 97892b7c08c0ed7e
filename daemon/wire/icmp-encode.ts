/** ICMP errors as routers send them. RFC 792, RFC 1812 4.3.2.3, RFC 4443 section 3 */

import { writeU16, writeU32 } from './bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from './checksum.ts';
import { ICMP_CHECKSUM, ICMP_HEADER_BYTES } from './icmp.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from './ip.ts';
import { encodeIpv4, IPV4_DESTINATION, IPV4_HEADER_BYTES, IPV4_SOURCE } from './ipv4.ts';
import { encodeIpv6, IPV6_DESTINATION, IPV6_HEADER_BYTES, IPV6_SOURCE } from './ipv6.ts';

/** A router quotes as much as fits into the smallest packet every link takes. */
const QUOTED_BYTES_MAX = { 4: 576 - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES, 6: 1280 - 48 } as const;
const ROUTER_TTL = 64;

/**
 * The error that `source` sends about `packet`, to who sent it.
 *
 * @param source address of the router or host, 4 or 16 bytes as the packet's family has
 * @param mtu for "too big" errors
 */
export function encodeIcmpError(
  packet: Uint8Array,
  source: Uint8Array,
  type: number,
  code: number,
  mtu = 0,
): Uint8Array {
  const family = source.length === 4 ? 4 : 6;
  const headerBytes = family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const quoted = packet.subarray(0, QUOTED_BYTES_MAX[family]);
  const error = new Uint8Array(headerBytes + ICMP_HEADER_BYTES + quoted.length);
  error[headerBytes] = type;
  error[headerBytes + 1] = code;
  if (family === 4) writeU16(error, headerBytes + 6, mtu);
  else writeU32(error, headerBytes + 4, mtu);
  error.set(quoted, headerBytes + ICMP_HEADER_BYTES);
  const common = { source, ttl: ROUTER_TTL, trafficClass: 0 };
  let pseudo = 0;
  if (family === 4) {
    const destination = packet.subarray(IPV4_SOURCE, IPV4_DESTINATION);
    encodeIpv4(error, { ...common, destination, protocol: PROTOCOL_ICMP, identification: 0 });
  } else {
    const destination = packet.subarray(IPV6_SOURCE, IPV6_DESTINATION);
    encodeIpv6(error, { ...common, destination, protocol: PROTOCOL_ICMPV6, flowLabel: 0 });
    pseudo = pseudoHeaderSum(error, IPV6_SOURCE, 32, PROTOCOL_ICMPV6, error.length - headerBytes);
  }
  const checksum = checksumFinish(checksumAdd(pseudo, error, headerBytes, error.length));
  writeU16(error, headerBytes + ICMP_CHECKSUM, checksum);
  return error;
}
