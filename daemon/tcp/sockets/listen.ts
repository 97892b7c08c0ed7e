/** listen(2) and accept(2). Linux inet_listen, inet_csk_accept */

import type { TcpStack } from '../types.ts';
import { bindEphemeral, heardAlready, type Surroundings } from './bind.ts';
import { type Answer, answer, errnoOfEngine, failure } from './errno.ts';
import { disconnect, type Socket } from './socket.ts';

/** Begins to listen, or changes the backlog of a listener. EINVAL for a socket that is or was connected. */
export function listen(
  stack: TcpStack,
  socket: Socket,
  backlog: number,
  surroundings: Surroundings,
): Answer<void> {
  if (socket.state === 'LISTEN' && socket.id !== undefined) {
    stack.relisten(socket.id, backlog);
    return answer(undefined);
  }
  if (socket.state !== 'CLOSED' || socket.progress !== 'unconnected') return failure('EINVAL');
  if (socket.bound === undefined) {
    const bound = bindEphemeral(socket, undefined, false, surroundings);
    if (!bound.ok) return bound;
  }
  const { bound, settings } = socket;
  if (bound === undefined || heardAlready(socket, surroundings.others)) return failure('EADDRINUSE');
  const anyOfFamily = socket.family === 4 || settings.v6Only ? { family: socket.family } : {};
  const where = {
    port: bound.port,
    ...(bound.address === undefined ? anyOfFamily : { address: bound.address }),
  };
  const listening = stack.listen(where, backlog, settings.engine);
  if (!listening.ok) return failure(errnoOfEngine(listening.reason));
  disconnect(socket);
  socket.bound = bound;
  socket.id = listening.value;
  socket.state = 'LISTEN';
  return answer(undefined);
}

/**
 * Takes the connection that has waited longest; one that ended meanwhile is handed out with its error.
 *
 * @returns EAGAIN when none waits, EINVAL when the socket does not listen
 */
export function accept(stack: TcpStack, socket: Socket): Answer<Socket> {
  if (socket.state !== 'LISTEN' || socket.id === undefined) return failure('EINVAL');
  const child = socket.waiting.shift();
  if (child === undefined) return failure('EAGAIN');
  // The engine keeps the same order, those that have ended included.
  stack.accept(socket.id);
  return answer(child);
}
