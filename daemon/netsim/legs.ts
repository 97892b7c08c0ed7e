/** Loses certain legs of a connection: the SYN, the SYN-ACK, the last ACK, each the first time it is sent. */

import { decodeIp } from '../wire/ip.ts';
import { ACK, decodeTcpHeader, FIN, RST, SYN } from '../wire/tcp-header.ts';
import type { Side } from './transcript.ts';

/**
 * `ACK`: the third leg of the handshake. `FIN`: of the one who closes first, `PEER-FIN`: of the other one,
 * `LAST-ACK`: the answer to it.
 */
export const LEGS = ['SYN', 'SYN-ACK', 'ACK', 'DATA', 'FIN', 'PEER-FIN', 'LAST-ACK', 'RST'] as const;
export type Leg = (typeof LEGS)[number];

export class LegLoser {
  /** How often each leg is still to be lost. */
  readonly #left = new Map<Leg, number>();
  #firstCloser: Side | undefined;
  #peerClosed = false;
  #clientAcked = false;

  /** @param legs one that is named twice is lost twice */
  constructor(legs: readonly Leg[]) {
    for (const leg of legs) this.#left.set(leg, (this.#left.get(leg) ?? 0) + 1);
  }

  /** To be asked for every packet as it is sent. */
  loses(from: Side, packet: Uint8Array): boolean {
    const leg = this.#legOf(from, packet);
    const left = leg === undefined ? 0 : (this.#left.get(leg) ?? 0);
    if (leg === undefined || left === 0) return false;
    this.#left.set(leg, left - 1);
    return true;
  }

  /** Legs that are still to be lost. */
  left(): Leg[] {
    return LEGS.filter((leg) => (this.#left.get(leg) ?? 0) > 0);
  }

  #legOf(from: Side, packet: Uint8Array): Leg | undefined {
    const ip = decodeIp(packet);
    const header = ip.ok ? decodeTcpHeader(packet, ip.value.payload, ip.value.end) : ip;
    if (!ip.ok || !header.ok) return undefined;
    const { flags, payload } = header.value;
    if ((flags & RST) !== 0) return 'RST';
    if ((flags & SYN) !== 0) return (flags & ACK) === 0 ? 'SYN' : 'SYN-ACK';
    if ((flags & FIN) !== 0) {
      this.#firstCloser ??= from;
      if (from === this.#firstCloser) return 'FIN';
      this.#peerClosed = true;
      return 'PEER-FIN';
    }
    if (ip.value.end > payload) return 'DATA';
    if (this.#peerClosed && from === this.#firstCloser) return 'LAST-ACK';
    const third = from === 'client' && !this.#clientAcked;
    this.#clientAcked ||= third;
    return third ? 'ACK' : undefined;
  }
}
