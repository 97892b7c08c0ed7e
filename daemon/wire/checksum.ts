/**
 * The Internet checksum (RFC 1071) in pieces: a sum is carried from one piece to the next and finished once.
 * Every piece but the last must have an even length.
 */

/**
 * Adds the 16-bit words of `bytes[start, end)` to `sum`; an odd last byte is padded with zero.
 * The answer is folded below 2^17, so any number of pieces can be added; a piece has at most 64 KiB.
 */
export function checksumAdd(sum: number, bytes: Uint8Array, start: number, end: number): number {
  let total = sum;
  let at = start;
  // Words are added as they are and folded at the end: 32 bits hold the sum of 64 KiB.
  const unrolledEnd = end - 7;
  while (at < unrolledEnd) {
    total +=
      (((bytes[at] as number) << 8) | (bytes[at + 1] as number)) +
      (((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) +
      (((bytes[at + 4] as number) << 8) | (bytes[at + 5] as number)) +
      (((bytes[at + 6] as number) << 8) | (bytes[at + 7] as number));
    at += 8;
  }
  while (at < end - 1) {
    total += ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    at += 2;
  }
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
