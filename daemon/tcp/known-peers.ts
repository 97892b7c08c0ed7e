/**
 * Addresses that have completed a handshake: under a flood of SYNs from made-up addresses they are answered first.
 * Who was here before is the only thing that tells a real peer's first SYN from the rest (Linux does it by its
 * tcp_metrics: tcp_peer_is_proven). One word for each of so many addresses; a later one takes an earlier one's place.
 */

import { readU32 } from '../wire/bytes.ts';

const PLACES = 4096;

export class KnownPeers {
  readonly #words = new Int32Array(PLACES);
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Remembers the address of `length` bytes at `offset`. */
  add(bytes: Uint8Array, offset: number, length: number): void {
    const word = this.#hash(bytes, offset, length);
    this.#words[word & (PLACES - 1)] = word;
  }

  has(bytes: Uint8Array, offset: number, length: number): boolean {
    const word = this.#hash(bytes, offset, length);
    return this.#words[word & (PLACES - 1)] === word;
  }

  /** Never 0, which stands for nobody. */
  #hash(bytes: Uint8Array, offset: number, length: number): number {
    let hash = this.#seed;
    for (let at = 0; at < length; at += 4) {
      hash = Math.imul(hash ^ readU32(bytes, offset + at), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return Math.imul(hash, 0x85ebca6b) | 0x8000_0000;
  }
}
