/** A segment that arrived, and what observers are told of segments. */

import type { IpHeader } from '../wire/ip.ts';
import type { Seq } from '../wire/seq.ts';
import { ACK, FIN, RST, SYN, type TcpFlags, type TcpHeader } from '../wire/tcp-header.ts';
import type { TcpOptions } from '../wire/tcp-options.ts';
import type { SegmentView } from './types.ts';

/** SEG of RFC 9293 section 3.3.1. The text stays in the packet, which is the caller's: what is kept is copied. */
export interface Segment {
  readonly seq: Seq;
  readonly ack: Seq;
  readonly flags: TcpFlags;
  /** SEG.WND as the header has it, unscaled. */
  readonly window: number;
  readonly urgentPointer: number;
  readonly options: TcpOptions;
  readonly ttl: number;
  /** DSCP and ECN bits of the packet. */
  readonly trafficClass: number;
  readonly packet: Uint8Array;
  /** Offset of the text in `packet`, and its length. */
  readonly payload: number;
  readonly payloadLength: number;
  /** SEG.LEN: octets of sequence space, SYN and FIN included. */
  readonly length: number;
}

export function segmentOf(packet: Uint8Array, ip: IpHeader, header: TcpHeader, options: TcpOptions): Segment {
  const payloadLength = ip.end - header.payload;
  const { seq, ack, flags, window, urgentPointer, payload } = header;
  const controls = (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
  return {
    seq,
    ack,
    flags,
    window,
    urgentPointer,
    options,
    ttl: ip.ttl,
    trafficClass: ip.trafficClass,
    packet,
    payload,
    payloadLength,
    length: payloadLength + controls,
  };
}

export function isSyn(segment: Segment): boolean {
  return (segment.flags & SYN) !== 0;
}

export function isAck(segment: Segment): boolean {
  return (segment.flags & ACK) !== 0;
}

export function isFin(segment: Segment): boolean {
  return (segment.flags & FIN) !== 0;
}

export function isRst(segment: Segment): boolean {
  return (segment.flags & RST) !== 0;
}

export function viewOf(segment: Segment, retransmission: boolean): SegmentView {
  const { seq, ack, flags, window, urgentPointer, options, payloadLength, ttl, trafficClass } = segment;
  return {
    seq,
    ack,
    flags,
    window,
    urgentPointer,
    options,
    payloadLength,
    ttl,
    trafficClass,
    retransmission,
  };
}
