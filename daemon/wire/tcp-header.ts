/** The TCP header. RFC 9293 section 3.1 */

import { type Decoded, decoded, undecodable } from '#base/result.ts';
import { type Field, readU8, readU16, readU32, writeU16, writeU32 } from './bytes.ts';
import { type Seq, seq } from './seq.ts';

/** Bit mask of the control bits. */
export type TcpFlags = number;
export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
export const ECE = 0x40;
export const CWR = 0x80;

const FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'] as const;

const FIELD = {
  sourcePort: [0, 2],
  destinationPort: [2, 4],
  seq: [4, 8],
  ack: [8, 12],
  dataOffset: [12, 13],
  flags: [13, 14],
  window: [14, 16],
  checksum: [16, 18],
  urgentPointer: [18, 20],
} as const satisfies Record<string, Field>;

export const TCP_HEADER_BYTES = 20;
export const TCP_OPTIONS_BYTES_MAX = 40;
export const TCP_CHECKSUM = FIELD.checksum[0];
/** An ICMP error quotes at least that much: ports and sequence number. RFC 792 */
const TCP_QUOTED_BYTES = 8;

export interface TcpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: Seq;
  /** Meaningful with the ACK flag only. */
  readonly ack: Seq;
  readonly flags: TcpFlags;
  /** The field as it is, unscaled. */
  readonly window: number;
  readonly urgentPointer: number;
  /** Offsets in the packet: options lie between `options` and `payload`, data from there to the packet's end. */
  readonly options: number;
  readonly payload: number;
}

/** Reads the header of a segment that lies at `packet[start, end)`. The checksum is the caller's to verify. */
export function decodeTcpHeader(packet: Uint8Array, start: number, end: number): Decoded<TcpHeader> {
  if (start < 0 || end > packet.length || end - start < TCP_HEADER_BYTES) return undecodable('short');
  const headerBytes = (readU8(packet, start + FIELD.dataOffset[0]) >>> 4) * 4;
  if (headerBytes < TCP_HEADER_BYTES || start + headerBytes > end) return undecodable('data-offset');
  return decoded({
    sourcePort: readU16(packet, start + FIELD.sourcePort[0]),
    destinationPort: readU16(packet, start + FIELD.destinationPort[0]),
    seq: seq(readU32(packet, start + FIELD.seq[0])),
    ack: seq(readU32(packet, start + FIELD.ack[0])),
    flags: readU8(packet, start + FIELD.flags[0]),
    window: readU16(packet, start + FIELD.window[0]),
    urgentPointer: readU16(packet, start + FIELD.urgentPointer[0]),
    options: start + TCP_HEADER_BYTES,
    payload: start + headerBytes,
  });
}

/** What is left of a TCP header in an ICMP error's quotation. */
export interface QuotedTcpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: Seq;
}

export function decodeQuotedTcp(packet: Uint8Array, start: number): Decoded<QuotedTcpHeader> {
  if (start < 0 || start + TCP_QUOTED_BYTES > packet.length) return undecodable('short');
  return decoded({
    sourcePort: readU16(packet, start + FIELD.sourcePort[0]),
    destinationPort: readU16(packet, start + FIELD.destinationPort[0]),
    seq: seq(readU32(packet, start + FIELD.seq[0])),
  });
}

/** Writes a header with a zero checksum; the options, already padded, follow it. */
export function encodeTcpHeader(
  packet: Uint8Array,
  start: number,
  header: {
    readonly sourcePort: number;
    readonly destinationPort: number;
    readonly seq: Seq;
    readonly ack: Seq;
    readonly flags: TcpFlags;
    readonly window: number;
    readonly urgentPointer: number;
    readonly optionBytes: number;
  },
): void {
  writeU16(packet, start + FIELD.sourcePort[0], header.sourcePort);
  writeU16(packet, start + FIELD.destinationPort[0], header.destinationPort);
  writeU32(packet, start + FIELD.seq[0], header.seq);
  writeU32(packet, start + FIELD.ack[0], header.ack);
  packet[start + FIELD.dataOffset[0]] = ((TCP_HEADER_BYTES + header.optionBytes) / 4) << 4;
  packet[start + FIELD.flags[0]] = header.flags;
  writeU16(packet, start + FIELD.window[0], header.window);
  writeU16(packet, start + FIELD.checksum[0], 0);
  writeU16(packet, start + FIELD.urgentPointer[0], header.urgentPointer);
}

/** The names of the flags that are set, in the order they stand in the header, CWR first. */
export function flagNames(flags: TcpFlags): (typeof FLAG_NAMES)[number][] {
  return FLAG_NAMES.filter((_, bit) => (flags & (1 << bit)) !== 0).reverse();
}
