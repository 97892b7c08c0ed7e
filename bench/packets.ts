/** Segments of peers that the benchmark makes in memory. */

import { writeU16, writeU32 } from '../daemon/wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../daemon/wire/checksum.ts';
import { PROTOCOL_TCP } from '../daemon/wire/ip.ts';
import { encodeIpv4, IPV4_SOURCE } from '../daemon/wire/ipv4.ts';
import { seq } from '../daemon/wire/seq.ts';
import { encodeTcpHeader, SYN, TCP_CHECKSUM, TCP_HEADER_BYTES } from '../daemon/wire/tcp-header.ts';
import { address } from './engine-on-tun.ts';
import { ENGINE } from './network.ts';

const IP_BYTES = 20;
const MSS_OPTION = [2, 4, 1460 >> 8, 1460 & 0xff];
const TO = address(ENGINE).bytes;

export interface Peer {
  /** The last three bytes of its address, in 10.0.0.0/8. */
  readonly host: number;
  readonly port: number;
  /** The engine's port. */
  readonly to: number;
}

/** An IPv4 packet to the engine with one segment; a SYN announces an MSS. */
export function segmentOf(
  { host, port, to }: Peer,
  segment: { readonly flags: number; readonly seq: number; readonly ack?: number },
  text = new Uint8Array(0),
): Uint8Array {
  const options = (segment.flags & SYN) === 0 ? [] : MSS_OPTION;
  const packet = new Uint8Array(IP_BYTES + TCP_HEADER_BYTES + options.length + text.length);
  const source = Uint8Array.of(10, host >>> 16, host >>> 8, host);
  const header = { source, destination: TO, protocol: PROTOCOL_TCP, ttl: 64, trafficClass: 0 };
  encodeIpv4(packet, { ...header, identification: 0 });
  encodeTcpHeader(packet, IP_BYTES, {
    sourcePort: port,
    destinationPort: to,
    seq: seq(segment.seq),
    ack: seq(segment.ack ?? 0),
    flags: segment.flags,
    window: 0xffff,
    urgentPointer: 0,
    optionBytes: options.length,
  });
  packet.set(options, IP_BYTES + TCP_HEADER_BYTES);
  packet.set(text, packet.length - text.length);
  writeU16(packet, IP_BYTES + TCP_CHECKSUM, checksumOf(packet));
  return packet;
}

/** Gives a SYN another source and sequence number in place. */
export function disguise(packet: Uint8Array, host: number, port: number, sequence: number): void {
  packet[13] = host >>> 16;
  packet[14] = host >>> 8;
  packet[15] = host;
  writeU16(packet, IP_BYTES, port);
  writeU32(packet, IP_BYTES + 4, sequence);
  writeU16(packet, 10, 0);
  writeU16(packet, 10, checksumFinish(checksumAdd(0, packet, 0, IP_BYTES)));
  writeU16(packet, IP_BYTES + TCP_CHECKSUM, 0);
  writeU16(packet, IP_BYTES + TCP_CHECKSUM, checksumOf(packet));
}

function checksumOf(packet: Uint8Array): number {
  const bytes = packet.length - IP_BYTES;
  const pseudo = pseudoHeaderSum(packet, IPV4_SOURCE, 8, PROTOCOL_TCP, bytes);
  return checksumFinish(checksumAdd(pseudo, packet, IP_BYTES, packet.length));
}
