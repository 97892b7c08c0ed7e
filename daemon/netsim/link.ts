/** One direction of a link: what it does to packets, decided by a seed. */

import { writeU16 } from '../wire/bytes.ts';
import { checksumAdd, checksumFinish } from '../wire/checksum.ts';
import { encodeIcmpError } from '../wire/icmp-encode.ts';
import { addressBytes, decodeIp } from '../wire/ip.ts';
import type { SeededRandom } from './random.ts';

/** Probabilities from 0 to 1, times in microseconds. */
export interface LinkOptions {
  readonly delayUs: number;
  /** Up to so much more, different for each packet; more than the gaps between packets means reordering. */
  readonly jitterUs?: number;
  readonly loss?: number;
  readonly duplicate?: number;
  /** A packet is held up for `reorderUs` and others overtake it. */
  readonly reorder?: number;
  readonly reorderUs?: number;
  /** One bit of the packet is flipped. */
  readonly corrupt?: number;
  readonly bitsPerSecond?: number;
  /** Bytes that may wait for the line when `bitsPerSecond` is set; more are lost. */
  readonly queueBytes?: number;
  /** With so many bytes waiting, packets that allow it are marked (RFC 3168); never without it. */
  readonly markBytes?: number;
  /** Larger packets are answered with ICMP "too big". */
  readonly mtu?: number;
  /** Packets for which it answers true are lost: to lose one certain leg. */
  readonly lose?: (packet: Uint8Array, nowUs: number) => boolean;
}

/** What became of a packet. */
export type Fate =
  | 'delivered'
  | 'duplicated'
  | 'corrupted'
  | 'marked'
  | 'lost'
  | 'queue-full'
  | 'too-big'
  /** No host has its destination. */
  | 'nowhere';

export interface Passage {
  readonly fate: Fate;
  readonly arrivals: readonly { readonly atUs: number; readonly packet: Uint8Array }[];
  /** What the link itself sends back to the sender. */
  readonly answer?: Uint8Array;
}

const QUEUE_BYTES = 64 * 1024;
/** A byte has eight bits, a second a million microseconds. */
const BITS_US = 8_000_000;
const CONGESTION_EXPERIENCED = 3;
const IPV4_CHECKSUM = 10;

export class Link {
  readonly options: LinkOptions;
  readonly #random: SeededRandom;
  #lineFreeUs = 0;

  constructor(options: LinkOptions, random: SeededRandom) {
    this.options = options;
    this.#random = random;
  }

  /** A packet enters the link; it may be changed. */
  pass(packet: Uint8Array, nowUs: number): Passage {
    const { options } = this;
    const random = this.#random;
    if (options.mtu !== undefined && packet.length > options.mtu) {
      return { fate: 'too-big', arrivals: [], answer: tooBig(packet, options.mtu) };
    }
    if (options.lose?.(packet, nowUs) === true || random.chance(options.loss ?? 0)) {
      return { fate: 'lost', arrivals: [] };
    }
    const queued = this.#queuedBytes(nowUs);
    if (queued > (options.queueBytes ?? QUEUE_BYTES)) return { fate: 'queue-full', arrivals: [] };
    const marked = queued > (options.markBytes ?? Number.POSITIVE_INFINITY) && mark(packet);
    const leavesUs = this.#leavesUs(packet.length, nowUs);
    const corrupted = random.chance(options.corrupt ?? 0);
    if (corrupted) {
      const at = random.below(packet.length);
      packet[at] = (packet[at] ?? 0) ^ (1 << random.below(8));
    }
    const arrivals = [{ atUs: leavesUs + this.#delayUs(), packet }];
    const duplicated = random.chance(options.duplicate ?? 0);
    if (duplicated) arrivals.push({ atUs: leavesUs + this.#delayUs(), packet: packet.slice() });
    const fate = corrupted ? 'corrupted' : duplicated ? 'duplicated' : marked ? 'marked' : 'delivered';
    return { fate, arrivals };
  }

  #delayUs(): number {
    const { delayUs, jitterUs = 0, reorder = 0, reorderUs = 0 } = this.options;
    const held = this.#random.chance(reorder) ? reorderUs : 0;
    return delayUs + held + (jitterUs > 0 ? this.#random.below(jitterUs) : 0);
  }

  /** Bytes that wait for the line. */
  #queuedBytes(nowUs: number): number {
    const { bitsPerSecond } = this.options;
    if (bitsPerSecond === undefined) return 0;
    return Math.max(this.#lineFreeUs - nowUs, 0) / (BITS_US / bitsPerSecond);
  }

  /** When the packet has left the line, which takes one at a time. */
  #leavesUs(bytes: number, nowUs: number): number {
    const { bitsPerSecond } = this.options;
    if (bitsPerSecond === undefined) return nowUs;
    this.#lineFreeUs = Math.max(this.#lineFreeUs, nowUs) + Math.ceil(bytes * (BITS_US / bitsPerSecond));
    return this.#lineFreeUs;
  }
}

/** RFC 3168: congestion experienced, where the sender allows it. Answers whether it does. */
function mark(packet: Uint8Array): boolean {
  const v4 = (packet[0] as number) >>> 4 === 4;
  const shift = v4 ? 0 : 4;
  const capable = (((packet[1] as number) >>> shift) & CONGESTION_EXPERIENCED) !== 0;
  if (!capable) return false;
  packet[1] = (packet[1] as number) | (CONGESTION_EXPERIENCED << shift);
  if (!v4) return true;
  writeU16(packet, IPV4_CHECKSUM, 0);
  const headerBytes = ((packet[0] as number) & 0x0f) * 4;
  writeU16(packet, IPV4_CHECKSUM, checksumFinish(checksumAdd(0, packet, 0, headerBytes)));
  return true;
}

/** Sent in the name of the packet's destination: the link has no address. */
function tooBig(packet: Uint8Array, mtu: number): Uint8Array {
  const ip = decodeIp(packet);
  if (!ip.ok) return new Uint8Array(0);
  const { destination, family } = ip.value;
  const source = packet.slice(destination, destination + addressBytes(family));
  return family === 4
    ? encodeIcmpError(packet, source, 3, 4, mtu)
    : encodeIcmpError(packet, source, 2, 0, mtu);
}
