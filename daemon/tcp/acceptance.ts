/**
 * The first four steps of RFC 9293 section 3.10.7.4 and the range check of the fifth: is this a segment to
 * process, or what is the answer to it? Pure: what it looks at is given, what it finds is a value.
 */

import { type Seq, seqAdd, seqDiff, seqInWindow, seqLeq } from '../wire/seq.ts';
import type { DropReason } from './counters.ts';
import { isAck, isRst, isSyn, type Segment } from './segment.ts';

/** What a segment is measured against. */
export interface Edges {
  readonly rcvNxt: Seq;
  readonly rcvWnd: number;
  /** SND.UNA, and the end of what was ever sent. */
  readonly sndUna: Seq;
  readonly sndMax: Seq;
  /** How far below SND.UNA an old acknowledgement may lie: MAX.SND.WND, if so much was acknowledged. */
  readonly ackedBefore: number;
  /** Timestamps are agreed on. */
  readonly timestamps: boolean;
  /** And a segment without them is none of this connection. */
  readonly timestampsRequired: boolean;
  /** PAWS: its timestamp is older than TS.Recent. */
  readonly oldTimestamp: boolean;
  /** RFC 5961: a RST or SYN that is not exact is challenged; otherwise as RFC 793 has it. */
  readonly challengeRst: boolean;
  readonly challengeSyn: boolean;
}

export type Acceptance =
  | { readonly kind: 'process' }
  /** The peer resets the connection. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'drop'; readonly reason: DropReason }
  /** Dropped and answered with an ACK; `challenge`: only so often (RFC 5961 section 7). */
  | { readonly kind: 'acknowledge'; readonly reason: DropReason; readonly challenge: boolean }
  /** RFC 793: a SYN in the window is an error, and the connection is reset. */
  | { readonly kind: 'reset-both' };

const PROCESS: Acceptance = { kind: 'process' };
const RESET: Acceptance = { kind: 'reset' };

export function judge(segment: Segment, edges: Edges): Acceptance {
  const rst = isRst(segment);
  if (edges.timestamps && !rst) {
    // RFC 7323 3.2: once agreed, a segment without timestamps is dropped (SHOULD).
    if (segment.options.timestamps === undefined && edges.timestampsRequired)
      return { kind: 'drop', reason: 'timestamp-missing' };
    // RFC 7323 5.3 R1: an old timestamp is an old segment: acknowledge and drop.
    if (edges.oldTimestamp && !isSyn(segment)) return repeated(segment, 'paws');
  }

  // First, check sequence number. A SYN is challenged whatever its number, below.
  if (!isAcceptable(segment, edges) && !(isSyn(segment) && !rst)) {
    // N8: a RST outside the window is dropped silently. N7: anything else is answered with an ACK.
    return rst ? { kind: 'drop', reason: 'rst-out-of-window' } : repeated(segment, 'out-of-window');
  }

  // Second, check the RST bit. RFC 5961 3.2: only at exactly RCV.NXT does it reset (N2), else challenge (N1).
  if (rst) {
    if (segment.seq === edges.rcvNxt || !edges.challengeRst) return RESET;
    return { kind: 'acknowledge', reason: 'rst-not-exact', challenge: true };
  }

  // Fourth, check the SYN bit. RFC 5961 4.2: irrespective of the sequence number, challenge (N3).
  if (isSyn(segment)) {
    const inWindow = seqInWindow(segment.seq, edges.rcvNxt, Math.max(edges.rcvWnd, 1));
    if (edges.challengeSyn) return { kind: 'acknowledge', reason: 'syn-in-connection', challenge: true };
    return inWindow ? { kind: 'reset-both' } : repeated(segment, 'out-of-window');
  }

  // Fifth, check the ACK field: without ACK, drop.
  if (!isAck(segment)) return { kind: 'drop', reason: 'ack-missing' };
  // RFC 5961 5.2 (MAY-12): SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT, or it is challenged (N5).
  const behind = seqDiff(edges.sndUna, segment.ack);
  if (behind > edges.ackedBefore || !seqLeq(segment.ack, edges.sndMax)) {
    return { kind: 'acknowledge', reason: 'ack-out-of-range', challenge: true };
  }
  return PROCESS;
}

/** A peer that repeats data must be told at once that it is there; a segment without any may be one of a loop. */
function repeated(segment: Segment, reason: DropReason): Acceptance {
  return { kind: 'acknowledge', reason, challenge: segment.length === 0 };
}

/** The four cases of RFC 9293 section 3.4 (table 6). */
function isAcceptable(segment: Segment, { rcvNxt, rcvWnd }: Edges): boolean {
  // With a zero window, what stands at RCV.NXT still counts for its ACK and RST (MUST-66, SHLD-2); a text is
  // trimmed away by the receiver.
  if (rcvWnd === 0) return segment.seq === rcvNxt;
  if (segment.length === 0) return seqInWindow(segment.seq, rcvNxt, rcvWnd);
  const last = seqAdd(segment.seq, segment.length - 1);
  return seqInWindow(segment.seq, rcvNxt, rcvWnd) || seqInWindow(last, rcvNxt, rcvWnd);
}
