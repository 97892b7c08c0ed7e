/** What poll(2) says of a socket. Linux tcp_poll */

import type { TcpStack } from '../types.ts';
import type { Socket } from './socket.ts';
import { isAtUrgentByte } from './transfer.ts';

/** The names of poll(2) in lower case. */
export interface Readiness {
  readonly in: boolean;
  readonly pri: boolean;
  readonly out: boolean;
  readonly err: boolean;
  readonly hup: boolean;
  readonly rdhup: boolean;
}

export function readinessOf(stack: TcpStack, socket: Socket): Readiness {
  const { state, id } = socket;
  if (state === 'LISTEN') {
    return { ...NOT_READY, in: socket.waiting.length > 0 };
  }
  const peerShut = socket.readShut || socket.finished;
  const opening = state === 'SYN-SENT' || state === 'SYN-RECEIVED';
  const info = id === undefined ? undefined : stack.info(id);
  const unread = info?.unreadBytes ?? socket.leftOver.length;
  // The urgent byte by itself is nothing to read.
  const least = isAtUrgentByte(stack, socket) ? 2 : 1;
  const urgent = id === undefined ? undefined : stack.urgent(id);
  return {
    in: peerShut || (!opening && unread >= least),
    pri: !opening && urgent?.octet !== undefined,
    out: !opening && (socket.writeShut || info === undefined || hasRoom(stack, socket)),
    err: socket.error !== undefined,
    hup: state === 'CLOSED' || (peerShut && socket.writeShut),
    rdhup: peerShut,
  };
}

const NOT_READY: Readiness = { in: false, pri: false, out: false, err: false, hup: false, rdhup: false };

/** A writer is woken when a third of the buffer is free, not for each byte. Linux sk_stream_is_writeable */
function hasRoom(stack: TcpStack, socket: Socket): boolean {
  if (socket.id === undefined) return true;
  const info = stack.info(socket.id);
  const options = stack.optionsOf(socket.id);
  if (info === undefined || options === undefined) return true;
  const queued = info.unsentBytes + info.unackedBytes;
  return options.sendBufferBytes - queued >= queued / 2;
}
