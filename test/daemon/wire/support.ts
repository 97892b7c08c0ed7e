/** Packets made by hand, for tests of decoders. */

import { type IpAddress, parseIpAddress } from '../../../daemon/wire/address.ts';
import { writeU16 } from '../../../daemon/wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../../daemon/wire/checksum.ts';
import { PROTOCOL_TCP } from '../../../daemon/wire/ip.ts';
import { encodeIpv4 } from '../../../daemon/wire/ipv4.ts';
import { encodeIpv6 } from '../../../daemon/wire/ipv6.ts';
import { seq } from '../../../daemon/wire/seq.ts';
import { encodeTcpHeader, TCP_CHECKSUM } from '../../../daemon/wire/tcp-header.ts';

export function ip(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  if (!parsed.ok) throw new Error(`${text} is not an address`);
  return parsed.value;
}

export interface TcpPacket {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: number;
  readonly ack?: number;
  readonly flags: number;
  readonly window?: number;
  /** A multiple of four bytes. */
  readonly options?: Uint8Array;
  readonly data?: Uint8Array;
  readonly ttl?: number;
  readonly trafficClass?: number;
  readonly urgentPointer?: number;
}

/** A packet with right checksums. */
export function tcpPacket(of: TcpPacket): Uint8Array {
  const v4 = of.source.family === 4;
  const at = v4 ? 20 : 40;
  const { options = new Uint8Array(0), data = new Uint8Array(0) } = of;
  const packet = new Uint8Array(at + 20 + options.length + data.length);
  const header = {
    source: of.source.bytes,
    destination: of.destination.bytes,
    protocol: PROTOCOL_TCP,
    ttl: of.ttl ?? 64,
    trafficClass: of.trafficClass ?? 0,
  };
  if (v4) encodeIpv4(packet, { ...header, identification: 1 });
  else encodeIpv6(packet, { ...header, flowLabel: 1 });
  encodeTcpHeader(packet, at, {
    sourcePort: of.sourcePort,
    destinationPort: of.destinationPort,
    seq: seq(of.seq),
    ack: seq(of.ack ?? 0),
    flags: of.flags,
    window: of.window ?? 65_535,
    urgentPointer: of.urgentPointer ?? 0,
    optionBytes: options.length,
  });
  packet.set(options, at + 20);
  packet.set(data, at + 20 + options.length);
  const length = packet.length - at;
  const pseudo = pseudoHeaderSum(packet, v4 ? 12 : 8, v4 ? 8 : 32, PROTOCOL_TCP, length);
  writeU16(packet, at + TCP_CHECKSUM, checksumFinish(checksumAdd(pseudo, packet, at, packet.length)));
  return packet;
}

/** Puts `bytes` between the fixed IPv4 header of `packet` and what follows, as IP options. */
export function withIpv4Options(packet: Uint8Array, bytes: Uint8Array): Uint8Array {
  const longer = new Uint8Array(packet.length + bytes.length);
  longer.set(packet.subarray(0, 20));
  longer.set(bytes, 20);
  longer.set(packet.subarray(20), 20 + bytes.length);
  longer[0] = 0x45 + bytes.length / 4;
  writeU16(longer, 2, longer.length);
  writeU16(longer, 10, 0);
  writeU16(longer, 10, checksumFinish(checksumAdd(0, longer, 0, 20 + bytes.length)));
  return longer;
}

/** Puts extension headers, given as [kind, bytes after the next-header byte], before the payload of an IPv6 packet. */
export function withExtensionHeaders(
  packet: Uint8Array,
  headers: readonly (readonly [kind: number, rest: readonly number[]])[],
): Uint8Array {
  const protocol = packet[6] ?? 0;
  const bytes = headers.flatMap(([, rest], i) => [headers[i + 1]?.[0] ?? protocol, ...rest]);
  const longer = new Uint8Array(packet.length + bytes.length);
  longer.set(packet.subarray(0, 40));
  longer.set(bytes, 40);
  longer.set(packet.subarray(40), 40 + bytes.length);
  longer[6] = headers[0]?.[0] ?? protocol;
  writeU16(longer, 4, longer.length - 40);
  return longer;
}

export const V4 = { a: ip('192.0.2.1'), b: ip('192.0.2.2') };
export const V6 = { a: ip('2001:db8::1'), b: ip('2001:db8::2') };
