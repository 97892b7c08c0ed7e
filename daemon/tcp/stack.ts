/**
 * The engine: RFC 9293 as a value that is given packets, calls and the time, and gives packets and events.
 *
 * Before working on it, read RFC 9293 at least, and RFC 7414 for what else there is. A turn of its driver is:
 * `input` for each packet that waits, `advance`, `next` until it has no more, `events`; then nothing until
 * a packet comes or `nextDeadlineUs`.
 */

import { Arrivals } from './arrivals.ts';
import { abort, accepted, close, receive, refused, send, shutdown } from './calls.ts';
import type { Connection } from './connection.ts';
import { createCounters } from './counters.ts';
import { Opener } from './open.ts';
import { PacketBuilder } from './packets.ts';
import { FINWAIT_PROFILE } from './profile.ts';
import { Registry } from './registry.ts';
import { Strangers } from './strangers.ts';
import { infoOf } from './tcp-info.ts';
import { nextPacket } from './transmit.ts';
import type {
  ConnectionId,
  ConnectOptions,
  EngineResult,
  StackEvent,
  StackOptions,
  StackUsage,
  TcpInfo,
  TcpStack,
} from './types.ts';

export function createStack(options: StackOptions): TcpStack {
  return new Stack(options);
}

class Stack implements TcpStack {
  readonly counters = createCounters();
  readonly #options: StackOptions;
  readonly #registry: Registry;
  readonly #packets = new PacketBuilder();
  readonly #strangers: Strangers;
  readonly #opener: Opener;
  readonly #arrivals: Arrivals;
  readonly #ask: (connection: Connection, nowUs: number) => Uint8Array | undefined;

  constructor(options: StackOptions) {
    this.#options = options;
    this.#registry = new Registry(options.profile ?? FINWAIT_PROFILE, this.counters, options.random);
    this.#strangers = new Strangers(this.#registry, this.#packets);
    this.#opener = new Opener(this.#registry, options);
    this.#arrivals = new Arrivals(this.#registry, this.#strangers, this.#opener, options.addresses);
    this.#ask = (connection, nowUs) => nextPacket(this.#registry, this.#packets, connection, nowUs);
  }

  connect(options: ConnectOptions, nowUs: number): EngineResult<ConnectionId> {
    return this.#opener.active(options, nowUs);
  }

  listen(local: Parameters<TcpStack['listen']>[0], backlog: number): EngineResult<ConnectionId> {
    const { address, port } = local;
    const known = address === undefined || this.#options.addresses.some(({ text }) => text === address.text);
    if (!known || !Number.isInteger(port) || port < 1 || port > 65_535)
      return refused('address-not-available');
    const id = this.#registry.newId();
    const filed = this.#registry.listeners.add({ id, address, port, backlog, halfOpen: new Set() });
    return filed ? accepted(id) : refused('address-in-use');
  }

  send(id: ConnectionId, data: Uint8Array, _nowUs: number): EngineResult<number> {
    return this.#with(id, (connection) => send(connection, data));
  }

  receive(id: ConnectionId, max: number, _nowUs: number): ReturnType<TcpStack['receive']> {
    return this.#with(id, (connection) => receive(connection, max));
  }

  shutdown(id: ConnectionId, nowUs: number): EngineResult<void> {
    return this.#with(id, (connection) => shutdown(this.#registry, connection, nowUs));
  }

  close(id: ConnectionId, nowUs: number): EngineResult<void> {
    if (this.#stopListening(id, nowUs)) return accepted(undefined);
    return this.#with(id, (connection) => close(this.#registry, connection, nowUs));
  }

  abort(id: ConnectionId, nowUs: number): EngineResult<void> {
    if (this.#stopListening(id, nowUs)) return accepted(undefined);
    return this.#with(id, (connection) => abort(this.#registry, connection, nowUs));
  }

  input(packet: Uint8Array, nowUs: number): void {
    this.#arrivals.packet(packet, nowUs);
  }

  advance(nowUs: number): void {
    this.#registry.advance(nowUs);
  }

  next(nowUs: number): Uint8Array | undefined {
    const packet = this.#strangers.next() ?? this.#registry.takePacket(this.#ask, nowUs);
    if (packet !== undefined) this.counters.packetsOut += 1;
    return packet;
  }

  events(): StackEvent[] {
    this.#strangers.eventsTaken();
    return this.#registry.takeEvents();
  }

  nextDeadlineUs(): number {
    return this.#registry.nextDeadlineUs;
  }

  info(id: ConnectionId): TcpInfo | undefined {
    const connection = this.#registry.get(id);
    return connection === undefined ? undefined : infoOf(connection);
  }

  usage(): StackUsage {
    let bufferBytes = 0;
    for (const { state } of this.#registry.connections) {
      if ('early' in state) bufferBytes += state.early.capacity;
      if ('sender' in state) bufferBytes += state.sender.ring.capacity;
      if ('receiver' in state) bufferBytes += state.receiver.capacity;
    }
    return {
      connections: this.#registry.size,
      listeners: this.#registry.listeners.size,
      timers: this.#registry.timers,
      bufferBytes,
      queuedReplies: this.#strangers.queued,
    };
  }

  #with<T>(id: ConnectionId, call: (connection: Connection) => EngineResult<T>): EngineResult<T> {
    const connection = this.#registry.get(id);
    if (connection === undefined) return refused('no-such-connection');
    const result = call(connection);
    this.#registry.touch(connection);
    return result;
  }

  /** CLOSE in LISTEN: connections that are half open go with the listener. False when `id` is no listener. */
  #stopListening(id: ConnectionId, nowUs: number): boolean {
    const listener = this.#registry.listeners.get(id);
    if (listener === undefined) return false;
    for (const connection of [...listener.halfOpen]) abort(this.#registry, connection, nowUs);
    this.#registry.listeners.remove(listener);
    return true;
  }
}
