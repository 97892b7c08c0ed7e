/** What a segment means in LISTEN and in CLOSED. RFC 9293 sections 3.10.7.2 and 3.10.7.1 */

import { type Seq, seq, seqAdd } from '../wire/seq.ts';
import { ACK, RST, type TcpFlags } from '../wire/tcp-header.ts';
import type { DropReason } from './counters.ts';
import { isAck, isRst, isSyn, type Segment } from './segment.ts';

export type ListenDisposition =
  | { readonly kind: 'drop'; readonly reason: DropReason }
  | { readonly kind: 'reset-peer' }
  | { readonly kind: 'enter-syn-received' };

export function onSegmentInListen(segment: Segment): ListenDisposition {
  // First, check for a RST: "an incoming RST segment could not be valid ... and must be ignored".
  if (isRst(segment)) return { kind: 'drop', reason: 'listen-unexpected' };
  // Second, check for an ACK: "Any acknowledgment is bad if it arrives on a connection still in LISTEN".
  if (isAck(segment)) return { kind: 'reset-peer' };
  // Third, check for a SYN.
  if (isSyn(segment)) return { kind: 'enter-syn-received' };
  // Fourth, other data or control: "drop the segment".
  return { kind: 'drop', reason: 'listen-unexpected' };
}

/** The RST that answers a segment for which there is no connection. */
export interface ResetAnswer {
  readonly seq: Seq;
  readonly ack: Seq;
  readonly flags: TcpFlags;
  /** A segment of the connection, not an answer to one: it has its window and its options (RFC 7323 3.2). */
  readonly own?: boolean;
}

/** RFC 9293 3.10.7.1: the RST is made acceptable to who sent the segment; a RST is never answered. */
export function resetAnswer(segment: Segment): ResetAnswer | undefined {
  if (isRst(segment)) return undefined;
  if (isAck(segment)) return { seq: segment.ack, ack: seq(0), flags: RST };
  return { seq: seq(0), ack: seqAdd(segment.seq, segment.length), flags: RST | ACK };
}
