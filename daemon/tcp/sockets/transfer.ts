/** send(2) and recv(2). Linux tcp_sendmsg_locked, tcp_recvmsg_locked */

import type { TcpStack } from '../types.ts';
import { type Answer, answer, errnoOfEngine, failure } from './errno.ts';
import { type Socket, takeError } from './socket.ts';

const NOTHING = new Uint8Array(0);

/** MSG_MORE: more follows at once; MSG_OOB: the last byte is urgent. */
export interface SendFlags {
  readonly more?: boolean;
  readonly urgent?: boolean;
}

/**
 * Queues what the send buffer takes and answers how many bytes that was.
 *
 * @returns EAGAIN when nothing can be taken now; a pending error, else EPIPE, when nothing will be taken any more
 */
export function send(
  stack: TcpStack,
  socket: Socket,
  data: Uint8Array,
  flags: SendFlags,
  nowUs: number,
): Answer<number> {
  if (socket.error !== undefined || socket.writeShut) return failure(takeError(socket) ?? 'EPIPE');
  const { id, state } = socket;
  if (state === 'SYN-SENT' || state === 'SYN-RECEIVED') return failure('EAGAIN');
  if (id === undefined || (state !== 'ESTABLISHED' && state !== 'CLOSE-WAIT')) return failure('EPIPE');
  if (data.length === 0) return answer(0);
  const sent = stack.send(id, data, nowUs, flags);
  if (!sent.ok) return failure(errnoOfEngine(sent.reason));
  return sent.value > 0 ? sent : failure('EAGAIN');
}

/**
 * Takes at most `max` bytes; none means the end of the stream.
 *
 * @returns EAGAIN when nothing is there yet, a pending error once, ENOTCONN when it was never connected
 */
export function receive(stack: TcpStack, socket: Socket, max: number, nowUs: number): Answer<Uint8Array> {
  if (socket.state === 'LISTEN') return failure('ENOTCONN');
  if (max === 0) return answer(NOTHING);
  const data = takeData(stack, socket, max, nowUs);
  if (data.length > 0) return answer(data);
  // What the peer ended in order is no error, whatever came later.
  if (socket.finished) return answer(NOTHING);
  const errno = takeError(socket);
  if (errno !== undefined) return failure(errno);
  if (socket.readShut) return answer(NOTHING);
  return failure(socket.id === undefined ? 'ENOTCONN' : 'EAGAIN');
}

function takeData(stack: TcpStack, socket: Socket, max: number, nowUs: number): Uint8Array {
  if (socket.id === undefined) {
    const data = socket.leftOver.subarray(0, max);
    socket.leftOver = socket.leftOver.subarray(data.length);
    return data;
  }
  // A read stops before the urgent byte. The next one passes over it: who wants it must have asked by then.
  if (isAtUrgentByte(stack, socket)) stack.receive(socket.id, 1, nowUs);
  const received = stack.receive(socket.id, max, nowUs);
  return received.ok ? received.value.data : NOTHING;
}

/** The next byte of the stream is the urgent one, and it is not read with the others. */
export function isAtUrgentByte(stack: TcpStack, { id, settings }: Socket): boolean {
  if (id === undefined || settings.urgentInline) return false;
  const urgent = stack.urgent(id);
  return urgent?.toMark === 0 && urgent.octet !== undefined;
}

/** recv with MSG_OOB: the urgent byte, which is kept apart from the stream. Linux tcp_recv_urg */
export function receiveUrgent(stack: TcpStack, socket: Socket): Answer<Uint8Array> {
  if (socket.state === 'LISTEN') return failure('ENOTCONN');
  const urgent = socket.id === undefined ? undefined : stack.urgent(socket.id);
  if (urgent === undefined || socket.settings.urgentInline) return failure('EINVAL');
  if (urgent.octet !== undefined) return answer(Uint8Array.of(urgent.octet));
  return failure(socket.readShut ? 'EINVAL' : 'EAGAIN');
}
