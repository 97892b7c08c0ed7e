/** A SYN for a connection in TIME-WAIT. RFC 9293 section 3.6.1 (MAY-2), RFC 6191 */

import { seqLeq } from '../wire/seq.ts';
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
  return seqLeq(state.receiver.nxt, segment.seq);
}
