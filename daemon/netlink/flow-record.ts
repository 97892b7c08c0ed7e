/**
 * One flow of a ctnetlink message, read into an object that is used again for the next: hundreds of thousands come
 * in a second. Attribute payloads are big-endian.
 * linux/netfilter/nfnetlink_conntrack.h
 */

import {
  AF_INET,
  AF_INET6,
  CONNTRACK_TCP_STATES,
  CTA,
  CTA_COUNTERS,
  CTA_IP,
  CTA_PROTO,
  CTA_PROTOINFO_TCP,
  CTA_TCP,
  CTA_TIMESTAMP,
  CTA_TUPLE,
  NFGENMSG_BYTES,
} from './ctnetlink-attributes.ts';

const NLA_HEADER = 4;
const NLA_TYPE_MASK = 0x3fff;

/** One direction: where its addresses lie in the message, and its ports. */
export class TupleRecord {
  /** Offsets in the message; -1 when it has none. */
  sourceAt = -1;
  destinationAt = -1;
  protocol = 0;
  sourcePort = 0;
  destinationPort = 0;
  /** Set where the zone holds for this direction only. */
  zone = 0;

  clear(): void {
    this.sourceAt = -1;
    this.destinationAt = -1;
    this.protocol = 0;
    this.sourcePort = 0;
    this.destinationPort = 0;
    this.zone = 0;
  }
}

class CountersRecord {
  present = false;
  packets = 0;
  bytes = 0;

  clear(): void {
    this.present = false;
    this.packets = 0;
    this.bytes = 0;
  }
}

/** Values of the message read last; those it does not hold are as `clear` leaves them. */
export class FlowRecord {
  /** Bytes of an address: 4 or 16. */
  addressBytes = 4;
  readonly original = new TupleRecord();
  readonly reply = new TupleRecord();
  status = 0;
  /** Of both directions. */
  zone = 0;
  mark = 0;
  timeoutS = 0;
  id = 0;
  /** Index into `CONNTRACK_TCP_STATES`, -1 without one. */
  tcpState = -1;
  /** `IP_CT_TCP_FLAG_*` of each direction's sender. */
  originalFlags = 0;
  replyFlags = 0;
  readonly originalCounters = new CountersRecord();
  readonly replyCounters = new CountersRecord();
  /** Unix time in milliseconds, 0 without. */
  startMs = 0;
  stopMs = 0;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #fault: string | undefined;

  /**
   * Reads the payload that lies in `[from, to)`.
   * @returns why it is no flow, or undefined when it was read
   */
  read(view: DataView, from: number, to: number): string | undefined {
    this.#clear(view);
    const family = to - from < NFGENMSG_BYTES ? 0 : view.getUint8(from);
    if (family !== AF_INET && family !== AF_INET6) return 'neither IPv4 nor IPv6';
    this.addressBytes = family === AF_INET ? 4 : 16;
    for (let at = from + NFGENMSG_BYTES, length = 0; at + NLA_HEADER <= to; at += align4(length)) {
      length = this.#length(at, to);
      if (length === 0) break;
      this.#attribute(this.#type(at), at + NLA_HEADER, at + length);
    }
    if (this.#fault !== undefined) return this.#fault;
    const { original, reply } = this;
    const whole =
      original.sourceAt >= 0 &&
      original.destinationAt >= 0 &&
      reply.sourceAt >= 0 &&
      reply.destinationAt >= 0;
    return whole ? undefined : 'a tuple without addresses of its family';
  }

  #clear(view: DataView): void {
    this.#view = view;
    this.#fault = undefined;
    this.original.clear();
    this.reply.clear();
    this.status = 0;
    this.zone = 0;
    this.mark = 0;
    this.timeoutS = 0;
    this.id = 0;
    this.tcpState = -1;
    this.originalFlags = 0;
    this.replyFlags = 0;
    this.originalCounters.clear();
    this.replyCounters.clear();
    this.startMs = 0;
    this.stopMs = 0;
  }

  #attribute(type: number, start: number, end: number): void {
    if (type === CTA.tupleOriginal) this.#tuple(this.original, start, end);
    else if (type === CTA.tupleReply) this.#tuple(this.reply, start, end);
    else if (type === CTA.status) this.status = this.#u32(start, end);
    else if (type === CTA.protoInfo) this.#protoInfo(start, end);
    else if (type === CTA.timeout) this.timeoutS = this.#u32(start, end);
    else if (type === CTA.mark) this.mark = this.#u32(start, end);
    else if (type === CTA.id) this.id = this.#u32(start, end);
    else if (type === CTA.zone) this.zone = this.#u16(start, end);
    else if (type === CTA.countersOriginal) this.#counters(this.originalCounters, start, end);
    else if (type === CTA.countersReply) this.#counters(this.replyCounters, start, end);
    else if (type === CTA.timestamp) this.#timestamp(start, end);
  }

  #tuple(tuple: TupleRecord, from: number, to: number): void {
    for (let at = from, length = 0; at + NLA_HEADER <= to; at += align4(length)) {
      length = this.#length(at, to);
      if (length === 0) return;
      const type = this.#type(at);
      if (type === CTA_TUPLE.ip) this.#addresses(tuple, at + NLA_HEADER, at + length);
      else if (type === CTA_TUPLE.proto) this.#ports(tuple, at + NLA_HEADER, at + length);
      else if (type === CTA_TUPLE.zone) tuple.zone = this.#u16(at + NLA_HEADER, at + length);
    }
  }

  #addresses(tuple: TupleRecord, from: number, to: number): void {
    for (let at = from, length = 0; at + NLA_HEADER <= to; at += align4(length)) {
      length = this.#length(at, to);
      if (length === 0) return;
      // One of the other family has another length, and is as good as none.
      if (length - NLA_HEADER !== this.addressBytes) continue;
      const type = this.#type(at);
      if (type === CTA_IP.v4Source || type === CTA_IP.v6Source) tuple.sourceAt = at + NLA_HEADER;
      else if (type === CTA_IP.v4Destination || type === CTA_IP.v6Destination)
        tuple.destinationAt = at + NLA_HEADER;
    }
  }

  #ports(tuple: TupleRecord, from: number, to: number): void {
    for (let at = from, length = 0; at + NLA_HEADER <= to; at += align4(length)) {
      length = this.#length(at, to);
      if (length === 0) return;
      const type = this.#type(at);
      if (type === CTA_PROTO.number) tuple.protocol = this.#u8(at + NLA_HEADER, at + length);
      else if (type === CTA_PROTO.sourcePort) tuple.sourcePort = this.#u16(at + NLA_HEADER, at + length);
      else if (type === CTA_PROTO.destinationPort)
        tuple.destinationPort = this.#u16(at + NLA_HEADER, at + length);
    }
  }

  #protoInfo(from: number, to: number): void {
    for (let at = from, length = 0; at + NLA_HEADER <= to; at += align4(length)) {
      length = this.#length(at, to);
      if (length === 0) return;
      if (this.#type(at) === CTA_PROTOINFO_TCP) this.#tcp(at + NLA_HEADER, at + length);
    }
  }

  #tcp(from: number, to: number): void {
    this.tcpState = 0;
    for (let at = from, length = 0; at + NLA_HEADER <= to; at += align4(length)) {
      length = this.#length(at, to);
      if (length === 0) return;
      const type = this.#type(at);
      if (type === CTA_TCP.state) this.tcpState = this.#u8(at + NLA_HEADER, at + length);
      else if (type === CTA_TCP.flagsOriginal) this.originalFlags = this.#u8(at + NLA_HEADER, at + length);
      else if (type === CTA_TCP.flagsReply) this.replyFlags = this.#u8(at + NLA_HEADER, at + length);
    }
    if (this.tcpState >= CONNTRACK_TCP_STATES.length) this.#fault = `unknown TCP state ${this.tcpState}`;
  }

  #counters(counters: CountersRecord, from: number, to: number): void {
    counters.present = true;
    for (let at = from, length = 0; at + NLA_HEADER <= to; at += align4(length)) {
      length = this.#length(at, to);
      if (length === 0) return;
      const type = this.#type(at);
      if (type === CTA_COUNTERS.packets) counters.packets = this.#u64(at + NLA_HEADER, at + length);
      else if (type === CTA_COUNTERS.bytes) counters.bytes = this.#u64(at + NLA_HEADER, at + length);
    }
  }

  #timestamp(from: number, to: number): void {
    for (let at = from, length = 0; at + NLA_HEADER <= to; at += align4(length)) {
      length = this.#length(at, to);
      if (length === 0) return;
      const type = this.#type(at);
      if (type === CTA_TIMESTAMP.start) this.startMs = this.#u64(at + NLA_HEADER, at + length) / 1e6;
      else if (type === CTA_TIMESTAMP.stop) this.stopMs = this.#u64(at + NLA_HEADER, at + length) / 1e6;
    }
  }

  #type(at: number): number {
    return this.#view.getUint16(at + 2, true) & NLA_TYPE_MASK;
  }

  /** Length of the attribute at `at` with its header, or 0 when it does not lie before `to`. */
  #length(at: number, to: number): number {
    const length = this.#view.getUint16(at, true);
    if (length >= NLA_HEADER && length <= to - at) return length;
    this.#fault = 'attribute length out of bounds';
    return 0;
  }

  #u8(start: number, end: number): number {
    return this.#has(1, start, end) ? this.#view.getUint8(start) : 0;
  }

  #u16(start: number, end: number): number {
    return this.#has(2, start, end) ? this.#view.getUint16(start) : 0;
  }

  #u32(start: number, end: number): number {
    return this.#has(4, start, end) ? this.#view.getUint32(start) : 0;
  }

  /** Exact up to 2^53. */
  #u64(start: number, end: number): number {
    return this.#has(8, start, end)
      ? this.#view.getUint32(start) * 2 ** 32 + this.#view.getUint32(start + 4)
      : 0;
  }

  #has(length: number, start: number, end: number): boolean {
    if (end - start >= length) return true;
    this.#fault = `an attribute of ${end - start} bytes where ${length} are needed`;
    return false;
  }
}

function align4(length: number): number {
  return (length + 3) & ~3;
}
