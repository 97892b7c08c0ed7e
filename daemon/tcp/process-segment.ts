/** Fifth to eighth step of RFC 9293 section 3.10.7.4: the ACK, the text and the FIN of an acceptable segment. */

import { type Seq, seqAdd, seqLt } from '../wire/seq.ts';
import { CWR, URG } from '../wire/tcp-header.ts';
import { type Agreement, effectiveSendMss } from './agreement.ts';
import { finWait2TimeoutUs } from './calls.ts';
import { afterSegment } from './close.ts';
import type { Connection } from './connection.ts';
import type { Core } from './core.ts';
import { resetAnswer } from './listen.ts';
import type { Receiver } from './receiver.ts';
import { isFin, isSyn, type Segment } from './segment.ts';
import { hasSender, type SendingState, type SentAll, type SynchronizedState } from './states.ts';

/** CE of RFC 3168 section 5. */
const CONGESTION_EXPERIENCED = 3;

/** SEG.WND in octets; the window of a SYN is not scaled. RFC 7323 2.3 */
export function scaledWindow(agreement: Agreement, segment: Segment): number {
  return isSyn(segment) ? segment.window : segment.window * 2 ** (agreement.sndWindShift ?? 0);
}

export function processSegment(
  core: Core,
  connection: Connection,
  state: SynchronizedState,
  segment: Segment,
  nowUs: number,
): void {
  const { receiver, agreement } = state;
  const { timestamps } = segment.options;
  connection.keepAlive.heard(nowUs);
  connection.totals.received(segment.payloadLength, nowUs);
  if (agreement.timestamps && timestamps !== undefined) {
    receiver.noteTimestamp(timestamps.value, segment.seq, nowUs);
  }
  if (hasSender(state)) takeAck(core, connection, state, segment, nowUs);
  const ourFinAcked = hasSender(state) ? state.sender.finAcked : true;

  const mayReceive =
    state.name === 'ESTABLISHED' || state.name === 'FIN-WAIT-1' || state.name === 'FIN-WAIT-2';
  let peerFinished = false;
  if (agreement.ecn && segment.payloadLength > 0) {
    const marked = (segment.trafficClass & 3) === CONGESTION_EXPERIENCED;
    receiver.acks.noteCongestion(marked, (segment.flags & CWR) !== 0);
  }
  if (mayReceive && (segment.flags & URG) !== 0) takeUrgent(core, connection, receiver, segment, nowUs);
  if (mayReceive && (segment.payloadLength > 0 || isFin(segment))) {
    const refusesText = connection.readerGone || (connection.textRefused && state.name !== 'ESTABLISHED');
    // What came before is no new text, whatever FIN it brings along.
    if (refusesText && segment.length > 0 && seqLt(receiver.nxt, textEnd(segment))) {
      // RFC 9293 3.6.1 (SHLD-3): data for a user who has closed is answered with a RST.
      return core.end(connection, 'reset', nowUs, resetAnswer(segment));
    }
    const outcome = receiver.accept(segment, nowUs);
    peerFinished = outcome.finished;
    connection.totals.bytesReceived += outcome.readable;
    if (outcome.dropped) core.drop('receive-buffer-full');
    if (outcome.readable > 0 || outcome.finished) tellReadable(core, connection, outcome.finished, nowUs);
  }
  // Whoever still sends does not know that we have its FIN.
  if (state.name === 'TIME-WAIT' && segment.length > 0) receiver.acks.oweNow();
  moveOn(core, connection, state, ourFinAcked, peerFinished, nowUs);
}

function textEnd(segment: Segment): Seq {
  return seqAdd(segment.seq, segment.payloadLength);
}

function takeAck(
  core: Core,
  connection: Connection,
  state: SendingState,
  segment: Segment,
  nowUs: number,
): void {
  const { sender, agreement } = state;
  const queued = sender.ring.length;
  const acked = sender.onAck(
    segment,
    scaledWindow(agreement, segment),
    echoedAtUs(connection, agreement, segment, nowUs),
    nowUs,
  );
  connection.totals.acknowledged(acked, nowUs);
  if (acked <= 0) return;
  connection.warned = false;
  if (queued > 0 && sender.ring.length === 0) core.tell({ kind: 'drained', id: connection.id, atUs: nowUs });
}

/** Sixth step of RFC 9293 3.10.7.4: RCV.UP, and the user is told (MUST-32). */
function takeUrgent(
  core: Core,
  connection: Connection,
  receiver: Receiver,
  segment: Segment,
  nowUs: number,
): void {
  if (segment.urgentPointer === 0) return;
  const end = seqAdd(segment.seq, segment.urgentPointer);
  if (receiver.urgent.arrives(end, receiver.readSeq)) {
    core.tell({ kind: 'urgent', id: connection.id, atUs: nowUs });
  }
}

/** When the segment was sent whose timestamp is echoed, in steps of that clock. RFC 7323 section 4 */
function echoedAtUs(
  connection: Connection,
  agreement: Agreement,
  segment: Segment,
  nowUs: number,
): number | undefined {
  const { timestamps } = segment.options;
  if (!agreement.timestamps || timestamps === undefined || timestamps.echo === 0) return undefined;
  const elapsedMs = (timestampValue(connection, nowUs) - timestamps.echo) | 0;
  return elapsedMs < 0 ? undefined : (Math.floor(nowUs / 1000) - elapsedMs) * 1000;
}

/** TSval: a clock of milliseconds that starts somewhere else for each connection. RFC 7323 5.4 */
export function timestampValue(connection: Connection, nowUs: number): number {
  return (Math.floor(nowUs / 1000) + connection.timestampOffset) >>> 0;
}

function tellReadable(core: Core, connection: Connection, finished: boolean, nowUs: number): void {
  if (connection.readerGone || (connection.readableTold && !finished)) return;
  connection.readableTold = true;
  core.tell({ kind: 'readable', id: connection.id, atUs: nowUs });
}

function moveOn(
  core: Core,
  connection: Connection,
  state: SynchronizedState,
  ourFinAcked: boolean,
  peerFinished: boolean,
  nowUs: number,
): void {
  const { agreement, receiver } = state;
  const next = afterSegment(state.name, ourFinAcked, peerFinished);
  if (next === state.name) return;
  if (peerFinished && next !== 'CLOSE-WAIT') receiver.acks.oweNow();
  switch (next) {
    case 'CLOSED':
      return core.end(connection, 'closed', nowUs);
    case 'FIN-WAIT-2':
      return core.enter(
        connection,
        {
          name: next,
          agreement,
          receiver,
          sent: sentAll(state),
          expiresUs: nowUs + finWait2TimeoutUs(connection),
        },
        nowUs,
      );
    case 'TIME-WAIT': {
      const expiresUs = nowUs + 2 * core.profile.mslUs;
      return core.enter(
        connection,
        { name: next, agreement, receiver, sent: sentAll(state), expiresUs },
        nowUs,
      );
    }
    case 'CLOSE-WAIT':
    case 'CLOSING':
      if (!hasSender(state)) return;
      return core.enter(connection, { name: next, agreement, receiver, sender: state.sender }, nowUs);
    default:
      throw new Error(`no segment leads from ${state.name} to ${next}`);
  }
}

function sentAll(state: SynchronizedState): SentAll {
  if (!hasSender(state)) return state.sent;
  const { iss, max, window, rtt } = state.sender;
  return { iss, nxt: max, maxWnd: window.largest, rtt };
}

/** The path takes only packets of `pathMtu` bytes. */
export function shrinkPath(connection: Connection, pathMtu: number, nowUs: number): void {
  connection.pathMtu = pathMtu;
  const { state } = connection;
  if (!hasSender(state)) return;
  const mss = effectiveSendMss(state.agreement, connection.remote.address.family, pathMtu);
  if (mss < state.sender.mss) state.sender.shrinkMss(mss, nowUs);
}
