/** Builds packets: IP header, TCP header, options, text, checksum. */

import { writeU16 } from '../wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../wire/checksum.ts';
import { addressBytes, PROTOCOL_TCP } from '../wire/ip.ts';
import { encodeIpv4, IPV4_SOURCE } from '../wire/ipv4.ts';
import { encodeIpv6, IPV6_SOURCE } from '../wire/ipv6.ts';
import type { Seq } from '../wire/seq.ts';
import {
  encodeTcpHeader,
  TCP_CHECKSUM,
  TCP_HEADER_BYTES,
  TCP_OPTIONS_BYTES_MAX,
  type TcpFlags,
} from '../wire/tcp-header.ts';
import { encodeTcpOptions, type OptionPlace, type TcpOptions } from '../wire/tcp-options.ts';
import { ipHeaderBytes } from './agreement.ts';
import type { ByteRing } from './byte-ring.ts';
import type { SocketAddress } from './types.ts';

const SLAB_BYTES = 64 * 1024;

/** What is the same for all packets of a connection. */
export interface PacketPath {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly ttl: number;
  /** DSCP and ECN. */
  readonly trafficClass: number;
  /** IPv6: the same for all packets of a connection, RFC 6437. */
  readonly flowLabel: number;
  /** IPv4: routers are to say when a packet is too large, not to cut it. Default true. */
  readonly dontFragment?: boolean;
}

export interface OutgoingSegment {
  readonly seq: Seq;
  readonly ack: Seq;
  readonly flags: TcpFlags;
  /** The header's field, scaled already. */
  readonly window: number;
  /** Meaningful with the URG flag only. */
  readonly urgentPointer: number;
  readonly options: TcpOptions;
  readonly layout: readonly OptionPlace[];
  /** Text: `length` bytes from `offset` of the ring on. */
  readonly ring?: ByteRing | undefined;
  readonly offset: number;
  readonly length: number;
}

/** Packets are cut from slabs: one allocation serves many, and a packet stays as it is for as long as it is held. */
export class PacketBuilder {
  #slab = new Uint8Array(0);
  #used = 0;
  #identification = 0;
  readonly #options = new Uint8Array(TCP_OPTIONS_BYTES_MAX + 4);

  /** An empty packet of that many bytes. */
  take(bytes: number): Uint8Array {
    if (this.#used + bytes > this.#slab.length) {
      this.#slab = new Uint8Array(Math.max(SLAB_BYTES, bytes));
      this.#used = 0;
    }
    const packet = new Uint8Array(this.#slab.buffer, this.#used, bytes);
    this.#used += bytes;
    return packet;
  }

  /** Writes the IP header of a packet that `take` gave; what follows the header is there already or comes later. */
  writeIpHeader(packet: Uint8Array, path: PacketPath, protocol: number): void {
    const source = path.local.address.bytes;
    const destination = path.remote.address.bytes;
    const { ttl, trafficClass, flowLabel, dontFragment = true } = path;
    if (path.remote.address.family === 4) {
      this.#identification = (this.#identification + 1) & 0xffff;
      const identification = this.#identification;
      encodeIpv4(packet, { source, destination, protocol, ttl, trafficClass, identification, dontFragment });
    } else {
      encodeIpv6(packet, { source, destination, protocol, ttl, trafficClass, flowLabel });
    }
  }

  /** The packet of a segment, checksum included (MUST-2). */
  segment(path: PacketPath, segment: OutgoingSegment): Uint8Array {
    const { family } = path.remote.address;
    const ipBytes = ipHeaderBytes(family);
    const optionBytes = encodeTcpOptions(this.#options, 0, segment.options, segment.layout);
    const textAt = ipBytes + TCP_HEADER_BYTES + optionBytes;
    const packet = this.take(textAt + segment.length);
    this.writeIpHeader(packet, path, PROTOCOL_TCP);
    encodeTcpHeader(packet, ipBytes, {
      sourcePort: path.local.port,
      destinationPort: path.remote.port,
      seq: segment.seq,
      ack: segment.ack,
      flags: segment.flags,
      window: segment.window,
      urgentPointer: segment.urgentPointer,
      optionBytes,
    });
    for (let i = 0; i < optionBytes; i += 1) {
      packet[ipBytes + TCP_HEADER_BYTES + i] = this.#options[i] as number;
    }
    segment.ring?.copy(segment.offset, segment.length, packet, textAt);
    const addresses = family === 4 ? IPV4_SOURCE : IPV6_SOURCE;
    const length = packet.length - ipBytes;
    const pseudo = pseudoHeaderSum(packet, addresses, 2 * addressBytes(family), PROTOCOL_TCP, length);
    const checksum = checksumFinish(checksumAdd(pseudo, packet, ipBytes, packet.length));
    writeU16(packet, ipBytes + TCP_CHECKSUM, checksum);
    return packet;
  }
}
