/**
 * Requests about single flows of conntrack: ask for one, delete one. Both name it by its original tuple and zone.
 * linux/netfilter/nfnetlink_conntrack.h
 */

import {
  AF_INET,
  AF_INET6,
  CTA,
  CTA_IP,
  CTA_PROTO,
  CTA_TUPLE,
  IPCTNL,
  IPPROTO_TCP,
  NFNL_SUBSYS_CTNETLINK,
} from './ctnetlink-attributes.ts';
import { encodeAttribute, encodeMessage, encodeNested, NLM_F_ACK, NLM_F_REQUEST } from './message.ts';

/** Which flow: addresses of 4 or 16 bytes, both of one family. */
export interface FlowName {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly zone: number;
}

/** Asks for one flow of TCP; the kernel answers with it, or ENOENT. */
export function encodeFlowGet(seq: number, name: FlowName): Uint8Array {
  return request(IPCTNL.get, NLM_F_REQUEST | NLM_F_ACK, seq, name, []);
}

/**
 * Deletes one flow of TCP, when it still has this id; the kernel acknowledges, or answers ENOENT. A delete without
 * a tuple would empty the table: there is no way to make one here.
 */
export function encodeFlowDelete(seq: number, name: FlowName, id: number): Uint8Array {
  return request(IPCTNL.delete, NLM_F_REQUEST | NLM_F_ACK, seq, name, [encodeAttribute(CTA.id, u32(id))]);
}

function request(
  type: number,
  flags: number,
  seq: number,
  { source, destination, sourcePort, destinationPort, zone }: FlowName,
  more: readonly Uint8Array[],
): Uint8Array {
  const v4 = source.length === 4;
  return encodeMessage(
    (NFNL_SUBSYS_CTNETLINK << 8) | type,
    flags,
    seq,
    Uint8Array.of(v4 ? AF_INET : AF_INET6, 0, 0, 0),
    encodeNested(
      CTA.tupleOriginal,
      encodeNested(
        CTA_TUPLE.ip,
        encodeAttribute(v4 ? CTA_IP.v4Source : CTA_IP.v6Source, source),
        encodeAttribute(v4 ? CTA_IP.v4Destination : CTA_IP.v6Destination, destination),
      ),
      encodeNested(
        CTA_TUPLE.proto,
        encodeAttribute(CTA_PROTO.number, Uint8Array.of(IPPROTO_TCP)),
        encodeAttribute(CTA_PROTO.sourcePort, u16(sourcePort)),
        encodeAttribute(CTA_PROTO.destinationPort, u16(destinationPort)),
      ),
    ),
    ...(zone === 0 ? [] : [encodeAttribute(CTA.zone, u16(zone))]),
    ...more,
  );
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
