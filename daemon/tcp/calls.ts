/** The user's calls on a connection. RFC 9293 sections 3.10.2 to 3.10.5 */

import { ACK, RST } from '../wire/tcp-header.ts';
import type { Connection } from './connection.ts';
import type { Core } from './core.ts';
import { closeSending } from './establish.ts';
import type { ResetAnswer } from './listen.ts';
import type { Profile } from './profile.ts';
import { hasReceiver, hasSender } from './states.ts';
import type { EngineErrorReason, EngineResult, SocketOptions, TcpStack } from './types.ts';

const NOTHING = new Uint8Array(0);

export function accepted<T>(value: T): EngineResult<T> {
  return { ok: true, value };
}

export function refused(reason: EngineErrorReason): {
  readonly ok: false;
  readonly reason: EngineErrorReason;
} {
  return { ok: false, reason };
}

/** SEND: queues what the buffer takes. */
export function send(
  connection: Connection,
  data: Uint8Array,
  { more = false, urgent = false }: { readonly more?: boolean; readonly urgent?: boolean } = {},
): EngineResult<number> {
  const { state } = connection;
  switch (state.name) {
    case 'SYN-SENT':
    case 'SYN-RECEIVED': {
      if (state.name === 'SYN-RECEIVED' && state.closing) return refused('already-closing');
      const taken = state.early.append(data, 0, data.length);
      if (taken > 0) connection.early.more = more;
      if (urgent && taken === data.length && taken > 0) connection.early.urgentOctets = state.early.length;
      return accepted(taken);
    }
    case 'ESTABLISHED':
    case 'CLOSE-WAIT': {
      const taken = state.sender.ring.append(data, 0, data.length);
      if (taken > 0) state.sender.textQueued(more, urgent && taken === data.length);
      return accepted(taken);
    }
    default:
      return refused('already-closing');
  }
}

/** RECEIVE: takes what has arrived in order. */
export function receive(
  connection: Connection,
  max: number,
): EngineResult<{ readonly data: Uint8Array; readonly eof: boolean }> {
  const { state } = connection;
  if (connection.readerGone) return refused('already-closing');
  if (state.name === 'SYN-SENT') return accepted({ data: NOTHING, eof: false });
  connection.readableTold = false;
  const data = state.receiver.read(max);
  return accepted({ data, eof: state.receiver.finished && state.receiver.unreadBytes === 0 });
}

/** Where urgent data ends (MUST-33). */
export function urgentOf({ state }: Connection): ReturnType<TcpStack['urgent']> {
  if (!hasReceiver(state)) return undefined;
  const { receiver } = state;
  const toMark = receiver.urgent.toMark(receiver.readSeq);
  return toMark === undefined ? undefined : { toMark, octet: receiver.peek(toMark) };
}

/** Options that hold from now on. */
export function configure(profile: Profile, connection: Connection, options: Partial<SocketOptions>): void {
  const { settings, state } = connection;
  const nagleOff = settings.nagle && options.nagle === false;
  Object.assign(settings, options);
  if (hasSender(state)) {
    if (options.sendBufferBytes !== undefined) state.sender.ring.limit = options.sendBufferBytes;
    if (options.congestion !== undefined) state.sender.loss.window.use(options.congestion);
    if (options.maxSegment !== undefined) state.sender.limitMss(options.maxSegment);
    if (nagleOff && profile.nagleOffPushes) state.sender.push();
  } else if ('early' in state && options.sendBufferBytes !== undefined) {
    state.early.limit = options.sendBufferBytes;
  }
  if (hasReceiver(state) && options.receiveBufferBytes !== undefined) {
    state.receiver.resize(options.receiveBufferBytes);
  }
  if (hasReceiver(state) && options.quickAck === true && state.receiver.acks.duty.kind === 'delayed') {
    state.receiver.acks.oweNow();
  }
}

/** CLOSE of the sending side: FIN after all that is queued. */
export function shutdown(core: Core, connection: Connection, nowUs: number): EngineResult<void> {
  const { state } = connection;
  switch (state.name) {
    case 'SYN-SENT':
      // "Delete the TCB and return 'error: closing' responses to any queued SENDs, or RECEIVEs."
      core.end(connection, 'aborted', nowUs);
      return accepted(undefined);
    case 'SYN-RECEIVED':
      if (state.closing) return refused('already-closing');
      state.closing = true;
      return accepted(undefined);
    case 'ESTABLISHED':
    case 'CLOSE-WAIT':
      core.enter(connection, closeSending(state), nowUs);
      return accepted(undefined);
    default:
      return refused('already-closing');
  }
}

/** Both sides are closed; what was not read makes it a RST. RFC 9293 3.6.1 (SHLD-3) */
export function close(core: Core, connection: Connection, nowUs: number): EngineResult<void> {
  if (connection.readerGone) return refused('already-closing');
  connection.readerGone = true;
  const { state } = connection;
  if (state.name !== 'SYN-SENT' && state.receiver.unreadBytes > 0) return abort(core, connection, nowUs);
  if (state.name === 'FIN-WAIT-2') state.expiresUs = nowUs + finWait2TimeoutUs(connection);
  const closed = shutdown(core, connection, nowUs);
  // After a `shutdown`, `close` only gives up reading.
  return closed.ok || closed.reason === 'already-closing' ? accepted(undefined) : closed;
}

/** How long a peer may keep its side open when nobody reads any more. */
export function finWait2TimeoutUs({ settings, readerGone }: Connection): number {
  return readerGone ? (settings.finWait2TimeoutUs ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
}

/** ABORT: RST where the peer may still hold a connection, and CLOSED. */
export function abort(core: Core, connection: Connection, nowUs: number): EngineResult<void> {
  core.end(connection, 'aborted', nowUs, abortReset(connection));
  return accepted(undefined);
}

/** <SEQ=SND.NXT><CTL=RST,ACK>; the RFC leaves the ACK out, other stacks send it, and firewalls expect it. */
export function abortReset({ state }: Connection): ResetAnswer | undefined {
  switch (state.name) {
    case 'SYN-RECEIVED':
      return { seq: state.syn.firstDataSeq, ack: state.receiver.nxt, flags: RST | ACK, own: true };
    case 'ESTABLISHED':
    case 'FIN-WAIT-1':
    case 'CLOSE-WAIT':
      return { seq: state.sender.nxt, ack: state.receiver.nxt, flags: RST | ACK, own: true };
    case 'CLOSING':
    case 'LAST-ACK': {
      // The states of the RFC begin when the FIN is sent.
      const { nxt, finSent } = state.sender;
      return finSent ? undefined : { seq: nxt, ack: state.receiver.nxt, flags: RST | ACK, own: true };
    }
    case 'FIN-WAIT-2':
      return { seq: state.sent.nxt, ack: state.receiver.nxt, flags: RST | ACK, own: true };
    default:
      return undefined;
  }
}
