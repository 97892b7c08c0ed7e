/**
 * The Internet checksum (RFC 1071) in pieces: a sum is carried from one piece to the next and finished once.
 * Every piece but the last must have an even length.
 */

/** From so many bytes on, reading four at a time saves more than the view costs. */
const VIEW_PAYS_BYTES = 256;

/**
 * Adds the 16-bit words of `bytes[start, end)` to `sum`; an odd last byte is padded with zero.
 * The answer is folded below 2^17, so any number of pieces can be added; a piece has at most 64 KiB.
 */
export function checksumAdd(sum: number, bytes: Uint8Array, start: number, end: number): number {
  let total = sum;
  let at = start;
  // Words are added as they are and folded at the end: 32 bits hold the sum of 64 KiB.
  if (end - start >= VIEW_PAYS_BYTES) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let high = 0;
    let low = 0;
    for (; at < end - 15; at += 16) {
      const first = view.getInt32(at);
      const second = view.getInt32(at + 4);
      const third = view.getInt32(at + 8);
      const fourth = view.getInt32(at + 12);
      high += (first >>> 16) + (second >>> 16) + (third >>> 16) + (fourth >>> 16);
      low += (first & 0xffff) + (second & 0xffff) + (third & 0xffff) + (fourth & 0xffff);
    }
    total += high + low;
  }
  for (; at < end - 1; at += 2) total += ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  if (at < end) total += (bytes[at] as number) << 8;
  return (total & 0xffff) + (total >>> 16);
}

/** The checksum field for a sum: its one's complement. Zero when a sum that includes a correct field is given. */
export function checksumFinish(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

/**
 * The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) for addresses that lie one after
 * the other at `addresses`, as they do in both IP headers.
 *
 * @param addressBytes of both addresses together: 8 or 32
 */
export function pseudoHeaderSum(
  packet: Uint8Array,
  addresses: number,
  addressBytes: number,
  protocol: number,
  upperLength: number,
): number {
  const sum = (upperLength >>> 16) + (upperLength & 0xffff) + protocol;
  return checksumAdd(sum, packet, addresses, addresses + addressBytes);
}
