/** bind(2): which addresses and ports a socket may take beside others. */

import { addressKind, type IpAddress, sameAddress } from '../../wire/address.ts';
import { type Answer, answer, failure } from './errno.ts';
import type { Binding, Socket, SocketFamily } from './socket.ts';

/** RFC 6056 2.1; Linux ip_local_port_range */
const FIRST_EPHEMERAL = 32_768;
const LAST_EPHEMERAL = 60_999;

export interface Surroundings {
  /** Every socket that holds a port, orphans included. */
  readonly others: Iterable<Socket>;
  readonly isOwn: (address: IpAddress) => boolean;
  /** A random integer from 0 up to, not including, `bound`. */
  readonly below: (bound: number) => number;
}

/**
 * Gives the socket a local address (undefined: any) and a port (0: an ephemeral one).
 *
 * @returns EINVAL when it has a port already, EAFNOSUPPORT, EADDRNOTAVAIL or EADDRINUSE
 */
export function bind(
  socket: Socket,
  address: IpAddress | undefined,
  port: number,
  surroundings: Surroundings,
): Answer<void> {
  if (socket.bound !== undefined || socket.state !== 'CLOSED') return failure('EINVAL');
  if (address !== undefined) {
    if (!speaks(socket, address.family)) return failure('EAFNOSUPPORT');
    const kind = addressKind(address);
    if (kind === 'multicast' || kind === 'broadcast' || !surroundings.isOwn(address)) {
      return failure('EADDRNOTAVAIL');
    }
  }
  const wanted = { address, port, byUser: true };
  if (port !== 0) {
    if (inUse(socket, wanted, surroundings.others)) return failure('EADDRINUSE');
    socket.bound = wanted;
    return answer(undefined);
  }
  return bindEphemeral(socket, address, true, surroundings);
}

/** Takes a free port at random. RFC 6056 3.3.1 */
export function bindEphemeral(
  socket: Socket,
  address: IpAddress | undefined,
  byUser: boolean,
  { others, below }: Surroundings,
): Answer<void> {
  const ports = LAST_EPHEMERAL - FIRST_EPHEMERAL + 1;
  const start = below(ports);
  const taken = new Set<number>();
  for (const other of others) {
    if (other !== socket && overlaps(socket, address, other)) taken.add(other.bound?.port ?? 0);
  }
  for (let tried = 0; tried < ports; tried += 1) {
    const port = FIRST_EPHEMERAL + ((start + tried) % ports);
    if (taken.has(port)) continue;
    socket.bound = { address, port, byUser };
    return answer(undefined);
  }
  return failure('EADDRINUSE');
}

/** Whether addresses of that family are for this socket. */
export function speaks(socket: Socket, family: SocketFamily): boolean {
  return socket.family === family || (socket.family === 6 && !socket.settings.v6Only);
}

function inUse(socket: Socket, wanted: Binding, others: Iterable<Socket>): boolean {
  for (const other of others) {
    if (other === socket || other.bound?.port !== wanted.port) continue;
    if (!overlaps(socket, wanted.address, other)) continue;
    // SO_REUSEADDR: both want it so, and nobody listens.
    if (socket.settings.reuseAddress && other.settings.reuseAddress && other.state !== 'LISTEN') continue;
    return true;
  }
  return false;
}

/** Whether another socket listens where this one is about to. */
export function heardAlready(socket: Socket, others: Iterable<Socket>): boolean {
  const { bound } = socket;
  if (bound === undefined) return false;
  for (const other of others) {
    if (other === socket || other.state !== 'LISTEN' || other.bound?.port !== bound.port) continue;
    if (overlaps(socket, bound.address, other)) return true;
  }
  return false;
}

/** Whether some address is meant by both: `a` of the socket, undefined for any, and what the other is bound to. */
function overlaps(socket: Socket, a: IpAddress | undefined, other: Socket): boolean {
  if (other.bound === undefined) return false;
  const b = other.bound.address;
  if (a !== undefined && b !== undefined) return sameAddress(a, b);
  if (a === undefined && b === undefined) return speaks(socket, other.family) || speaks(other, socket.family);
  return a === undefined ? speaks(socket, b?.family ?? 4) : speaks(other, a.family);
}
