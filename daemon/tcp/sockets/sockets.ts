/**
 * The socket API over the engine, as POSIX.1 and Linux have it. Nothing here waits: a call that would have to
 * answers EAGAIN or EINPROGRESS, and its caller tries again when something has changed. Times are microseconds.
 */

import { type IpAddress, sameAddress } from '../../wire/address.ts';
import { readU32 } from '../../wire/bytes.ts';
import type { Profile } from '../profile.ts';
import type { ConnectionId, StackEvent, TcpStack } from '../types.ts';
import { bind, type Surroundings } from './bind.ts';
import { close, type Direction, lingers, shutdown } from './close.ts';
import { connect, connected } from './connect.ts';
import type { Answer } from './errno.ts';
import { stackEventArrives } from './events.ts';
import { accept, listen } from './listen.ts';
import { getOption, type OptionName, type OptionValue, setOption } from './options.ts';
import { type Readiness, readinessOf } from './readiness.ts';
import { createSettings, createSocket, type Socket, type SocketFamily } from './socket.ts';
import { receive, receiveUrgent, type SendFlags, send } from './transfer.ts';

export interface Peer {
  readonly address: IpAddress;
  readonly port: number;
}

export interface SocketsOptions {
  readonly stack: TcpStack;
  /** What the stack was made with. */
  readonly addresses: readonly IpAddress[];
  readonly profile: Profile;
  readonly random: (length: number) => Uint8Array;
}

/** The stack's `events` are taken here: nobody else may. */
export class Sockets {
  readonly #stack: TcpStack;
  readonly #profile: Profile;
  readonly #surroundings: Surroundings;
  readonly #byId = new Map<ConnectionId, Socket>();
  /** All that hold a port or may come to. */
  readonly #open = new Set<Socket>();

  constructor({ stack, addresses, profile, random }: SocketsOptions) {
    this.#stack = stack;
    this.#profile = profile;
    this.#surroundings = {
      others: this.#open,
      isOwn: (address) => addresses.some((own) => sameAddress(own, address)),
      below: (bound) => readU32(random(4), 0) % bound,
    };
  }

  /** Sockets that are open, or closed by their user and not yet gone. */
  get size(): number {
    return this.#open.size;
  }

  socket(family: SocketFamily): Socket {
    const socket = createSocket(family, createSettings());
    this.#open.add(socket);
    return socket;
  }

  bind(socket: Socket, address: IpAddress | undefined, port: number): Answer<void> {
    this.sync();
    return bind(socket, address, port, this.#surroundings);
  }

  listen(socket: Socket, backlog: number): Answer<void> {
    this.sync();
    return this.#filed(socket, listen(this.#stack, socket, backlog, this.#surroundings));
  }

  accept(socket: Socket): Answer<Socket> {
    this.sync();
    return accept(this.#stack, socket);
  }

  connect(socket: Socket, remote: Peer, nowUs: number): Answer<void> {
    this.sync();
    return this.#filed(socket, connect(this.#stack, socket, remote, nowUs));
  }

  /** How an attempt of `connect` goes: EINPROGRESS while it is undecided. */
  connected(socket: Socket): Answer<void> {
    this.sync();
    return connected(socket, 'EINPROGRESS');
  }

  send(socket: Socket, data: Uint8Array, flags: SendFlags, nowUs: number): Answer<number> {
    this.sync();
    return send(this.#stack, socket, data, flags, nowUs);
  }

  receive(socket: Socket, max: number, nowUs: number): Answer<Uint8Array> {
    this.sync();
    return receive(this.#stack, socket, max, nowUs);
  }

  receiveUrgent(socket: Socket): Answer<Uint8Array> {
    this.sync();
    return receiveUrgent(this.#stack, socket);
  }

  shutdown(socket: Socket, direction: Direction, nowUs: number): Answer<void> {
    this.sync();
    const { id } = socket;
    const children = [...socket.waiting];
    const outcome = shutdown(this.#stack, socket, direction, nowUs);
    for (const child of children) if (child.orphan && child.id === undefined) this.#open.delete(child);
    if (id !== undefined && socket.id === undefined) this.#byId.delete(id);
    return outcome;
  }

  /** Answers until when the call is to wait while `lingers` holds, if it is to. */
  close(socket: Socket, nowUs: number): number | undefined {
    this.sync();
    const { id } = socket;
    const children = [...socket.waiting];
    const untilUs = close(this.#stack, socket, nowUs);
    for (const child of children) if (child.id === undefined) this.#open.delete(child);
    if (socket.id === undefined) this.#open.delete(socket);
    if (id !== undefined && socket.id === undefined) this.#byId.delete(id);
    return untilUs;
  }

  lingers(socket: Socket): boolean {
    this.sync();
    return lingers(socket);
  }

  readiness(socket: Socket): Readiness {
    this.sync();
    return readinessOf(this.#stack, socket);
  }

  getOption(socket: Socket, name: OptionName): Answer<OptionValue> {
    this.sync();
    return getOption(socket, name, { stack: this.#stack, profile: this.#profile });
  }

  setOption(socket: Socket, name: OptionName, value: OptionValue, nowUs: number): Answer<void> {
    this.sync();
    return setOption(socket, name, value, { stack: this.#stack, profile: this.#profile }, nowUs);
  }

  /** Of the socket behind a connection or a listener of the engine. */
  familyOf(id: ConnectionId): SocketFamily | undefined {
    return this.#byId.get(id)?.family;
  }

  /** Takes what the engine has to tell. Every call does so first; a caller that waits may want to know earlier. */
  sync(): void {
    for (const event of this.#stack.events()) this.#take(event);
  }

  #take(event: StackEvent): void {
    if (event.kind === 'accepted') {
      const listener = this.#byId.get(event.listener);
      if (listener !== undefined) this.#welcome(listener, event.id);
      return;
    }
    const socket = 'id' in event ? this.#byId.get(event.id) : undefined;
    if (socket === undefined) return;
    // A socket that was disconnected has nothing to do any more with the connection it had.
    if ('id' in event && socket.id === event.id) stackEventArrives(socket, event);
    if (event.kind !== 'ended') return;
    this.#byId.delete(event.id);
    if (socket.orphan) this.#open.delete(socket);
  }

  /** A connection waits to be accepted: it has a socket from now on, with the settings of its listener. */
  #welcome(listener: Socket, id: ConnectionId): void {
    const { settings, bound } = listener;
    const child = createSocket(listener.family, { ...settings, engine: { ...settings.engine } });
    const info = this.#stack.info(id);
    child.id = id;
    child.state = info?.state ?? 'ESTABLISHED';
    child.progress = 'connected';
    child.bound = bound && { ...bound, byUser: false };
    child.peer = info?.remote;
    listener.waiting.push(child);
    this.#byId.set(id, child);
    this.#open.add(child);
  }

  #filed<T>(socket: Socket, outcome: Answer<T>): Answer<T> {
    if (socket.id !== undefined) this.#byId.set(socket.id, socket);
    return outcome;
  }
}
