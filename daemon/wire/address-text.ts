/** Texts of IP addresses to bytes, strictly: RFC 6943 3.1.1 "strict" IPv4, RFC 4291 2.2 IPv6. */

/** Four decimal numbers without leading zeros; octal and hexadecimal forms of `inet_aton` are refused. */
export function parseIpv4Text(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i += 1) {
    const part = match[i + 1] as string;
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

export function parseIpv6Text(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupBytes(halves[0] ?? '', halves.length === 1);
  if (halves.length === 1) return head?.length === 16 ? Uint8Array.from(head) : undefined;
  const tail = groupBytes(halves[1] ?? '', true);
  // `::` stands for at least one group.
  if (head === undefined || tail === undefined || head.length + tail.length > 14) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of groups between colons; the last may be a dotted IPv4 address when it ends the text. */
function groupBytes(text: string, endsText: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
      continue;
    }
    const dotted = endsText && index === groups.length - 1 ? parseIpv4Text(group) : undefined;
    if (dotted === undefined) return undefined;
    bytes.push(...dotted);
  }
  return bytes;
}
