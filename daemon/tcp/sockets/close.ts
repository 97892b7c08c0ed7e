/** shutdown(2) and close(2). Linux inet_shutdown, tcp_close */

import type { TcpStack } from '../types.ts';
import { type Answer, answer, failure } from './errno.ts';
import { disconnect, type Socket } from './socket.ts';

const SECOND_US = 1_000_000;

export type Direction = 'read' | 'write' | 'both';

/** @returns ENOTCONN when there is no connection */
export function shutdown(stack: TcpStack, socket: Socket, direction: Direction, nowUs: number): Answer<void> {
  const { id, state } = socket;
  if (id === undefined || state === 'CLOSED') {
    // Linux marks the directions as shut all the same.
    shut(socket, direction);
    return failure('ENOTCONN');
  }
  if (state === 'LISTEN') {
    // Only the reading side of a listener means anything: nobody will accept.
    if (direction !== 'write') stopListening(stack, socket, nowUs);
    return answer(undefined);
  }
  if (state === 'SYN-SENT') {
    stack.abort(id, nowUs);
    disconnect(socket);
    socket.error = 'ECONNRESET';
    return answer(undefined);
  }
  shut(socket, direction);
  // inet_shutdown: whoever shuts a connection knows that it is there.
  socket.progress = 'connected';
  // In a state that has sent its FIN already there is nothing left to do.
  if (direction !== 'read') stack.shutdown(id, nowUs);
  if (socket.readShut && socket.writeShut) stack.stopReading(id);
  return answer(undefined);
}

function shut(socket: Socket, direction: Direction): void {
  if (direction !== 'write') socket.readShut = true;
  if (direction !== 'read') socket.writeShut = true;
}

function stopListening(stack: TcpStack, socket: Socket, nowUs: number): void {
  if (socket.id !== undefined) stack.close(socket.id, nowUs);
  for (const child of socket.waiting.splice(0)) {
    child.orphan = true;
    if (child.id !== undefined) stack.abort(child.id, nowUs);
  }
  disconnect(socket);
}

/**
 * The user gives the socket up: FIN after what is queued; RST when something is unread, or SO_LINGER says so.
 *
 * @returns until when the call is to wait for the peer to acknowledge everything (`lingers` tells), if at all
 */
export function close(stack: TcpStack, socket: Socket, nowUs: number): number | undefined {
  const { id, state } = socket;
  socket.orphan = true;
  if (id === undefined) return undefined;
  if (state === 'LISTEN') {
    stopListening(stack, socket, nowUs);
    return undefined;
  }
  const { on, seconds } = socket.settings.linger;
  if (on && seconds === 0) {
    stack.abort(id, nowUs);
    return undefined;
  }
  stack.close(id, nowUs);
  return on ? nowUs + seconds * SECOND_US : undefined;
}

/** Whether a lingering close still waits: our FIN is not acknowledged. Linux sk_stream_wait_close */
export function lingers(socket: Socket): boolean {
  const { state } = socket;
  return socket.id !== undefined && (state === 'FIN-WAIT-1' || state === 'CLOSING' || state === 'LAST-ACK');
}
