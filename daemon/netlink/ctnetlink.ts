/**
 * The kernel's flow table: the request for a dump, and its answers. Attribute payloads are big-endian.
 * linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_conntrack_common.h, nf_conntrack_tcp.h
 */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import { encodeMessage, NLM_F_DUMP, NLM_F_REQUEST, viewOf, walkAttributes } from './message.ts';

export const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const NFGENMSG_BYTES = 4;

const AF_INET = 2;
const AF_INET6 = 10;
export const IPPROTO_TCP = 6;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_TIMEOUT = 7;
const CTA_MARK = 8;
const CTA_COUNTERS_ORIG = 9;
const CTA_COUNTERS_REPLY = 10;
const CTA_ZONE = 18;
const CTA_TIMESTAMP = 20;

const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_TUPLE_ZONE = 3;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;

const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_STATE = 1;
const CTA_PROTOINFO_TCP_FLAGS_ORIGINAL = 4;
const CTA_PROTOINFO_TCP_FLAGS_REPLY = 5;

const CTA_COUNTERS_PACKETS = 1;
const CTA_COUNTERS_BYTES = 2;
const CTA_TIMESTAMP_START = 1;

/** Bits of `status`. nf_conntrack_common.h */
export const STATUS = {
  seenReply: 1 << 1,
  assured: 1 << 2,
  sourceNat: 1 << 4,
  destinationNat: 1 << 5,
} as const;

/** `IP_CT_TCP_FLAG_CLOSE_INIT`: this side sent the first FIN. */
export const TCP_FLAG_CLOSE_INIT = 0x04;

/** conntrack's own names of TCP states by number; they are not a socket's states. nf_conntrack_tcp.h */
export const CONNTRACK_TCP_STATES = [
  'NONE',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
] as const;
export type ConntrackTcpState = (typeof CONNTRACK_TCP_STATES)[number];

/** One direction of a flow: the addresses and ports its packets carry. Bytes are views of the message. */
export interface FlowTuple {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Set where the zone holds for this direction only. */
  readonly zone: number;
  /** The whole as it was encoded: equal tuples have equal bytes. */
  readonly encoded: Uint8Array;
}

export interface FlowTcp {
  readonly state: ConntrackTcpState;
  /** `IP_CT_TCP_FLAG_*` of each direction's sender. */
  readonly originalFlags: number;
  readonly replyFlags: number;
}

export interface FlowCounters {
  readonly packets: number;
  readonly bytes: number;
}

export interface ConntrackFlow {
  readonly original: FlowTuple;
  /** What the answers carry: the original with its ends exchanged, unless NAT changes it. */
  readonly reply: FlowTuple;
  readonly status: number;
  /** Of both directions. */
  readonly zone: number;
  readonly mark: number;
  /** Time left until the kernel forgets the flow unless a packet comes. */
  readonly timeoutS: number;
  /** Only of flows with TCP. */
  readonly tcp?: FlowTcp;
  /** Only when net.netfilter.nf_conntrack_acct was 1 as the flow began. */
  readonly counters?: { readonly original: FlowCounters; readonly reply: FlowCounters };
  /** Unix time in milliseconds; only when net.netfilter.nf_conntrack_timestamp was 1 as the flow began. */
  readonly startMs?: number;
}

/** Asks for every flow of both families. The kernel walks the whole table of the machine for it. */
export function encodeFlowDump(seq: number): Uint8Array {
  const nfgenmsg = new Uint8Array(NFGENMSG_BYTES); // AF_UNSPEC, NFNETLINK_V0, resource 0
  return encodeMessage(
    (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET,
    NLM_F_REQUEST | NLM_F_DUMP,
    seq,
    nfgenmsg,
  );
}

/** One flow of a dump. */
export function decodeFlow(payload: Uint8Array): Decoded<ConntrackFlow> {
  const family = payload[0];
  if (family !== AF_INET && family !== AF_INET6) return undecodable('neither IPv4 nor IPv6');
  const read = new Reader(payload);
  let original: FlowTuple | undefined;
  let reply: FlowTuple | undefined;
  let tcp: FlowTcp | undefined;
  let originalCounters: FlowCounters | undefined;
  let replyCounters: FlowCounters | undefined;
  let startMs: number | undefined;
  let status = 0;
  let zone = 0;
  let mark = 0;
  let timeoutS = 0;
  read.attributes(NFGENMSG_BYTES, payload.length, (type, start, end) => {
    if (type === CTA_TUPLE_ORIG) original = tuple(read, start, end);
    else if (type === CTA_TUPLE_REPLY) reply = tuple(read, start, end);
    else if (type === CTA_PROTOINFO) tcp = protoInfo(read, start, end);
    else if (type === CTA_STATUS) status = read.u32(start, end);
    else if (type === CTA_TIMEOUT) timeoutS = read.u32(start, end);
    else if (type === CTA_MARK) mark = read.u32(start, end);
    else if (type === CTA_ZONE) zone = read.u16(start, end);
    else if (type === CTA_COUNTERS_ORIG) originalCounters = counters(read, start, end);
    else if (type === CTA_COUNTERS_REPLY) replyCounters = counters(read, start, end);
    else if (type === CTA_TIMESTAMP) startMs = timestampMs(read, start, end);
  });
  if (read.fault !== undefined) return undecodable(read.fault);
  const addressBytes = family === AF_INET ? 4 : 16;
  if (!hasAddresses(original, addressBytes) || !hasAddresses(reply, addressBytes)) {
    return undecodable('a tuple without addresses of its family');
  }
  return decoded({
    original,
    reply,
    status,
    zone,
    mark,
    timeoutS,
    ...(tcp === undefined ? {} : { tcp }),
    ...(originalCounters === undefined || replyCounters === undefined
      ? {}
      : { counters: { original: originalCounters, reply: replyCounters } }),
    ...(startMs === undefined ? {} : { startMs }),
  });
}

function hasAddresses(side: FlowTuple | undefined, length: number): side is FlowTuple {
  return side?.source.length === length && side.destination.length === length;
}

const NO_ADDRESS: Uint8Array = new Uint8Array(0);

function tuple(read: Reader, from: number, to: number): FlowTuple {
  const found = {
    source: NO_ADDRESS,
    destination: NO_ADDRESS,
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
    zone: 0,
    encoded: read.bytes(from, to),
  };
  read.attributes(from, to, (outer, outerStart, outerEnd) => {
    if (outer === CTA_TUPLE_IP) {
      read.attributes(outerStart, outerEnd, (type, start, end) => {
        if (type === CTA_IP_V4_SRC || type === CTA_IP_V6_SRC) found.source = read.bytes(start, end);
        if (type === CTA_IP_V4_DST || type === CTA_IP_V6_DST) found.destination = read.bytes(start, end);
      });
    } else if (outer === CTA_TUPLE_PROTO) {
      read.attributes(outerStart, outerEnd, (type, start, end) => {
        if (type === CTA_PROTO_NUM) found.protocol = read.u8(start, end);
        if (type === CTA_PROTO_SRC_PORT) found.sourcePort = read.u16(start, end);
        if (type === CTA_PROTO_DST_PORT) found.destinationPort = read.u16(start, end);
      });
    } else if (outer === CTA_TUPLE_ZONE) {
      found.zone = read.u16(outerStart, outerEnd);
    }
  });
  return found;
}

function protoInfo(read: Reader, from: number, to: number): FlowTcp | undefined {
  let found: FlowTcp | undefined;
  read.attributes(from, to, (outer, outerStart, outerEnd) => {
    if (outer !== CTA_PROTOINFO_TCP) return;
    let state = 0;
    let originalFlags = 0;
    let replyFlags = 0;
    read.attributes(outerStart, outerEnd, (type, start, end) => {
      if (type === CTA_PROTOINFO_TCP_STATE) state = read.u8(start, end);
      if (type === CTA_PROTOINFO_TCP_FLAGS_ORIGINAL) originalFlags = read.u8(start, end);
      if (type === CTA_PROTOINFO_TCP_FLAGS_REPLY) replyFlags = read.u8(start, end);
    });
    const name = CONNTRACK_TCP_STATES[state];
    if (name === undefined) read.fault = `unknown TCP state ${state}`;
    else found = { state: name, originalFlags, replyFlags };
  });
  return found;
}

function counters(read: Reader, from: number, to: number): FlowCounters {
  const found = { packets: 0, bytes: 0 };
  read.attributes(from, to, (type, start, end) => {
    if (type === CTA_COUNTERS_PACKETS) found.packets = read.u64(start, end);
    if (type === CTA_COUNTERS_BYTES) found.bytes = read.u64(start, end);
  });
  return found;
}

function timestampMs(read: Reader, from: number, to: number): number | undefined {
  let found: number | undefined;
  read.attributes(from, to, (type, start, end) => {
    if (type === CTA_TIMESTAMP_START) found = read.u64(start, end) / 1e6;
  });
  return found;
}

/** Bounded reads of one message; the first fault is kept and makes the whole message undecodable. */
class Reader {
  fault: string | undefined;
  readonly #payload: Uint8Array;
  readonly #view: DataView;

  constructor(payload: Uint8Array) {
    this.#payload = payload;
    this.#view = viewOf(payload);
  }

  attributes(from: number, to: number, visit: (type: number, start: number, end: number) => void): void {
    if (!walkAttributes(this.#view, from, to, visit)) this.fault = 'attribute length out of bounds';
  }

  bytes(start: number, end: number): Uint8Array {
    return this.#payload.subarray(start, end);
  }

  u8(start: number, end: number): number {
    return this.#has(1, start, end) ? this.#view.getUint8(start) : 0;
  }

  u16(start: number, end: number): number {
    return this.#has(2, start, end) ? this.#view.getUint16(start) : 0;
  }

  u32(start: number, end: number): number {
    return this.#has(4, start, end) ? this.#view.getUint32(start) : 0;
  }

  /** Exact up to 2^53. */
  u64(start: number, end: number): number {
    return this.#has(8, start, end)
      ? this.#view.getUint32(start) * 2 ** 32 + this.#view.getUint32(start + 4)
      : 0;
  }

  #has(length: number, start: number, end: number): boolean {
    if (end - start >= length) return true;
    this.fault = `an attribute of ${end - start} bytes where ${length} are needed`;
    return false;
  }
}
