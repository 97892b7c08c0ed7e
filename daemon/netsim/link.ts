/** One direction of a link: what it does to packets, decided by a seed. */

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
  /** Larger packets are answered with ICMP "too big". */
  readonly mtu?: number;
  /** Packets for which it answers true are lost: to lose one certain leg. */
  readonly lose?: (packet: Uint8Array, nowUs: number) => boolean;
}

/** What became of a packet. */
export type Fate = 'delivered' | 'duplicated' | 'corrupted' | 'lost' | 'queue-full' | 'too-big';

export interface Passage {
  readonly fate: Fate;
  readonly arrivals: readonly { readonly atUs: number; readonly packet: Uint8Array }[];
  /** What the link itself sends back to the sender. */
  readonly answer?: Uint8Array;
}

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
    const leavesUs = this.#leavesUs(packet.length, nowUs);
    if (leavesUs === undefined) return { fate: 'queue-full', arrivals: [] };
    const corrupted = random.chance(options.corrupt ?? 0);
    if (corrupted) {
      const at = random.below(packet.length);
      packet[at] = (packet[at] ?? 0) ^ (1 << random.below(8));
    }
    const arrivals = [{ atUs: leavesUs + this.#delayUs(), packet }];
    const duplicated = random.chance(options.duplicate ?? 0);
    if (duplicated) arrivals.push({ atUs: leavesUs + this.#delayUs(), packet: packet.slice() });
    return { fate: corrupted ? 'corrupted' : duplicated ? 'duplicated' : 'delivered', arrivals };
  }

  #delayUs(): number {
    const { delayUs, jitterUs = 0, reorder = 0, reorderUs = 0 } = this.options;
    const held = this.#random.chance(reorder) ? reorderUs : 0;
    return delayUs + held + (jitterUs > 0 ? this.#random.below(jitterUs) : 0);
  }

  /** When the packet has left the line, which takes one at a time; undefined when the queue before it is full. */
  #leavesUs(bytes: number, nowUs: number): number | undefined {
    const { bitsPerSecond, queueBytes = 64 * 1024 } = this.options;
    if (bitsPerSecond === undefined) return nowUs;
    const usPerByte = 8_000_000 / bitsPerSecond;
    const startsUs = Math.max(this.#lineFreeUs, nowUs);
    if ((startsUs - nowUs) / usPerByte > queueBytes) return undefined;
    this.#lineFreeUs = startsUs + Math.ceil(bytes * usPerByte);
    return this.#lineFreeUs;
  }
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
