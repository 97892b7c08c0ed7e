/**
 * Netlink messages and attributes: bytes <-> values. Headers are in host byte order (little-endian on every
 * machine Node 26 runs on); what attribute payloads hold is the family's matter.
 * linux/netlink.h
 */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

const NLMSG_HEADER = 16;
const NLA_HEADER = 4;

/** One message: its header's fields and a view of its payload. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly portId: number;
  readonly payload: Uint8Array;
}

/** A netlink attribute: its type without the flag bits, and a view of its payload. */
export interface Attribute {
  readonly type: number;
  readonly payload: Uint8Array;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function align4(length: number): number {
  return (length + 3) & ~3;
}

/** Every message of a datagram, or the reason the datagram is malformed. Payloads are views, not copies. */
export function decodeMessages(datagram: Uint8Array): Decoded<NetlinkMessage[]> {
  const view = viewOf(datagram);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < datagram.length; ) {
    if (datagram.length - at < NLMSG_HEADER) return undecodable('trailing bytes shorter than a header');
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER || length > datagram.length - at)
      return undecodable('length field out of bounds');
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      portId: view.getUint32(at + 12, true),
      payload: datagram.subarray(at + NLMSG_HEADER, at + length),
    });
    at += align4(length);
  }
  return decoded(messages);
}

/** The attributes of a payload from `offset` on, or the reason they are malformed. */
export function decodeAttributes(payload: Uint8Array, offset = 0): Decoded<Attribute[]> {
  const view = viewOf(payload);
  const attributes: Attribute[] = [];
  for (let at = offset; at + NLA_HEADER <= payload.length; ) {
    const length = view.getUint16(at, true);
    if (length < NLA_HEADER || length > payload.length - at)
      return undecodable('attribute length out of bounds');
    attributes.push({
      type: view.getUint16(at + 2, true) & NLA_TYPE_MASK,
      payload: payload.subarray(at + NLA_HEADER, at + length),
    });
    at += align4(length);
  }
  return decoded(attributes);
}

/**
 * Walks the attributes that lie in `[from, to)` of a message without allocating: the way for tables of many rows.
 * @param visit gets each attribute's type without the flag bits, and where its payload starts and ends
 * @returns whether the attributes are well formed; what came before a fault has been visited
 */
export function walkAttributes(
  view: DataView,
  from: number,
  to: number,
  visit: (type: number, start: number, end: number) => void,
): boolean {
  for (let at = from; at + NLA_HEADER <= to; ) {
    const length = view.getUint16(at, true);
    if (length < NLA_HEADER || length > to - at) return false;
    visit(view.getUint16(at + 2, true) & NLA_TYPE_MASK, at + NLA_HEADER, at + length);
    at += align4(length);
  }
  return true;
}

/** The error number of an NLMSG_ERROR payload as a negative errno, 0 for an acknowledgement. */
export function decodeErrno(payload: Uint8Array): number {
  return payload.length < 4 ? -22 : viewOf(payload).getInt32(0, true);
}

/**
 * What the kernel says about an error in its own words (extended acknowledgement), if it says anything.
 * @param message of type NLMSG_ERROR or NLMSG_DONE
 */
export function decodeExtendedError(message: NetlinkMessage): string | undefined {
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return undefined;
  const { payload } = message;
  let offset = 4;
  if (message.type === NLMSG_ERROR) {
    if (payload.length < 4 + NLMSG_HEADER) return undefined;
    // The request that failed follows: its header alone, or whole.
    const quoted = (message.flags & NLM_F_CAPPED) !== 0 ? NLMSG_HEADER : viewOf(payload).getUint32(4, true);
    offset += Math.max(NLMSG_HEADER, align4(quoted));
  }
  const attributes = decodeAttributes(payload, offset);
  if (!attributes.ok) return undefined;
  const words = attributes.value.find((attribute) => attribute.type === NLMSGERR_ATTR_MSG);
  return words === undefined ? undefined : decodeCString(words.payload);
}

/** A message with its header. */
export function encodeMessage(
  type: number,
  flags: number,
  seq: number,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  const body = concat(parts);
  const out = new Uint8Array(align4(NLMSG_HEADER + body.length));
  const view = viewOf(out);
  view.setUint32(0, NLMSG_HEADER + body.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, seq, true);
  out.set(body, NLMSG_HEADER);
  return out;
}

/** An attribute padded to four bytes. */
export function encodeAttribute(type: number, payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(align4(NLA_HEADER + payload.length));
  const view = viewOf(out);
  view.setUint16(0, NLA_HEADER + payload.length, true);
  view.setUint16(2, type, true);
  out.set(payload, NLA_HEADER);
  return out;
}

/** An attribute that holds attributes. */
export function encodeNested(type: number, ...attributes: readonly Uint8Array[]): Uint8Array {
  return encodeAttribute(type | NLA_F_NESTED, concat(attributes));
}

/** A NUL-terminated string, as names of links, tables and expressions are. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** The text up to the first NUL, or all of it. */
export function decodeCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
