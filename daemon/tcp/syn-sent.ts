/** What a segment means in SYN-SENT. RFC 9293 section 3.10.7.3 */

import type { Seq } from '../wire/seq.ts';
import type { DropReason } from './counters.ts';
import { isAck, isRst, isSyn, type Segment } from './segment.ts';
import type { SynSent } from './states.ts';

export type SynSentDisposition =
  | { readonly kind: 'drop'; readonly reason: DropReason }
  /** An ACK of something never sent: <SEQ=SEG.ACK><CTL=RST>, and the SYN goes on. */
  | { readonly kind: 'reset-peer'; readonly seq: Seq; readonly reason: DropReason }
  | { readonly kind: 'refused' }
  | { readonly kind: 'enter-established' }
  /** Simultaneous open. */
  | { readonly kind: 'enter-syn-received' };

export function onSegmentInSynSent(state: SynSent, segment: Segment): SynSentDisposition {
  // First, check the ACK bit: "If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset (unless the RST bit is set)
  // and drop". Only the SYN was sent, so one number is acceptable.
  if (isAck(segment) && segment.ack !== state.syn.firstDataSeq) {
    if (isRst(segment)) return { kind: 'drop', reason: 'rst-unacceptable' };
    return { kind: 'reset-peer', seq: segment.ack, reason: 'handshake-unexpected' };
  }
  // Second, check the RST bit: "If the ACK was acceptable, signal connection reset ... Otherwise (no ACK), drop".
  if (isRst(segment)) {
    return isAck(segment) ? { kind: 'refused' } : { kind: 'drop', reason: 'rst-unacceptable' };
  }
  // Fourth, check the SYN bit: our SYN acknowledged -> ESTABLISHED, else SYN-RECEIVED (MUST-10).
  if (isSyn(segment)) {
    return isAck(segment) ? { kind: 'enter-established' } : { kind: 'enter-syn-received' };
  }
  // Fifth: "if neither of the SYN or RST bits is set, then drop the segment".
  return { kind: 'drop', reason: 'handshake-unexpected' };
}
