/** Packets of a peer that says anything: plausible in most of its fields, impossible in some. */

import type { SeededRandom } from '../../daemon/netsim/random.ts';
import type { TcpInfo } from '../../daemon/tcp/types.ts';
import type { Family } from '../../daemon/wire/address.ts';
import { writeU16, writeU32 } from '../../daemon/wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../daemon/wire/checksum.ts';
import { PROTOCOL_TCP } from '../../daemon/wire/ip.ts';
import { encodeIpv4 } from '../../daemon/wire/ipv4.ts';
import { encodeIpv6 } from '../../daemon/wire/ipv6.ts';
import { seq } from '../../daemon/wire/seq.ts';
import {
  ACK,
  CWR,
  ECE,
  encodeTcpHeader,
  FIN,
  PSH,
  RST,
  SYN,
  TCP_CHECKSUM,
  TCP_HEADER_BYTES,
  URG,
} from '../../daemon/wire/tcp-header.ts';
import { V4, V6 } from '../daemon/wire/support.ts';

/** More often what keeps a connection going. */
const FLAGS = [
  ...[ACK, ACK, ACK, ACK, ACK | PSH, ACK | PSH, ACK | ECE, ACK | CWR, ACK | ECE | CWR],
  ...[
    FIN | ACK,
    FIN | ACK | PSH,
    URG | ACK,
    URG | ACK | PSH,
    SYN,
    SYN | ACK,
    SYN | ECE | CWR,
    SYN | ACK | ECE,
  ],
  ...[RST, RST | ACK, FIN, URG, 0, SYN | FIN, SYN | RST, 255],
];
const OPTIONS_MAX = 40;
const TEXT_MAX = 1400;

export interface Ports {
  readonly engine: number;
  readonly peer: number;
}

export interface FuzzSegment {
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly text: number;
  readonly urgentPointer?: number;
  readonly trafficClass?: number;
}

/** The octet that has a number, in either direction: whatever is cut, joined or repeated, it stays that. */
export function octetAt(number: number): number {
  return (Math.imul(number, 0x9e3779b1) >>> 24) & 0xff;
}

/** What the peer remembers in order to be plausible. */
export class PacketMaker {
  readonly family: Family;
  readonly #random: SeededRandom;
  readonly #bytes = new Uint8Array(40 + TCP_HEADER_BYTES + OPTIONS_MAX + TEXT_MAX);
  readonly #options = new Uint8Array(OPTIONS_MAX);
  #optionBytes = 0;
  /** Of the engine's last segment, to be echoed. */
  tsSeen = 0;
  /** The peer's clock of timestamps runs from here. */
  readonly #tsBase: number;

  constructor(random: SeededRandom, family: Family) {
    this.#random = random;
    this.family = family;
    this.#tsBase = random.below(0x1_0000_0000);
  }

  /** The next segment has no options. */
  plain(): this {
    this.#optionBytes = 0;
    return this;
  }

  /** Options of a decent SYN. */
  synOptions(offers: { timestamps: boolean; sack: boolean; shift: number | undefined }, nowUs: number): this {
    this.plain();
    this.#put(2, 4, this.#random.chance(0.9) ? 500 + this.#random.below(1000) : this.#random.below(65_536));
    if (offers.sack) this.#put(4, 2);
    if (offers.shift !== undefined) this.#put(3, 3, offers.shift);
    if (offers.timestamps) this.#timestamps(this.#tsBase + Math.floor(nowUs / 1000), 0);
    return this;
  }

  /** Any options, as a segment of an open connection may have them, and sometimes as none may. */
  anyOptions(info: TcpInfo | undefined, nowUs: number): this {
    const random = this.#random;
    this.plain();
    if (random.chance(info?.timestampsEnabled ? 0.9 : 0.1)) {
      const clock = this.#tsBase + Math.floor(nowUs / 1000);
      const odd = random.chance(0.1);
      const value = odd
        ? random.chance(0.5)
          ? clock - random.below(100_000)
          : random.below(2 ** 32)
        : clock;
      this.#timestamps(value, random.chance(0.9) ? this.tsSeen : random.below(2 ** 32));
    }
    if (random.chance(info?.sackPermitted ? 0.35 : 0.02)) this.#sackBlocks(info);
    if (random.chance(0.05)) this.#put(2, 4, random.below(65_536));
    if (random.chance(0.03)) this.#put(3, 3, random.below(256));
    if (random.chance(0.03)) this.#put(4, 2);
    if (random.chance(0.02)) this.#put(random.below(256), 2 + random.below(8), random.below(65_536));
    if (random.chance(0.02)) for (let n = random.below(9); n > 0; n -= 1) this.#byte(random.below(256));
    return this;
  }

  anyFlags(): number {
    return FLAGS[this.#random.below(FLAGS.length)] as number;
  }

  /** The packet; it is overwritten by the next one. */
  packet(ports: Ports, segment: FuzzSegment): Uint8Array {
    while (this.#optionBytes % 4 !== 0) this.#byte(this.#random.below(2));
    const v4 = this.family === 4;
    const at = v4 ? 20 : 40;
    const ends = v4 ? V4 : V6;
    const optionBytes = this.#optionBytes;
    const packet = this.#bytes.subarray(0, at + TCP_HEADER_BYTES + optionBytes + segment.text);
    const { trafficClass = 0, urgentPointer = 0 } = segment;
    const header = {
      source: ends.b.bytes,
      destination: ends.a.bytes,
      protocol: PROTOCOL_TCP,
      ttl: 64,
      trafficClass,
    };
    if (v4) encodeIpv4(packet, { ...header, identification: 1 });
    else encodeIpv6(packet, { ...header, flowLabel: 1 });
    encodeTcpHeader(packet, at, {
      sourcePort: ports.peer,
      destinationPort: ports.engine,
      seq: seq(segment.seq),
      ack: seq(segment.ack),
      flags: segment.flags,
      window: segment.window,
      urgentPointer,
      optionBytes,
    });
    packet.set(this.#options.subarray(0, optionBytes), at + TCP_HEADER_BYTES);
    const first = segment.seq + (segment.flags & SYN ? 1 : 0);
    const textAt = packet.length - segment.text;
    for (let octet = 0; octet < segment.text; octet += 1) packet[textAt + octet] = octetAt(first + octet);
    fixTcpChecksum(packet, this.family);
    return packet;
  }

  #timestamps(value: number, echo: number): void {
    if (this.#optionBytes + 10 > OPTIONS_MAX) return;
    this.#byte(8);
    this.#byte(10);
    writeU32(this.#options, this.#optionBytes, value >>> 0);
    writeU32(this.#options, this.#optionBytes + 4, echo >>> 0);
    this.#optionBytes += 8;
  }

  /** Blocks that lie in what is in flight, whole segments of it or any part, old ones, and nonsense. */
  #sackBlocks(info: TcpInfo | undefined): void {
    const random = this.#random;
    const una = info?.sndUna ?? 0;
    const flight = Math.max(((info?.sndNxt ?? 0) - una) | 0, 0);
    const mss = info?.sendMss ?? 536;
    const count = Math.min(1 + random.below(4), Math.floor((OPTIONS_MAX - this.#optionBytes - 2) / 8));
    if (count <= 0) return;
    this.#byte(5);
    this.#byte(2 + 8 * count);
    for (let block = 0; block < count; block += 1) {
      const whole = random.chance(0.7);
      const step = whole ? mss : 1;
      const left = random.below(Math.floor(flight / step) + 1) * step;
      const right = Math.min(left + (1 + random.below(4)) * step, flight);
      const old = random.chance(0.1) ? random.below(5000) : 0;
      const nonsense = random.chance(0.05);
      writeU32(this.#options, this.#optionBytes, (nonsense ? random.below(2 ** 32) : una + left - old) >>> 0);
      writeU32(this.#options, this.#optionBytes + 4, (una + right - old) >>> 0);
      this.#optionBytes += 8;
    }
  }

  #put(kind: number, length: number, value = 0): void {
    if (this.#optionBytes + length > OPTIONS_MAX) return;
    this.#byte(kind);
    this.#byte(length);
    if (length === 3) this.#byte(value);
    else if (length >= 4) {
      writeU16(this.#options, this.#optionBytes, value);
      this.#optionBytes += 2;
      for (let rest = length - 4; rest > 0; rest -= 1) this.#byte(value);
    }
  }

  #byte(value: number): void {
    if (this.#optionBytes < OPTIONS_MAX) this.#options[this.#optionBytes++] = value;
  }
}

/** Writes the checksum that the segment should have. */
export function fixTcpChecksum(packet: Uint8Array, family: Family): void {
  const at = family === 4 ? 20 : 40;
  const addresses = family === 4 ? 12 : 8;
  const length = packet.length - at;
  writeU16(packet, at + TCP_CHECKSUM, 0);
  const pseudo = pseudoHeaderSum(packet, addresses, family === 4 ? 8 : 32, PROTOCOL_TCP, length);
  writeU16(packet, at + TCP_CHECKSUM, checksumFinish(checksumAdd(pseudo, packet, at, packet.length)));
}
