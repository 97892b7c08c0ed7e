/**
 * All connections of a stack: filed by id, by four-tuple and by deadline, and queued when they may have
 * something to send. Connections change their state, and end, here alone.
 */

import { readU32 } from '../wire/bytes.ts';
import { type Connection, nextDeadlineUs } from './connection.ts';
import type { Core } from './core.ts';
import type { DropReason } from './counters.ts';
import { Deadlines } from './deadlines.ts';
import { TupleTable } from './demux.ts';
import { Fifo } from './fifo.ts';
import { KnownPeers } from './known-peers.ts';
import type { ResetAnswer } from './listen.ts';
import { type Listener, Listeners } from './listener.ts';
import type { Profile } from './profile.ts';
import { FINWAIT_PROFILE } from './profiles/finwait.ts';
import { hasReceiver, type State } from './states.ts';
import { timePasses } from './timeouts.ts';
import type { ConnectionId, EndReason, StackCounters, StackEvent, StackOptions } from './types.ts';

const NOTHING = new Uint8Array(0);

export class Registry implements Core {
  readonly profile: Profile;
  readonly counters: StackCounters;
  readonly tellsSegments: boolean;
  readonly listeners = new Listeners();
  readonly byTuple: TupleTable<Connection>;
  /** Who has opened a connection to us. */
  readonly knownPeers: KnownPeers;
  readonly #byId = new Map<ConnectionId, Connection>();
  readonly #deadlines = new Deadlines<Connection>();
  readonly #ready = new Fifo<Connection>();
  #events: StackEvent[] = [];
  #lastId = 0;

  constructor(options: StackOptions, counters: StackCounters) {
    this.profile = options.profile ?? FINWAIT_PROFILE;
    this.counters = counters;
    this.tellsSegments = options.segmentEvents ?? true;
    const seed = readU32(options.random(4), 0);
    this.byTuple = new TupleTable(seed);
    this.knownPeers = new KnownPeers(seed);
  }

  get connections(): IterableIterator<Connection> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }

  get timers(): number {
    return this.#deadlines.size;
  }

  get nextDeadlineUs(): number {
    return this.#deadlines.nextUs;
  }

  newId(): ConnectionId {
    this.#lastId += 1;
    return this.#lastId as ConnectionId;
  }

  get(id: ConnectionId): Connection | undefined {
    return this.#byId.get(id);
  }

  /** Files a new connection and tells its first state. */
  add(connection: Connection, from: 'CLOSED' | 'LISTEN', nowUs: number): void {
    this.#byId.set(connection.id, connection);
    this.byTuple.add(connection);
    this.tell({ kind: 'state', id: connection.id, from, to: connection.state.name, atUs: nowUs });
    this.touch(connection);
  }

  tell(event: StackEvent): void {
    this.#events.push(event);
  }

  takeEvents(): StackEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  drop(reason: DropReason): void {
    this.counters.dropped[reason] = (this.counters.dropped[reason] ?? 0) + 1;
  }

  enter(connection: Connection, state: State, nowUs: number): void {
    const from = connection.state.name;
    this.#leave(connection);
    connection.state = state;
    if (from !== state.name) {
      this.tell({ kind: 'state', id: connection.id, from, to: state.name, atUs: nowUs });
    }
  }

  listenerOf(id: ConnectionId): Listener | undefined {
    return this.listeners.get(id);
  }

  wait(connection: Connection, listener: Listener, nowUs: number): void {
    listener.waiting.add(connection);
    const { bytes } = connection.remote.address;
    this.knownPeers.add(bytes, 0, bytes.length);
    this.tell({ kind: 'accepted', id: connection.id, listener: listener.id, atUs: nowUs });
  }

  /** The connection that has waited longest is taken by its user; it may have ended meanwhile. */
  accept(listener: Listener): Connection | undefined {
    const [first] = listener.waiting;
    if (first !== undefined) listener.waiting.delete(first);
    return first;
  }

  end(connection: Connection, reason: EndReason, nowUs: number, reset?: ResetAnswer): void {
    if (connection.endedAs !== undefined) return;
    this.#leave(connection);
    connection.endedAs = reason;
    connection.reset = reset;
    this.#byId.delete(connection.id);
    this.byTuple.delete(connection);
    this.#deadlines.set(connection, Number.POSITIVE_INFINITY);
    this.tell({ kind: 'state', id: connection.id, from: connection.state.name, to: 'CLOSED', atUs: nowUs });
    if (reset === undefined) this.#tellEnded(connection, reason, nowUs);
    else this.touch(connection);
  }

  #leave(connection: Connection): void {
    const { state } = connection;
    if (state.name !== 'SYN-RECEIVED' || state.cameFrom.open !== 'passive') return;
    this.listeners.get(state.cameFrom.listener)?.halfOpen.delete(connection);
  }

  #tellEnded({ id, state, readerGone }: Connection, reason: EndReason, nowUs: number): void {
    const unread = hasReceiver(state) ? state.receiver.discard() : NOTHING;
    this.tell({ kind: 'ended', id, reason, unread: readerGone ? NOTHING : unread, atUs: nowUs });
  }

  /** Something happened to the connection: it may have something to send, and another deadline. */
  touch(connection: Connection): void {
    if (connection.endedAs === undefined) {
      this.#deadlines.set(connection, nextDeadlineUs(connection));
    } else if (connection.reset === undefined) return;
    if (connection.queued) return;
    connection.queued = true;
    this.#ready.push(connection);
  }

  /**
   * Asks the connections that may have something to send, each for one packet in its turn, until one has.
   *
   * @param ask makes the next packet of a connection
   */
  takePacket(
    ask: (connection: Connection, nowUs: number) => Uint8Array | undefined,
    nowUs: number,
  ): Uint8Array | undefined {
    for (;;) {
      const connection = this.#ready.shift();
      if (connection === undefined) return undefined;
      connection.queued = false;
      const packet = ask(connection, nowUs);
      if (connection.endedAs !== undefined) {
        if (packet !== undefined) this.#tellEnded(connection, connection.endedAs, nowUs);
      } else if (packet !== undefined) this.touch(connection);
      else this.#deadlines.set(connection, nextDeadlineUs(connection));
      if (packet !== undefined) return packet;
    }
  }

  /** Runs what is due. */
  advance(nowUs: number): void {
    while (this.#deadlines.nextUs <= nowUs) {
      const connection = this.#deadlines.first;
      if (connection === undefined) return;
      timePasses(this, connection, nowUs);
      this.touch(connection);
    }
  }
}
