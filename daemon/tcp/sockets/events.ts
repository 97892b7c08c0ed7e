/** What the engine tells of a connection, as its socket takes it. */

import type { EndReason, StackEvent, StateName } from '../types.ts';
import { type Errno, errnoOfIcmp } from './errno.ts';
import type { Socket } from './socket.ts';

/** The peer's FIN has come in these. */
const PEER_FINISHED: ReadonlySet<StateName> = new Set(['CLOSE-WAIT', 'CLOSING', 'LAST-ACK', 'TIME-WAIT']);

export function stackEventArrives(socket: Socket, event: StackEvent): void {
  switch (event.kind) {
    case 'state':
      return stateChanges(socket, event.to);
    case 'icmp':
      if (socket.settings.reportIcmp) socket.error = errnoOfIcmp(event.error);
      else socket.softError = errnoOfIcmp(event.error);
      return undefined;
    case 'ended':
      return ends(socket, event.reason, event.unread);
    default:
      return undefined;
  }
}

function stateChanges(socket: Socket, to: StateName): void {
  // What ended is dealt with by `ended`, which says why and needs to know where it was.
  if (to === 'CLOSED') return;
  if (PEER_FINISHED.has(to)) socket.finished = true;
  if (to === 'TIME-WAIT') {
    // Both directions are done; only the engine still has something to do.
    socket.state = 'CLOSED';
    socket.readShut = true;
    socket.writeShut = true;
  } else socket.state = to;
}

function ends(socket: Socket, reason: EndReason, unread: Uint8Array): void {
  socket.error = errnoOfEnd(socket, reason) ?? socket.error;
  socket.id = undefined;
  socket.state = 'CLOSED';
  socket.readShut = true;
  socket.writeShut = true;
  socket.leftOver = unread;
  // Linux tcp_set_state: a port that nobody asked for is given back.
  if (socket.bound?.byUser === false) socket.bound = undefined;
}

function errnoOfEnd({ state, softError }: Socket, reason: EndReason): Errno | undefined {
  switch (reason) {
    case 'closed':
      return undefined;
    case 'refused':
      return 'ECONNREFUSED';
    case 'reset':
      // Linux tcp_reset: who has read the end of the stream learns of it by writing.
      return state === 'CLOSE-WAIT' ? 'EPIPE' : 'ECONNRESET';
    case 'timeout':
      return softError ?? 'ETIMEDOUT';
    case 'aborted':
      return 'ECONNABORTED';
    case 'unreachable':
      return softError ?? 'EHOSTUNREACH';
  }
}
