/** Packets that no engine of the simulation made. */

import { writeU16 } from '../wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../wire/checksum.ts';
import { decodeIp, PROTOCOL_TCP } from '../wire/ip.ts';
import { encodeIpv4, IPV4_HEADER_BYTES, IPV4_SOURCE } from '../wire/ipv4.ts';
import type { Seq } from '../wire/seq.ts';
import type { TcpFlags } from '../wire/tcp-header.ts';
import {
  ACK,
  decodeTcpHeader,
  encodeTcpHeader,
  RST,
  TCP_CHECKSUM,
  TCP_HEADER_BYTES,
} from '../wire/tcp-header.ts';
import type { OptionPlace, TcpOptions } from '../wire/tcp-options.ts';
import { encodeTcpOptions, NO_OPTIONS } from '../wire/tcp-options.ts';

const TTL = 64;
const OPTIONS_MAX = 40;

/** A segment between two IPv4 addresses. */
export interface Forged {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: Seq;
  readonly ack: Seq;
  readonly flags: TcpFlags;
  readonly window: number;
  readonly options?: TcpOptions;
  readonly layout?: readonly OptionPlace[];
}

export function forge(segment: Forged): Uint8Array {
  const options = new Uint8Array(OPTIONS_MAX);
  const optionBytes = encodeTcpOptions(options, 0, segment.options ?? NO_OPTIONS, segment.layout ?? []);
  const packet = new Uint8Array(IPV4_HEADER_BYTES + TCP_HEADER_BYTES + optionBytes);
  const { source, destination } = segment;
  encodeIpv4(packet, {
    source,
    destination,
    protocol: PROTOCOL_TCP,
    ttl: TTL,
    trafficClass: 0,
    identification: 0,
  });
  encodeTcpHeader(packet, IPV4_HEADER_BYTES, { ...segment, urgentPointer: 0, optionBytes });
  packet.set(options.subarray(0, optionBytes), IPV4_HEADER_BYTES + TCP_HEADER_BYTES);
  const length = packet.length - IPV4_HEADER_BYTES;
  const pseudo = pseudoHeaderSum(packet, IPV4_SOURCE, 8, PROTOCOL_TCP, length);
  const sum = checksumFinish(checksumAdd(pseudo, packet, IPV4_HEADER_BYTES, packet.length));
  writeU16(packet, IPV4_HEADER_BYTES + TCP_CHECKSUM, sum);
  return packet;
}

/** A RST as the sender of `packet` could have sent it then. */
export function resetLike(packet: Uint8Array): Uint8Array {
  const ip = decodeIp(packet);
  const header = ip.ok ? decodeTcpHeader(packet, ip.value.payload, ip.value.end) : ip;
  if (!ip.ok || !header.ok) throw new Error('not a segment');
  const { source, destination } = ip.value;
  return forge({
    source: packet.subarray(source, destination),
    destination: packet.subarray(destination, destination + 4),
    sourcePort: header.value.sourcePort,
    destinationPort: header.value.destinationPort,
    seq: header.value.seq,
    ack: header.value.ack,
    flags: RST | ACK,
    window: 0,
  });
}

/** Whether a segment carries text. */
export function isData(packet: Uint8Array): boolean {
  const ip = decodeIp(packet);
  const header = ip.ok ? decodeTcpHeader(packet, ip.value.payload, ip.value.end) : ip;
  return ip.ok && header.ok && ip.value.end > header.value.payload;
}
