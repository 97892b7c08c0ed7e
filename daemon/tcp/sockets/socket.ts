/**
 * A socket: what its user set and did, and the connection or listener of the engine behind it. The calls are in
 * the files beside this one, each a function over a socket; sockets.ts is the front door.
 */

import type { IpAddress } from '../../wire/address.ts';
import type { ConnectionId, SocketOptions, StateName } from '../types.ts';
import type { Errno } from './errno.ts';

/** Address family of the socket; one of IPv6 also speaks to IPv4 peers, unless told not to. */
export type SocketFamily = 4 | 6;

/** A local address, undefined for any, and a port. */
export interface Binding {
  readonly address: IpAddress | undefined;
  readonly port: number;
  /** By `bind`, which holds for the socket's life, not by `connect` or `listen`. */
  readonly byUser: boolean;
}

export interface Linger {
  readonly on: boolean;
  readonly seconds: number;
}

/** What the user set of the socket itself; what the engine must know is in `engine`. */
export interface SocketSettings {
  reuseAddress: boolean;
  linger: Linger;
  v6Only: boolean;
  /** IP_RECVERR: an ICMP error is the answer of the next call, not only told when asked for. */
  reportIcmp: boolean;
  noDelay: boolean;
  /** SO_OOBINLINE: the urgent byte is read where it stands in the stream. */
  urgentInline: boolean;
  /** The name as it was given: systems name NewReno in more than one way. */
  congestionName: string | undefined;
  /** TCP_LINGER2 as it was given, seconds; undefined: the system's. */
  linger2Seconds: number | undefined;
  /** Handed to the engine as it is. */
  engine: { -readonly [K in keyof SocketOptions]?: SocketOptions[K] };
}

export interface Socket {
  readonly family: SocketFamily;
  readonly settings: SocketSettings;
  bound: Binding | undefined;
  /** The engine's connection or listener; undefined before there is one and once it has ended. */
  id: ConnectionId | undefined;
  /** As its user sees it: what waits in TIME-WAIT is closed. */
  state: StateName;
  /** How far `connect` is: `connected` once it has answered, or the socket came from `accept`. */
  progress: 'unconnected' | 'connecting' | 'connected';
  /** To be told once, by the next call or SO_ERROR; and an ICMP error that did not end the connection. */
  error: Errno | undefined;
  softError: Errno | undefined;
  /** Which ways are shut: by `shutdown`, by the peer's FIN, or by the end. */
  readShut: boolean;
  writeShut: boolean;
  /** The peer's FIN came: after what is unread, nothing follows. */
  finished: boolean;
  /** What was unread when the connection ended. */
  leftOver: Uint8Array;
  /** Of a listener: connections that `accept` has not taken yet. */
  readonly waiting: Socket[];
  /** The user has closed it: it stays filed until its connection has ended. */
  orphan: boolean;
  /** The way to the other end, once there is one. */
  peer: { readonly address: IpAddress; readonly port: number } | undefined;
}

export function createSettings(): SocketSettings {
  return {
    reuseAddress: false,
    linger: { on: false, seconds: 0 },
    v6Only: false,
    reportIcmp: false,
    noDelay: false,
    urgentInline: false,
    congestionName: undefined,
    linger2Seconds: undefined,
    engine: { nagle: true },
  };
}

export function createSocket(family: SocketFamily, settings: SocketSettings): Socket {
  return {
    family,
    settings,
    bound: undefined,
    id: undefined,
    state: 'CLOSED',
    progress: 'unconnected',
    error: undefined,
    softError: undefined,
    readShut: false,
    writeShut: false,
    finished: false,
    leftOver: new Uint8Array(0),
    waiting: [],
    orphan: false,
    peer: undefined,
  };
}

/** sock_error of Linux: the pending error, which is told once. */
export function takeError(socket: Socket): Errno | undefined {
  const { error } = socket;
  socket.error = undefined;
  return error;
}

/** As new, but for its settings and what the user bound it to. Linux tcp_disconnect */
export function disconnect(socket: Socket): void {
  socket.id = undefined;
  socket.state = 'CLOSED';
  socket.progress = 'unconnected';
  socket.readShut = false;
  socket.writeShut = false;
  socket.finished = false;
  socket.leftOver = new Uint8Array(0);
  socket.peer = undefined;
  if (socket.bound?.byUser === false) socket.bound = undefined;
}
