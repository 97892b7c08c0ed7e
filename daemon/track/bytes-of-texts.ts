/** The bytes of addresses that come as texts, again and again: few addresses have many sockets. */

import { parseIpAddress } from '../wire/address.ts';

const REMEMBERED_MAX = 16_384;
const NONE = new Uint8Array(0);

/** A function that answers 4 or 16 bytes, or none of what is not an address. */
export function bytesOfTexts(): (text: string) => Uint8Array {
  const known = new Map<string, Uint8Array>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const parsed = parseIpAddress(text);
    const bytes = parsed.ok ? parsed.value.bytes : NONE;
    if (known.size < REMEMBERED_MAX) known.set(text, bytes);
    return bytes;
  };
}
