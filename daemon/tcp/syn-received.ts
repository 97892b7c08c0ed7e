/** What a segment means in SYN-RECEIVED. RFC 9293 section 3.10.7.4, for that state */

import type { Seq } from '../wire/seq.ts';
import { type Edges, judge } from './acceptance.ts';
import type { DropReason } from './counters.ts';
import { isAck, isRst, isSyn, type Segment } from './segment.ts';
import type { SynReceived } from './states.ts';

export type SynReceivedDisposition =
  | { readonly kind: 'drop'; readonly reason: DropReason }
  | { readonly kind: 'acknowledge'; readonly reason: DropReason; readonly challenge: boolean }
  /** The peer repeats its SYN: our answer was lost. */
  | { readonly kind: 'repeat-syn-ack' }
  | { readonly kind: 'reset-peer'; readonly seq: Seq; readonly reason: DropReason }
  /** Passive open: as if the SYN had never come (MUST-11). */
  | { readonly kind: 'return-to-listen' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'reset-both' }
  | { readonly kind: 'enter-established' };

export function onSegmentInSynReceived(
  state: SynReceived,
  segment: Segment,
  edges: Edges,
): SynReceivedDisposition {
  if (isSyn(segment) && !isRst(segment) && segment.seq === state.receiver.irs) {
    if (!isAck(segment)) return { kind: 'repeat-syn-ack' };
    // Figure 8 of RFC 9293: in a simultaneous open, the peer's SYN,ACK acknowledges our SYN.
    if (segment.ack === state.syn.firstDataSeq) return { kind: 'enter-established' };
  }
  const acceptance = judge(segment, edges);
  switch (acceptance.kind) {
    case 'reset':
      return state.cameFrom.open === 'passive' ? { kind: 'return-to-listen' } : { kind: 'refused' };
    case 'drop':
    case 'reset-both':
      return acceptance;
    case 'acknowledge':
      // "If the segment acknowledgment is not acceptable, form a reset segment <SEQ=SEG.ACK><CTL=RST>".
      if (acceptance.reason === 'ack-out-of-range') {
        return { kind: 'reset-peer', seq: segment.ack, reason: 'ack-out-of-range' };
      }
      return acceptance;
    case 'process':
      // "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED state".
      if (segment.ack === state.syn.firstDataSeq) return { kind: 'enter-established' };
      return { kind: 'reset-peer', seq: segment.ack, reason: 'ack-out-of-range' };
  }
}
