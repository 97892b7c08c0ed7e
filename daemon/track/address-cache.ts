/** Texts of addresses: the same few are asked for again and again, so those asked for last are kept. */

import { ipFromBytes } from '../wire/address.ts';

const SLOTS = 1 << 12;
const WORDS = 4;
/** The third word of a v4-mapped address, as a little-endian machine reads it. */
export const MAPPED = 0xffff_0000;

export class AddressCache {
  readonly #keys = new Uint32Array(SLOTS * WORDS);
  readonly #texts: (string | undefined)[] = [];
  readonly #bytes = new Uint8Array(16);
  readonly #bytesAsWords = new Uint32Array(this.#bytes.buffer);

  /** @param words of the address as the kernel has them in memory, from `at` on: 1 for IPv4, 4 for IPv6 */
  text(words: Uint32Array, at: number, family: 4 | 6): string {
    if (family === 6 && !isMapped(words, at)) {
      return this.#kept(words[at] ?? 0, words[at + 1] ?? 0, words[at + 2] ?? 0, words[at + 3] ?? 0);
    }
    return this.#kept(0, 0, MAPPED, words[family === 4 ? at : at + 3] ?? 0);
  }

  #kept(a: number, b: number, c: number, d: number): string {
    const mixed = Math.imul(a ^ Math.imul(b, 31) ^ Math.imul(d, 0x9e37_79b1), 0x85eb_ca6b);
    const slot = (mixed >>> 20) & (SLOTS - 1);
    const key = slot * WORDS;
    const keys = this.#keys;
    const known = this.#texts[slot];
    if (
      known !== undefined &&
      keys[key] === a &&
      keys[key + 1] === b &&
      keys[key + 2] === c &&
      keys[key + 3] === d
    )
      return known;
    keys.set([a, b, c, d], key);
    this.#bytesAsWords.set([a, b, c, d]);
    const { text } = ipFromBytes(this.#bytes);
    this.#texts[slot] = text;
    return text;
  }
}

/** Whether four words are an IPv4 address in IPv6's form. */
export function isMapped(words: Uint32Array, at: number): boolean {
  return words[at] === 0 && words[at + 1] === 0 && words[at + 2] === MAPPED;
}
