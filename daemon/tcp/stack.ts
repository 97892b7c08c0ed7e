/**
 * The engine: RFC 9293 as a value that is given packets, calls and the time, and gives packets and events.
 *
 * Before working on it, read RFC 9293 at least, and RFC 7414 for what else there is. A turn of its driver is:
 * `input` for each packet that waits, `advance`, `next` until it has no more, `events`; then nothing until
 * a packet comes or `nextDeadlineUs`.
 */

import { Arrivals } from './arrivals.ts';
import { abort, accepted, close, configure, receive, refused, send, shutdown, urgentOf } from './calls.ts';
import type { Connection } from './connection.ts';
import { createCounters } from './counters.ts';
import type { Listener } from './listener.ts';
import { Maker, Opener } from './open.ts';
import { PacketBuilder } from './packets.ts';
import { PassiveOpener } from './passive-open.ts';
import { Registry } from './registry.ts';
import { createSettings } from './settings.ts';
import { Strangers } from './strangers.ts';
import { infoOf } from './tcp-info.ts';
import { nextPacket } from './transmit.ts';
import type {
  ConnectionId,
  ConnectOptions,
  EngineResult,
  ListenerInfo,
  SocketOptions,
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
    this.#registry = new Registry(options, this.counters);
    this.#strangers = new Strangers(this.#registry, this.#packets);
    const maker = new Maker(this.#registry, options);
    this.#opener = new Opener(this.#registry, maker);
    const passive = new PassiveOpener(this.#registry, maker, this.#strangers);
    this.#arrivals = new Arrivals(this.#registry, this.#strangers, passive, options.addresses);
    this.#ask = (connection, nowUs) => nextPacket(this.#registry, this.#packets, connection, nowUs);
  }

  connect(options: ConnectOptions, nowUs: number): EngineResult<ConnectionId> {
    return this.#opener.open(options, nowUs);
  }

  listen(
    local: Parameters<TcpStack['listen']>[0],
    backlog: number,
    options: Partial<SocketOptions> = {},
  ): EngineResult<ConnectionId> {
    const { address, family, port } = local;
    const known = address === undefined || this.#options.addresses.some(({ text }) => text === address.text);
    if (!known || !Number.isInteger(port) || port < 1 || port > 65_535)
      return refused('address-not-available');
    const id = this.#registry.newId();
    const settings = createSettings(this.#registry.profile, options);
    const filed = this.#registry.listeners.add({
      id,
      address,
      family,
      port,
      backlog: Math.max(backlog, 0),
      settings,
      halfOpen: new Set(),
      waiting: new Set(),
    });
    return filed ? accepted(id) : refused('address-in-use');
  }

  relisten(id: ConnectionId, backlog: number): EngineResult<void> {
    const listener = this.#registry.listeners.get(id);
    if (listener === undefined) return refused('no-such-listener');
    listener.backlog = Math.max(backlog, 0);
    return accepted(undefined);
  }

  accept(id: ConnectionId): EngineResult<ConnectionId | undefined> {
    const listener = this.#registry.listeners.get(id);
    if (listener === undefined) return refused('no-such-listener');
    return accepted(this.#registry.accept(listener)?.id);
  }

  configure(id: ConnectionId, options: Partial<SocketOptions>, _nowUs: number): EngineResult<void> {
    const listener = this.#registry.listeners.get(id);
    if (listener === undefined)
      return this.#with(id, (connection) => accepted(configure(this.#registry.profile, connection, options)));
    Object.assign(listener.settings, options);
    return accepted(undefined);
  }

  optionsOf(id: ConnectionId): SocketOptions | undefined {
    const settings = this.#registry.get(id)?.settings ?? this.#registry.listeners.get(id)?.settings;
    return settings && { ...settings };
  }

  send(
    id: ConnectionId,
    data: Uint8Array,
    _nowUs: number,
    how?: Parameters<TcpStack['send']>[3],
  ): EngineResult<number> {
    return this.#with(id, (connection) => send(connection, data, how));
  }

  urgent(id: ConnectionId): ReturnType<TcpStack['urgent']> {
    const connection = this.#registry.get(id);
    return connection && urgentOf(connection);
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

  stopReading(id: ConnectionId): EngineResult<void> {
    return this.#with(id, (connection) => {
      connection.textRefused = true;
      return accepted(undefined);
    });
  }

  abort(id: ConnectionId, nowUs: number): EngineResult<void> {
    if (this.#stopListening(id, nowUs)) return accepted(undefined);
    return this.#with(id, (connection) => abort(this.#registry, connection, nowUs));
  }

  forget(id: ConnectionId, nowUs: number): EngineResult<void> {
    return this.#with(id, (connection) => accepted(this.#registry.end(connection, 'aborted', nowUs)));
  }

  *connections(): Generator<ConnectionId> {
    for (const { id } of this.#registry.connections) yield id;
  }

  *listeners(): Generator<ListenerInfo> {
    for (const { id, address, port, backlog, halfOpen, waiting } of this.#registry.listeners) {
      yield { id, address, port, backlog, halfOpen: halfOpen.size, waiting: waiting.size };
    }
  }

  input(packet: Uint8Array, nowUs: number): void {
    this.#arrivals.packet(packet, nowUs);
  }

  advance(nowUs: number): void {
    this.#registry.advance(nowUs);
  }

  next(nowUs: number): Uint8Array | undefined {
    const packet =
      this.#strangers.nextUrgent() ?? this.#registry.takePacket(this.#ask, nowUs) ?? this.#strangers.next();
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

  /** CLOSE in LISTEN: what nobody has accepted goes with the listener. False when `id` is no listener. */
  #stopListening(id: ConnectionId, nowUs: number): boolean {
    const listener: Listener | undefined = this.#registry.listeners.get(id);
    if (listener === undefined) return false;
    for (const connection of [...listener.halfOpen, ...listener.waiting]) {
      abort(this.#registry, connection, nowUs);
    }
    this.#registry.listeners.remove(listener);
    return true;
  }
}
