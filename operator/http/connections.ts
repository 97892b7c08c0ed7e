/**
 * Who may hold a connection. A client is a stranger until it has been vouched for; when a bound is reached, the
 * stranger that came first makes room, so that whoever keeps connections without using them only hurts itself.
 */

import type { Server, Socket } from 'node:net';
import type { Condition } from '#base/errors.ts';

export interface ConnectionBounds {
  readonly total: number;
  /** Strangers of one address, and connections of one client that was vouched for. */
  readonly perAddress: number;
  readonly perClient: number;
}

type Peer = Pick<Socket, 'remoteAddress' | 'remotePort'>;

export interface Connections {
  /** The client is known now, and its connection no longer makes room for strangers. */
  vouch(socket: Peer, client: string): void;
  /** Whether someone vouched for the client of this connection. */
  knows(socket: Peer): boolean;
  /** CONNECTIONS_CUT while a bound was reached in the last minute. */
  conditions(): readonly Condition[];
  cutAll(): void;
}

type Bound = keyof ConnectionBounds;

interface Held {
  readonly peer: string;
  readonly socket: Socket;
  group: string;
}

const REMEMBERED_MS = 60_000;

/**
 * Holds a server to the bounds. Call before it listens.
 * @param count called with `cut.total`, `cut.perAddress` or `cut.perClient` for each connection cut
 */
export function boundConnections(
  server: Server,
  bounds: ConnectionBounds,
  count: (event: string) => void,
): Connections {
  const held = new Map<string, Held>();
  /** Oldest first, as the members of each group. */
  const strangers = new Set<Held>();
  const groups = new Map<string, Set<Held>>();
  let lastCut: { readonly bound: Bound; readonly group: string; readonly atMs: number } | undefined;

  const leaveGroup = (one: Held): void => {
    const members = groups.get(one.group);
    members?.delete(one);
    if (members?.size === 0) groups.delete(one.group);
  };
  const forget = (one: Held): void => {
    if (held.get(one.peer) === one) held.delete(one.peer);
    strangers.delete(one);
    leaveGroup(one);
  };
  const cutFirst = (from: Iterable<Held>, bound: Bound): void => {
    const [first] = from;
    if (first === undefined) return;
    forget(first);
    first.socket.destroy();
    count(`cut.${bound}`);
    lastCut = { bound, group: first.group, atMs: Date.now() };
  };
  const joinGroup = (one: Held, group: string, bound: Bound): void => {
    const members = groups.get(group) ?? new Set();
    groups.set(group, members);
    members.add(one);
    one.group = group;
    if (members.size > bounds[bound]) cutFirst(members, bound);
  };

  // The server's own listener gets only what is let in.
  const accept = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const one: Held = { peer: peerOf(socket), socket, group: '' };
    socket.once('close', () => forget(one));
    held.set(one.peer, one);
    strangers.add(one);
    joinGroup(one, `address ${socket.remoteAddress}`, 'perAddress');
    if (held.size > bounds.total) cutFirst(strangers, 'total');
    if (!socket.destroyed) for (const listener of accept) listener.call(server, socket);
  });

  return {
    vouch(socket, client) {
      const one = held.get(peerOf(socket));
      if (one === undefined || !strangers.delete(one)) return;
      leaveGroup(one);
      joinGroup(one, `client ${client}`, 'perClient');
    },
    knows(socket) {
      const one = held.get(peerOf(socket));
      return one !== undefined && !strangers.has(one);
    },
    conditions() {
      if (lastCut === undefined || Date.now() - lastCut.atMs > REMEMBERED_MS) return [];
      return [conditionOfCut(lastCut.bound, bounds[lastCut.bound], lastCut.group)];
    },
    cutAll() {
      for (const { socket } of held.values()) socket.destroy();
    },
  };
}

function peerOf({ remoteAddress, remotePort }: Peer): string {
  return `${remoteAddress} ${remotePort}`;
}

function conditionOfCut(bound: Bound, most: number, group: string): Condition {
  return bound === 'total'
    ? {
        code: 'CONNECTIONS_CUT',
        message: `connections were cut because all ${most} are in use; the last was of ${group}`,
        hint: 'see who opens so many, or raise the limit of open files (RLIMIT_NOFILE) of the operator',
      }
    : {
        code: 'CONNECTIONS_CUT',
        message: `connections of ${group} were cut: it may hold ${most}`,
        hint: 'see what opens so many there; an agent needs one',
      };
}
