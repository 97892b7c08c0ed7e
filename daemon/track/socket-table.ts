/**
 * The TCP sockets of a network namespace, followed from sweep to sweep: since when each is in its state, and
 * whose it is. A socket is known by its family, ports, addresses and interface; that outlives the change to
 * TIME-WAIT, which takes the inode (and so the process) away.
 */

import type { Endpoint, Family, PodRef, TcpStateName } from '#contract';
import type { OnDatagram } from '../kernel/netlink-events.ts';
import { DiagRecord } from '../netlink/diag-record.ts';
import type { DiagDetails } from '../netlink/inet-diag.ts';
import { KERNEL_STATE } from '../netlink/inet-diag.ts';
import { AddressCache } from './address-cache.ts';
import type { CgroupPods } from './cgroup-pods.ts';
import { HeldGroups } from './held-groups.ts';
import type { PressingSocket } from './port-pressure.ts';
import { PressingRow } from './pressing-row.ts';
import { findProcesses } from './process-search.ts';
import type { ProcessTable } from './processes.ts';
import { SocketAttribution } from './socket-attribution.ts';
import type { SocketCounters } from './socket-counters.ts';
import { noSocketCounts } from './socket-counters.ts';
import * as record from './socket-record.ts';
import { BITS } from './socket-record.ts';
import { SocketStore, WORD } from './socket-store.ts';
import { tcpStateName } from './tcp-states.ts';
import type { TrackedSocket } from './tracked-socket.ts';
import { trackedSocket } from './tracked-socket.ts';

export type { TrackedSocket } from './tracked-socket.ts';

export interface SocketTableOptions {
  /** Hands over each message of a dump of both families. Throws when it breaks off. */
  readonly dump: (onSocket: OnDatagram) => void;
  readonly processes: ProcessTable;
  /** Tells pods by control groups, where pods are told apart. */
  readonly cgroups?: CgroupPods;
  /** Sockets remembered; those over it are counted and otherwise left out. */
  readonly maxTracked: number | (() => number);
  /** Whether all that is told of every socket is kept. It takes much memory. */
  readonly details?: boolean;
  /** Lowest of the ports that this network namespace gives to connecting sockets (net.ipv4.ip_local_port_range). */
  readonly ephemeralFrom: number | (() => number);
  /** Where it counts, for tables that come and go. */
  readonly counters?: SocketCounters;
  /** Called again and again by whatever goes over all sockets, as it may take long. */
  readonly between?: () => void;
}

/** A selection of every state. */
const ALL = -1;
/** The kernel's numbers of states are below it. */
const STATES = 16;
/** Gone over between two calls of `between`. */
const ROWS_AT_ONCE = 16_384;

export class SocketTable {
  readonly counters: SocketCounters;
  readonly #options: SocketTableOptions;
  readonly #v4 = new SocketStore(4);
  readonly #v6 = new SocketStore(6);
  readonly #stores = [this.#v4, this.#v6] as const;
  /** Of each store by row. */
  readonly #details = new Map<SocketStore, Map<number, DiagDetails>>();
  readonly #texts: AddressCache;
  readonly #attribution: SocketAttribution;
  readonly #message = new DiagRecord();
  /** By state; first of those that speak IPv4, then IPv6. Exact also for sockets that found no room. */
  readonly #counts = new Uint32Array(2 * STATES);
  #sweep = 0;
  /** Whether some found no room in the sweep that runs, and in the one before it. */
  #overflows = false;
  #overflowed = false;
  #nowMs = 0;

  constructor(options: SocketTableOptions, texts = new AddressCache()) {
    this.#options = options;
    this.#texts = texts;
    this.#attribution = new SocketAttribution(options.processes, options.cgroups);
    this.counters = options.counters ?? noSocketCounts();
  }

  /** Reads the kernel's table once, and finds out whose its sockets are. @param nowMs any clock that never steps back */
  sweep(nowMs: number): void {
    this.read(nowMs);
    findProcesses(this.#options.processes, [this]);
    this.attribute();
  }

  /**
   * The first part of a sweep; the others are for who has several tables and one `ProcessTable`. When the dump throws,
   * so does this, and the table goes on telling of the sweep before.
   */
  read(nowMs: number): void {
    const before = this.#counts.slice();
    this.#sweep++;
    this.#overflowed = this.#overflows;
    this.#overflows = false;
    this.#nowMs = nowMs;
    this.#counts.fill(0);
    for (const store of this.#stores) store.rewind();
    try {
      this.#options.dump(this.#onSocket);
    } catch (error) {
      this.#takeBack();
      this.#counts.set(before);
      throw error;
    }
    this.#forget();
  }

  /** The inodes of the sockets that have one. @param states only these: bit mask of `1 << KERNEL_STATE.X` */
  *inodes(states = ALL): Generator<number> {
    for (const store of this.#stores) {
      for (let row = store.next(-1); row >= 0; row = this.#next(store, row)) {
        if ((states & (1 << record.bit(store, BITS.state))) === 0) continue;
        const inode = store.get(WORD.inode);
        if (inode !== 0 && this.#wasSeen(store)) yield inode;
      }
    }
  }

  /** The last part of a sweep: by what the process table has found out. */
  attribute(): void {
    this.#attribution.attribute((visit) => {
      for (const store of this.#stores) {
        for (let row = store.next(-1); row >= 0; row = this.#next(store, row))
          if (this.#wasSeen(store)) visit(store);
      }
    });
  }

  /** How many sockets are remembered. */
  get tracked(): number {
    return this.#v4.size + this.#v6.size;
  }

  /** The sockets that the last sweep saw. @param states only these: bit mask of `1 << KERNEL_STATE.X` */
  *sockets(states = ALL): Generator<TrackedSocket> {
    for (const store of this.#stores) {
      for (let row = store.next(-1); row >= 0; row = this.#next(store, row)) {
        if (!this.#wasSeen(store) || (states & (1 << record.bit(store, BITS.state))) === 0) continue;
        yield this.#tracked(store, row);
      }
    }
  }

  /** The sockets that the last sweep saw, as numbers, in one object for each family. */
  *pressing(): Generator<PressingSocket> {
    for (const store of this.#stores) {
      const socket = new PressingRow(store);
      for (let row = store.next(-1); row >= 0; row = this.#next(store, row)) {
        if (!this.#wasSeen(store)) continue;
        socket.row = 2 * row + (store === this.#v4 ? 0 : 1);
        yield socket;
      }
    }
  }

  /** @param row of one of these */
  endsOf(row: number): { source: string; destination: Endpoint } {
    const store = this.#stores[row % 2] as SocketStore;
    store.select(Math.floor(row / 2));
    const text = (end: 'local' | 'remote') =>
      this.#texts.text(store.words, store.addressAt(end), store.family);
    return { source: text('local'), destination: { address: text('remote'), port: store.remotePort() } };
  }

  /** The sockets in TIME-WAIT and CLOSE-WAIT that the last sweep saw, in groups, for each family. */
  *held(): Generator<HeldGroups> {
    for (const store of this.#stores) {
      const held = new HeldGroups(store, (row) => {
        store.select(row);
        return this.#tracked(store, row);
      });
      for (let row = store.next(-1); row >= 0; row = this.#next(store, row))
        if (this.#wasSeen(store)) held.add(row);
      yield held;
    }
  }

  /** Calls back with the pod and the state of each socket that the last sweep saw of a pod. */
  forEachOfPods(visit: (pod: PodRef, state: TcpStateName) => void): void {
    for (const store of this.#stores) {
      for (let row = store.next(-1); row >= 0; row = this.#next(store, row)) {
        const { pod } = this.#attribution.ownerOf(store);
        if (pod !== undefined && this.#wasSeen(store)) visit(pod, record.stateOf(store));
      }
    }
  }

  /** How many sockets the last sweep saw, by state and family. */
  counts(): ReadonlyMap<TcpStateName, Readonly<Record<Family, number>>> {
    const counts = new Map<TcpStateName, Record<Family, number>>();
    for (let state = 0; state < STATES; state++) {
      const name = tcpStateName(state);
      const [v4 = 0, v6 = 0] = [this.#counts[state], this.#counts[STATES + state]];
      if (name !== undefined && v4 + v6 > 0) counts.set(name, { 4: v4, 6: v6 });
    }
    return counts;
  }

  readonly #onSocket: OnDatagram = (view, from, to) => {
    const message = this.#message;
    if (message.read(view, from, to) !== undefined || tcpStateName(message.state) === undefined) {
      this.counters.undecodable++;
      return;
    }
    const store = message.family === 4 ? this.#v4 : this.#v6;
    const row = store.find(message);
    if (row >= 0 && this.#wasSeen(store)) {
      this.counters.duplicates++;
      return;
    }
    (this.#counts[message.spokenFamily === 4 ? message.state : STATES + message.state] as number)++;
    if (row >= 0) this.#update(store, row);
    else if (this.tracked < current(this.#options.maxTracked)) this.#add(store);
    else {
      this.#overflows = true;
      this.counters.untracked++;
    }
  };

  #wasSeen(store: SocketStore): boolean {
    return store.get(WORD.sweep) === this.#sweep;
  }

  /** Selects the first record behind a row, as the store does. */
  #next(store: SocketStore, row: number): number {
    const next = store.next(row);
    if (row >= 0 && Math.floor(next / ROWS_AT_ONCE) > Math.floor(row / ROWS_AT_ONCE)) {
      this.#options.between?.();
    }
    return next;
  }

  #tracked(store: SocketStore, row: number): TrackedSocket {
    const details = this.#details.get(store)?.get(row);
    return trackedSocket(store, this.#texts, this.#attribution.ownerOf(store), details);
  }

  #add(store: SocketStore): void {
    const row = store.insert(this.#message);
    record.setFlag(store, BITS.inbound, this.#isInboundByPorts());
    this.#enterState(store, this.#sweep > 1 && !this.#overflowed);
    this.#note(store, row);
  }

  #update(store: SocketStore, row: number): void {
    const message = this.#message;
    const reused = record.isReusedBy(store, message);
    if (reused) this.#attribution.forget(store);
    if (reused || message.state !== record.bit(store, BITS.state)) {
      this.#countTurnover(this.counters.left, record.bit(store, BITS.state));
      this.#enterState(store, true);
    } else {
      store.set(WORD.sweeps, store.get(WORD.sweeps) + 1);
      record.noteQueue(store, message.receiveQueue);
      if (message.state === KERNEL_STATE.CLOSE_WAIT) record.noteSending(store, message);
    }
    this.#note(store, row);
  }

  /** @param isNew whether the sweep before would have seen it, had it been in its state then */
  #enterState(store: SocketStore, isNew: boolean): void {
    const message = this.#message;
    this.#countTurnover(this.counters.entered, message.state);
    const ageMs = record.kernelAgeMs(message);
    store.setMs(WORD.sinceMs, this.#nowMs - (ageMs ?? 0));
    store.set(WORD.sweeps, 1);
    store.set(WORD.sentBefore, message.bytesSentOnce);
    record.setBit(store, BITS.trend, 0);
    record.setFlag(store, BITS.sending, false);
    record.setFlag(store, BITS.basisKernel, ageMs !== undefined);
    record.setFlag(store, BITS.exact, isNew || message.state === KERNEL_STATE.TIME_WAIT);
    const dualStack =
      message.state === KERNEL_STATE.LISTEN && message.v6Only === 0 && store.isUnspecified('local');
    record.setFlag(store, BITS.dualStack, dualStack);
  }

  #note(store: SocketStore, row: number): void {
    store.set(WORD.sweep, this.#sweep);
    record.note(store, this.#message);
    this.#attribution.noteCgroup(store, this.#message.cgroupId);
    if (this.#options.details !== true) return;
    const kept = this.#details.get(store) ?? new Map<number, DiagDetails>();
    this.#details.set(store, kept);
    kept.set(row, this.#message.details());
  }

  #countTurnover(counts: SocketCounters['entered'], state: number): void {
    // What is there when the table begins came before.
    if (this.#sweep === 1) return;
    if (state === KERNEL_STATE.TIME_WAIT) counts['TIME-WAIT']++;
    else if (state === KERNEL_STATE.CLOSE_WAIT) counts['CLOSE-WAIT']++;
  }

  /** What a dump that broke off has seen is taken for seen by the sweep before. */
  #takeBack(): void {
    this.#sweep--;
    for (const store of this.#stores) {
      for (let row = store.next(-1); row >= 0; row = this.#next(store, row)) {
        if (store.get(WORD.sweep) <= this.#sweep) continue;
        if (this.#sweep === 0) this.#remove(store, row);
        else store.set(WORD.sweep, this.#sweep);
      }
    }
  }

  /** A dump may miss a socket that moves under it: absence is believed when it is seen twice. */
  #forget(): void {
    const renumber = this.#attribution.renumbering();
    for (const store of this.#stores) {
      for (let row = store.next(-1); row >= 0; row = this.#next(store, row)) {
        if (store.get(WORD.sweep) < this.#sweep - 1) {
          this.#countTurnover(this.counters.left, record.bit(store, BITS.state));
          this.#remove(store, row);
        } else renumber?.(store);
      }
      store.compact((from, to) => this.#moveDetails(store, from, to));
    }
  }

  #remove(store: SocketStore, row: number): void {
    this.#details.get(store)?.delete(row);
    store.remove(row);
  }

  #moveDetails(store: SocketStore, from: number, to: number): void {
    const kept = this.#details.get(store);
    const details = kept?.get(from);
    if (from === to || kept === undefined || details === undefined) return;
    kept.delete(from);
    kept.set(to, details);
  }

  /** A guess that holds when the listener is gone: a port that is not given to clients is a server's. */
  #isInboundByPorts(): boolean {
    const { localPort, remotePort, state } = this.#message;
    const from = current(this.#options.ephemeralFrom);
    return state === KERNEL_STATE.LISTEN || (localPort < from && remotePort >= from);
  }
}

function current(setting: number | (() => number)): number {
  return typeof setting === 'number' ? setting : setting();
}
