/** ICMP (RFC 792) and ICMPv6 (RFC 4443): echo, and errors with the segment they quote. */

import { type Decoded, decoded, undecodable } from '#base/result.ts';
import { type Family, type IpAddress, ipFromBytes } from './address.ts';
import { type Field, readU8, readU16, readU32 } from './bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from './checksum.ts';
import { errorKind, type IcmpErrorKind } from './icmp-kinds.ts';
import { addressBytes, type IpHeader, PROTOCOL_ICMPV6, PROTOCOL_TCP } from './ip.ts';
import { decodeQuotedIpv4 } from './ipv4.ts';
import { decodeQuotedIpv6 } from './ipv6.ts';
import type { Seq } from './seq.ts';
import { decodeQuotedTcp } from './tcp-header.ts';

const FIELD = {
  type: [0, 1],
  code: [1, 2],
  checksum: [2, 4],
  /** Errors: pointer, MTU or unused; ICMPv6 uses all four bytes for the MTU. */
  rest: [4, 8],
  nextHopMtu: [6, 8],
} as const satisfies Record<string, Field>;

export const ICMP_HEADER_BYTES = 8;
export const ICMP_CHECKSUM = FIELD.checksum[0];
export const ECHO_REQUEST_V4 = 8;
export const ECHO_REPLY_V4 = 0;
export const ECHO_REQUEST_V6 = 128;
export const ECHO_REPLY_V6 = 129;

export interface IcmpError {
  readonly family: Family;
  readonly type: number;
  readonly code: number;
  readonly kind: IcmpErrorKind;
  /** With kind `too-big`: the next hop's MTU as it says; 0 from routers older than RFC 1191. */
  readonly mtu?: number;
}

/** The segment an error is about, as its first sender sent it. */
export interface QuotedSegment {
  readonly source: IpAddress;
  readonly sourcePort: number;
  readonly destination: IpAddress;
  readonly destinationPort: number;
  readonly seq: Seq;
}

export type IcmpMessage =
  | { readonly kind: 'echo-request' }
  | { readonly kind: 'echo-reply' }
  /** `quoted` is undefined when the error is not about TCP. */
  | { readonly kind: 'error'; readonly error: IcmpError; readonly quoted: QuotedSegment | undefined }
  | { readonly kind: 'other'; readonly type: number; readonly code: number };

/** Reads the ICMP message that is the payload of `packet`, checksum included. */
export function decodeIcmp(packet: Uint8Array, ip: IpHeader): Decoded<IcmpMessage> {
  const { payload: start, end, family } = ip;
  if (end - start < ICMP_HEADER_BYTES || end > packet.length) return undecodable('short');
  const pseudo =
    family === 4 ? 0 : pseudoHeaderSum(packet, ip.source, 2 * addressBytes(6), PROTOCOL_ICMPV6, end - start);
  if (checksumFinish(checksumAdd(pseudo, packet, start, end)) !== 0) return undecodable('checksum');
  const type = readU8(packet, start + FIELD.type[0]);
  const code = readU8(packet, start + FIELD.code[0]);
  if (type === (family === 4 ? ECHO_REQUEST_V4 : ECHO_REQUEST_V6)) return decoded({ kind: 'echo-request' });
  if (type === (family === 4 ? ECHO_REPLY_V4 : ECHO_REPLY_V6)) return decoded({ kind: 'echo-reply' });
  const kind = errorKind(family, type, code);
  if (kind === undefined) return decoded({ kind: 'other', type, code });
  const mtuField =
    family === 4 ? readU16(packet, start + FIELD.nextHopMtu[0]) : readU32(packet, start + FIELD.rest[0]);
  const error: IcmpError =
    kind === 'too-big' ? { family, type, code, kind, mtu: mtuField } : { family, type, code, kind };
  return decoded({
    kind: 'error',
    error,
    quoted: decodeQuotation(packet.subarray(start + ICMP_HEADER_BYTES, end), family),
  });
}

/** RFC 5927 section 4: what lets the receiver tell which connection, and whether the segment was in flight. */
function decodeQuotation(quotation: Uint8Array, family: Family): QuotedSegment | undefined {
  const ip = family === 4 ? decodeQuotedIpv4(quotation) : decodeQuotedIpv6(quotation);
  if (!ip.ok || ip.value.fragment || ip.value.protocol !== PROTOCOL_TCP) return undefined;
  const tcp = decodeQuotedTcp(quotation, ip.value.payload);
  if (!tcp.ok) return undefined;
  const { source, destination } = ip.value;
  const bytes = addressBytes(family);
  return {
    source: ipFromBytes(quotation.subarray(source, source + bytes)),
    sourcePort: tcp.value.sourcePort,
    destination: ipFromBytes(quotation.subarray(destination, destination + bytes)),
    destinationPort: tcp.value.destinationPort,
    seq: tcp.value.seq,
  };
}
