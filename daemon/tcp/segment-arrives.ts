/** SEGMENT ARRIVES for a connection: the dispositions of its state, carried out. RFC 9293 section 3.10.7 */

import { type Seq, seqAdd, seqMin } from '../wire/seq.ts';
import { RST } from '../wire/tcp-header.ts';
import type { Edges } from './acceptance.ts';
import { judge } from './acceptance.ts';
import { abortReset } from './calls.ts';
import type { Connection } from './connection.ts';
import type { Core } from './core.ts';
import type { DropReason } from './counters.ts';
import { closeSending, receivedSyn, synAnswered, synReceivedAnswered } from './establish.ts';
import { isAcceptQueueFull } from './listener.ts';
import { processSegment, scaledWindow } from './process-segment.ts';
import { isRst, isSyn, type Segment, viewOf } from './segment.ts';
import {
  type Established,
  hasReceiver,
  hasSender,
  type SynchronizedState,
  type SynReceived,
  type SynSent,
} from './states.ts';
import { onSegmentInSynReceived } from './syn-received.ts';
import { onSegmentInSynSent } from './syn-sent.ts';

export function segmentArrives(core: Core, connection: Connection, segment: Segment, nowUs: number): void {
  const { state } = connection;
  if (core.tellsSegments) {
    const repeated = hasReceiver(state) && state.receiver.isRepeated(segment);
    const view = viewOf(segment, repeated);
    core.tell({ kind: 'segment', id: connection.id, direction: 'in', atUs: nowUs, segment: view });
  }
  if (isRst(segment)) core.counters.resetsReceived += 1;
  switch (state.name) {
    case 'SYN-SENT':
      return inSynSent(core, connection, state, segment, nowUs);
    case 'SYN-RECEIVED':
      return inSynReceived(core, connection, state, segment, nowUs);
    default:
      return inSynchronized(core, connection, state, segment, nowUs);
  }
}

function inSynSent(
  core: Core,
  connection: Connection,
  state: SynSent,
  segment: Segment,
  nowUs: number,
): void {
  const disposition = onSegmentInSynSent(state, segment);
  switch (disposition.kind) {
    case 'drop':
      return core.drop(disposition.reason);
    case 'reset-peer':
      return resetPeer(core, connection, disposition.seq, disposition.reason);
    case 'refused':
      return core.end(connection, 'refused', nowUs);
    case 'enter-established': {
      const next = synAnswered(core.profile, connection, state, segment, nowUs);
      next.receiver.acks.oweNow();
      return establish(core, connection, next, false, segment, nowUs);
    }
    case 'enter-syn-received': {
      const { syn, early } = state;
      // The SYN that is on its way is repeated as SYN,ACK, at once.
      syn.due = true;
      const from = { syn, early, cameFrom: { open: 'active' } } as const;
      const next = receivedSyn(core.profile, connection, segment, from, nowUs);
      return core.enter(connection, next, nowUs);
    }
  }
}

function inSynReceived(
  core: Core,
  connection: Connection,
  state: SynReceived,
  segment: Segment,
  nowUs: number,
): void {
  const { receiver, syn } = state;
  const edges: Edges = {
    rcvNxt: receiver.nxt,
    rcvWnd: receiver.window,
    sndUna: syn.iss,
    sndMax: syn.firstDataSeq,
    ackedBefore: 0,
    ...timestampEdges(core, state, segment, nowUs),
  };
  const disposition = onSegmentInSynReceived(state, segment, edges);
  switch (disposition.kind) {
    case 'drop':
      return core.drop(disposition.reason);
    case 'acknowledge':
      return acknowledge(core, connection, state, disposition.reason, disposition.challenge, nowUs);
    case 'repeat-syn-ack':
      syn.due = true;
      return undefined;
    case 'reset-peer':
      return resetPeer(core, connection, disposition.seq, disposition.reason);
    case 'return-to-listen':
      return core.end(connection, 'reset', nowUs);
    case 'refused':
      return core.end(connection, 'refused', nowUs);
    case 'reset-both':
      return core.end(connection, 'reset', nowUs, abortReset(connection));
    case 'enter-established': {
      if (state.cameFrom.open === 'passive') {
        const listener = core.listenerOf(state.cameFrom.listener);
        // As Linux: the peer repeats its ACK, or we our SYN,ACK, until there is room.
        if (listener !== undefined && isAcceptQueueFull(listener)) return core.drop('accept-queue-full');
      }
      const window = scaledWindow(state.agreement, segment);
      const next = synReceivedAnswered(core.profile, connection, state, segment, window, nowUs);
      return establish(core, connection, next, state.closing, segment, nowUs);
    }
  }
}

/** The handshake is done; the segment that did it may carry text or FIN. */
function establish(
  core: Core,
  connection: Connection,
  next: Established,
  closing: boolean,
  segment: Segment,
  nowUs: number,
): void {
  const { state: before } = connection;
  core.enter(connection, next, nowUs);
  if (before.name === 'SYN-RECEIVED' && before.cameFrom.open === 'passive') {
    const listener = core.listenerOf(before.cameFrom.listener);
    if (listener !== undefined) core.wait(connection, listener, nowUs);
  }
  next.sender.textWasQueued(connection.early.more, connection.early.urgentOctets);
  if (closing) core.enter(connection, closeSending(next), nowUs);
  const { state } = connection;
  if (hasSender(state)) processSegment(core, connection, state, segment, nowUs);
}

function inSynchronized(
  core: Core,
  connection: Connection,
  state: SynchronizedState,
  segment: Segment,
  nowUs: number,
): void {
  const acceptance = judge(segment, edgesOf(core, connection, state, segment, nowUs));
  switch (acceptance.kind) {
    case 'drop':
      return core.drop(acceptance.reason);
    case 'acknowledge':
      // Whoever resets what is over for both has nothing to be told.
      if (state.name === 'TIME-WAIT' && core.profile.resetEndsTimeWait && isRst(segment)) {
        return core.drop(acceptance.reason);
      }
      // "TIME-WAIT: the only thing that can arrive is a retransmission of the remote FIN. Acknowledge it, and
      // restart the 2 MSL timeout" (MUST-13).
      if (state.name === 'TIME-WAIT' && acceptance.reason === 'out-of-window' && segment.length > 0) {
        state.expiresUs = nowUs + 2 * core.profile.mslUs;
      }
      if (acceptance.reason !== 'ack-out-of-range') noteRepeated(state, segment);
      return acknowledge(core, connection, state, acceptance.reason, acceptance.challenge, nowUs);
    case 'reset':
      // RFC 1337: a RST of long ago would end the wait that is there to outlast it.
      if (state.name === 'TIME-WAIT' && !core.profile.resetEndsTimeWait) return core.drop('rst-in-time-wait');
      // In TIME-WAIT, both sides had closed: what was to be told was told.
      return core.end(connection, state.name === 'TIME-WAIT' ? 'closed' : 'reset', nowUs);
    case 'reset-both':
      return core.end(connection, 'reset', nowUs, abortReset(connection));
    case 'process':
      return processSegment(core, connection, state, segment, nowUs);
  }
}

/** Text or FIN before the window came twice. */
function noteRepeated({ receiver }: SynchronizedState, segment: Segment): void {
  if (isSyn(segment) || isRst(segment)) return;
  receiver.noteDuplicate(segment.seq, seqMin(seqAdd(segment.seq, segment.length), receiver.nxt));
}

function edgesOf(
  core: Core,
  { totals }: Connection,
  state: SynchronizedState,
  segment: Segment,
  nowUs: number,
): Edges {
  const { receiver } = state;
  const sending = hasSender(state);
  const maxSndWnd = sending ? state.sender.window.largest : state.sent.maxWnd;
  return {
    rcvNxt: receiver.nxt,
    rcvWnd: receiver.window,
    sndUna: sending ? state.sender.una : state.sent.nxt,
    sndMax: sending ? state.sender.max : state.sent.nxt,
    // What lies before our first octet was never there to be acknowledged.
    ackedBefore: Math.min(maxSndWnd, totals.bytesAcked),
    ...timestampEdges(core, state, segment, nowUs),
  };
}

function timestampEdges(
  core: Core,
  state: SynReceived | SynchronizedState,
  segment: Segment,
  nowUs: number,
): Pick<Edges, 'timestamps' | 'timestampsRequired' | 'oldTimestamp' | 'challengeRst' | 'challengeSyn'> {
  const { timestamps } = segment.options;
  return {
    challengeRst: core.profile.challengeRst,
    challengeSyn: core.profile.challengeSyn,
    timestamps: state.agreement.timestamps,
    timestampsRequired: core.profile.timestampsRequired,
    oldTimestamp: timestamps !== undefined && state.receiver.isOldTimestamp(timestamps.value, nowUs),
  };
}

function acknowledge(
  core: Core,
  connection: Connection,
  state: SynReceived | SynchronizedState,
  reason: DropReason,
  challenge: boolean,
  nowUs: number,
): void {
  core.drop(reason);
  if (challenge) {
    if (!connection.challenges.allow(nowUs)) return core.drop('challenge-limit');
    core.counters.challengeAcksSent += 1;
  }
  state.receiver.acks.oweNow();
}

function resetPeer(core: Core, connection: Connection, seq: Seq, reason: DropReason): void {
  core.drop(reason);
  connection.reset = { seq, ack: seq, flags: RST };
}
