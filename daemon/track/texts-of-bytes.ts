/** The texts of addresses that come as bytes, again and again: few addresses have many flows. */

import { ipFromBytes } from '../wire/address.ts';

const REMEMBERED_MAX = 16_384;

/** A function that answers the canonical text of 4 or 16 bytes. */
export function textsOfBytes(): (bytes: Uint8Array) => string {
  const texts = new Map<string, string>();
  return (bytes) => {
    const key = Buffer.prototype.latin1Slice.call(bytes);
    const known = texts.get(key);
    if (known !== undefined) return known;
    const { text } = ipFromBytes(bytes);
    if (texts.size < REMEMBERED_MAX) texts.set(key, text);
    return text;
  };
}
