/** Segments for a connection in TIME-WAIT. RFC 9293 section 3.6.1 (MAY-2) and 3.10.7.4, RFC 1337, RFC 6191 */

import { seqLt } from '../wire/seq.ts';
import { isAck, isRst, type Segment } from './segment.ts';
import type { TimeWait } from './states.ts';

/** Whether the SYN is surely newer than the old connection: a later timestamp, or a number beyond its last one. */
export function mayReplaceTimeWait(state: TimeWait, segment: Segment): boolean {
  if (isAck(segment) || isRst(segment)) return false;
  const { timestamps } = segment.options;
  if (state.agreement.timestamps && timestamps !== undefined) {
    const later = (timestamps.value - state.receiver.tsRecent) | 0;
    // RFC 6191 section 2: with an equal timestamp, the sequence number decides.
    if (later !== 0) return later > 0;
  }
  return seqLt(state.receiver.nxt, segment.seq);
}

/** Whether we may open the same connection anew: our later timestamps tell the two apart. RFC 6191, tcp_tw_reuse */
export function mayReuseTimeWait(state: TimeWait): boolean {
  return state.agreement.timestamps;
}
