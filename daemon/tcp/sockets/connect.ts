/** connect(2) and its outcome. Linux __inet_stream_connect */

import type { TcpStack } from '../types.ts';
import { speaks } from './bind.ts';
import { type Answer, answer, errnoOfEngine, failure } from './errno.ts';
import { disconnect, type Socket, takeError } from './socket.ts';
import type { Peer } from './sockets.ts';

/** Sends the SYN. EINPROGRESS is success: `connected` tells the outcome. */
export function connect(stack: TcpStack, socket: Socket, remote: Peer, nowUs: number): Answer<void> {
  if (socket.progress !== 'unconnected') return connected(socket, 'EALREADY');
  if (socket.state !== 'CLOSED') return failure('EISCONN');
  if (!speaks(socket, remote.address.family)) return failure('ENETUNREACH');
  const { bound } = socket;
  if (bound?.address !== undefined && bound.address.family !== remote.address.family) {
    return failure('EINVAL');
  }
  const local = {
    ...(bound?.address === undefined ? {} : { address: bound.address }),
    ...(bound === undefined ? {} : { port: bound.port }),
  };
  const opened = stack.connect({ ...socket.settings.engine, remote, local }, nowUs);
  if (!opened.ok) return failure(errnoOfEngine(opened.reason));
  disconnect(socket);
  socket.id = opened.value;
  socket.state = 'SYN-SENT';
  socket.progress = 'connecting';
  socket.peer = remote;
  const info = stack.info(opened.value);
  if (info !== undefined) socket.bound = { ...info.local, byUser: bound?.byUser ?? false };
  return failure('EINPROGRESS');
}

/**
 * How the connection attempt goes.
 *
 * @param pending what to answer while it is undecided
 * @returns success once, EISCONN afterwards; the error of a failed attempt once, which leaves the socket unconnected
 */
export function connected(socket: Socket, pending: 'EALREADY' | 'EINPROGRESS'): Answer<void> {
  if (socket.progress === 'connected') return failure('EISCONN');
  if (socket.state === 'SYN-SENT' || socket.state === 'SYN-RECEIVED') return failure(pending);
  if (socket.state === 'CLOSED') {
    const errno = takeError(socket) ?? 'ECONNABORTED';
    disconnect(socket);
    return failure(errno);
  }
  socket.progress = 'connected';
  return answer(undefined);
}
