/**
 * The TCP sockets of a network namespace, followed from sweep to sweep: since when each is in its state, and
 * whose it is. A socket is known by its family, ports, addresses and interface; that outlives the change to
 * TIME-WAIT, which takes the inode (and so the process) away.
 */

import type { Decoded } from '#base/result.ts';
import type { Endpoint, Family, Holder, PodRef, ProcessRef, TcpStateName } from '#contract';
import type { DiagDetails, DiagSocket, TcpInfo } from '../netlink/inet-diag.ts';
import { decodeDiagDetails, decodeDiagSocket, KERNEL_STATE } from '../netlink/inet-diag.ts';
import { viewOf } from '../netlink/message.ts';
import { AddressCache, isMapped } from './address-cache.ts';
import type { CgroupPods } from './cgroup-pods.ts';
import { Listeners } from './listeners.ts';
import { NOBODY, Owners } from './owners.ts';
import type { ProcessTable } from './processes.ts';
import type { QueueTrend } from './socket-record.ts';
import * as record from './socket-record.ts';
import { SocketStore, WORD } from './socket-store.ts';
import { tcpStateName } from './tcp-states.ts';

/** A socket as of the last sweep that saw it. */
export interface TrackedSocket {
  /** 4 for an IPv6 socket that speaks IPv4 through v4-mapped addresses. */
  readonly family: Family;
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly state: TcpStateName;
  /** When it came into its state, on the clock of the sweeps: then or earlier. */
  readonly sinceMs: number;
  /** `seen`: since the table first saw it so. `kernel`: the kernel itself told an earlier time. */
  readonly sinceBasis: 'seen' | 'kernel';
  /** How many sweeps saw it in its state. */
  readonly sweepsInState: number;
  readonly direction: Holder['direction'];
  readonly process: ProcessRef | null;
  readonly attribution: Holder['attribution'];
  /** The pod of the socket or of its process, where it is one of a pod. */
  readonly pod: PodRef | undefined;
  readonly podBy: Exclude<Holder['podBy'], 'namespace'>;
  readonly diag: DiagSocket;
  /** Only of listeners on IPv6: it takes IPv4 connections as well. */
  readonly dualStack: boolean;
  /** How its receive queue changed when it last did, and when it began to change so. */
  readonly queue: QueueTrend;
  readonly queueSinceMs: number;
  readonly shutdown: number | undefined;
  readonly bindAddressNoPort: boolean | undefined;
  /** How long ago data came last, and how long ago anything came or data were sent; as of the last sweep. */
  readonly lastReceivedMs: number | undefined;
  readonly idleMs: number | undefined;
  /** Only in CLOSE-WAIT: whether data were sent since the peer's FIN. */
  readonly sending: boolean;
  /** As the table's `details` says. */
  readonly details?: DiagDetails;
}

export interface SocketTableOptions {
  /** Hands over each message of the dumps of both families, as views that live until the next. */
  readonly dump: (onSocket: (payload: Uint8Array) => void) => void;
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
}

export interface SocketCounters {
  undecodable: number;
  /** Rows that a sweep saw twice, because the kernel's table changed under the dump. */
  duplicates: number;
  /** Rows that found no room. */
  untracked: number;
  /** Sockets that came into these states, and left them, since the table's first sweep. */
  readonly entered: Record<Holder['state'], number>;
  readonly left: Record<Holder['state'], number>;
}

export function noSocketCounts(): SocketCounters {
  return {
    undecodable: 0,
    duplicates: 0,
    untracked: 0,
    entered: { 'TIME-WAIT': 0, 'CLOSE-WAIT': 0 },
    left: { 'TIME-WAIT': 0, 'CLOSE-WAIT': 0 },
  };
}

/** What the kernel says of one socket. */
interface Message {
  readonly payload: Uint8Array;
  readonly view: DataView;
  readonly diag: DiagSocket;
}

/** A selection of every state. */
const ALL = -1;
/** TCP_TIMEWAIT_LEN, net/tcp.h: not tunable. */
const TIME_WAIT_MS = 60_000;

export class SocketTable {
  readonly counters: SocketCounters;
  readonly #options: SocketTableOptions;
  readonly #stores: Readonly<Record<Family, SocketStore>> = { 4: new SocketStore(4), 6: new SocketStore(6) };
  readonly #details = new Map<SocketStore, Map<number, DiagDetails>>();
  readonly #texts: AddressCache;
  readonly #owners = new Owners();
  /** Exact also for sockets that found no room. */
  readonly #counts = new Map<TcpStateName, { 4: number; 6: number }>();
  #sweep = 0;
  #nowMs = 0;

  constructor(options: SocketTableOptions, texts = new AddressCache()) {
    this.#options = options;
    this.#texts = texts;
    this.counters = options.counters ?? noSocketCounts();
  }

  /** Reads the kernel's table once, and finds out whose its sockets are. @param nowMs any clock that never steps back */
  sweep(nowMs: number): void {
    this.read(nowMs);
    this.#options.processes.update(new Set(this.inodes()));
    this.attribute();
  }

  /** The first part of a sweep; the others are for who has several tables and one `ProcessTable`. */
  read(nowMs: number): void {
    this.#sweep++;
    this.#nowMs = nowMs;
    this.#counts.clear();
    this.#options.dump((payload) => this.#see(payload));
    this.#forget();
  }

  /** The inodes of the sockets that have one. */
  *inodes(): Generator<number> {
    for (const store of this.#seen()) {
      const inode = store.get(WORD.inode);
      if (inode !== 0) yield inode;
    }
  }

  /** The last part of a sweep: by what the process table has found out. */
  attribute(): void {
    const listeners = new Listeners(this.#owners, this.#texts);
    for (const store of this.#seen()) {
      this.#attributeBySocket(store);
      if (record.stateOf(store) === 'LISTEN') listeners.add(store);
    }
    for (const store of this.#seen()) listeners.attribute(store);
  }

  /** How many sockets are remembered. */
  get tracked(): number {
    return this.#stores[4].size + this.#stores[6].size;
  }

  /** The sockets that the last sweep saw. @param states only these: bit mask of `1 << KERNEL_STATE.X` */
  *sockets(states = ALL): Generator<TrackedSocket> {
    for (const store of Object.values(this.#stores)) {
      for (const row of store.rows()) {
        if (store.get(WORD.sweep) !== this.#sweep) continue;
        if ((states & (1 << record.bit(store, 'state'))) !== 0) yield this.#socketOf(store, row);
      }
    }
  }

  /** How many sockets the last sweep saw, by state and family. */
  counts(): ReadonlyMap<TcpStateName, Readonly<Record<Family, number>>> {
    return this.#counts;
  }

  #see(payload: Uint8Array): void {
    const view = viewOf(payload);
    const diag = this.#decoded(decodeDiagSocket(payload, view));
    const state = diag === undefined ? undefined : tcpStateName(diag.state);
    if (diag === undefined || state === undefined) {
      if (diag !== undefined) this.counters.undecodable++;
      return;
    }
    const store = this.#stores[diag.family];
    const known = store.find(view);
    if (known >= 0) store.select(known);
    if (known >= 0 && store.get(WORD.sweep) === this.#sweep) {
      this.counters.duplicates++;
      return;
    }
    this.#count(state, store.keyFamily());
    const message = { payload, view, diag };
    if (known >= 0) this.#update(store, known, message);
    else if (this.tracked < this.#maxTracked()) this.#add(store, message);
    else this.counters.untracked++;
  }

  #add(store: SocketStore, message: Message): void {
    const { diag } = message;
    const row = store.insert();
    store.set(WORD.sweep, this.#sweep);
    record.setFlag(store, 'inbound', this.#isInboundByPorts(diag));
    this.#enterState(store, row, message);
    record.noteDiag(store, diag);
  }

  #update(store: SocketStore, row: number, message: Message): void {
    const { diag } = message;
    const reused = record.isReusedBy(store, diag);
    const before = record.stateOf(store);
    store.set(WORD.sweep, this.#sweep);
    if (reused) {
      store.set(WORD.owner, 0);
      record.setCgroup(store, 0);
      record.setAttribution(store, 'unknown');
    }
    if (reused || diag.state !== record.bit(store, 'state')) {
      this.#countTurnover(this.counters.left, before);
      this.#enterState(store, row, message);
    } else {
      record.setSweeps(store, record.sweepsOf(store) + 1);
      record.noteQueue(store, diag.receiveQueue, this.#nowMs);
      this.#readDetails(store, row, message);
    }
    record.noteDiag(store, diag);
  }

  #enterState(store: SocketStore, row: number, message: Message): void {
    const { diag } = message;
    record.setBit(store, 'state', diag.state);
    record.setBit(store, 'trend', 0);
    record.setSweeps(store, 1);
    store.set(WORD.queueAfterMs, 0);
    const state = record.stateOf(store);
    this.#countTurnover(this.counters.entered, state);
    const details = this.#readDetails(store, row, message);
    const ageMs = kernelAgeMs(state, diag, details?.info);
    record.setFlag(store, 'basisKernel', ageMs !== undefined);
    store.setMs(WORD.sinceMs, this.#nowMs - (ageMs ?? 0));
  }

  #countTurnover(counts: Record<string, number>, state: TcpStateName): void {
    const before = counts[state];
    // What is there when the table begins came before.
    if (before !== undefined && this.#sweep > 1) counts[state] = before + 1;
  }

  #readDetails(store: SocketStore, row: number, { payload, view }: Message): DiagDetails | undefined {
    const details = this.#decoded(decodeDiagDetails(payload, view));
    const state = record.stateOf(store);
    const inStateMs = this.#nowMs - store.getMs(WORD.sinceMs);
    record.noteDetails(store, details, state === 'CLOSE-WAIT' && record.sweepsOf(store) > 1 ? inStateMs : 0);
    const dualStack =
      state === 'LISTEN' && store.family === 6 && details?.v6Only === false && store.isUnspecified('local');
    record.setFlag(store, 'dualStack', dualStack);
    if (details?.cgroupId !== undefined && this.#options.cgroups !== undefined) {
      record.setCgroup(store, this.#options.cgroups.numberOf(details.cgroupId));
    }
    if (this.#options.details === true) this.#keepDetails(store, row, details);
    return details;
  }

  #keepDetails(store: SocketStore, row: number, details: DiagDetails | undefined): void {
    const kept = this.#details.get(store) ?? new Map();
    this.#details.set(store, kept);
    if (details === undefined) kept.delete(row);
    else kept.set(row, details);
  }

  #decoded<T>(result: Decoded<T>): T | undefined {
    if (result.ok) return result.value;
    this.counters.undecodable++;
    return undefined;
  }

  #count(state: TcpStateName, family: Family): void {
    const counts = this.#counts.get(state);
    if (counts === undefined) this.#counts.set(state, { 4: 0, 6: 0, [family]: 1 });
    else counts[family]++;
  }

  /** A dump may miss a socket that moves under it: absence is believed when it is seen twice. */
  #forget(): void {
    const renumber = this.#owners.crowded ? this.#owners.renumber() : undefined;
    for (const store of Object.values(this.#stores)) {
      for (const row of store.rows()) {
        if (store.get(WORD.sweep) < this.#sweep - 1) {
          this.#countTurnover(this.counters.left, record.stateOf(store));
          this.#details.get(store)?.delete(row);
          store.remove(row);
        } else if (renumber !== undefined) {
          store.set(WORD.owner, renumber(store.get(WORD.owner)));
        }
      }
      store.compact((from, to) => this.#moveDetails(store, from, to));
    }
  }

  #moveDetails(store: SocketStore, from: number, to: number): void {
    const kept = this.#details.get(store);
    const details = kept?.get(from);
    if (kept === undefined || details === undefined) return;
    kept.delete(from);
    kept.set(to, details);
  }

  #maxTracked(): number {
    const { maxTracked } = this.#options;
    return typeof maxTracked === 'number' ? maxTracked : maxTracked();
  }

  /** Each with its record selected. */
  *#seen(): Generator<SocketStore> {
    for (const store of Object.values(this.#stores)) {
      for (const _ of store.rows()) if (store.get(WORD.sweep) === this.#sweep) yield store;
    }
  }

  #attributeBySocket(store: SocketStore): void {
    const inode = store.get(WORD.inode);
    const { processes, cgroups } = this.#options;
    const process = inode === 0 ? undefined : processes.ownerOf(inode);
    const cgroupPod = cgroups?.podAt(record.cgroupOf(store));
    const before = this.#owners.get(store.get(WORD.owner));
    if (process !== undefined) {
      record.setAttribution(store, 'socket');
      const pod = cgroupPod ?? processes.podOf(process.pid);
      if (before.process === process && before.pod === pod) return;
      const podBy = pod === undefined ? undefined : cgroupPod === undefined ? 'process' : 'cgroup';
      store.set(WORD.owner, this.#owners.numberOf({ process, pod, podBy }));
      return;
    }
    if (record.attributionOf(store) === 'socket') record.setAttribution(store, 'last-owner');
    if (cgroupPod === undefined || before.pod === cgroupPod) return;
    store.set(
      WORD.owner,
      this.#owners.numberOf({ process: before.process, pod: cgroupPod, podBy: 'cgroup' }),
    );
  }

  /** A guess that holds when the listener is gone: a port that is not given to clients is a server's. */
  #isInboundByPorts({ localPort, remotePort, state }: DiagSocket): boolean {
    const { ephemeralFrom } = this.#options;
    const from = typeof ephemeralFrom === 'number' ? ephemeralFrom : ephemeralFrom();
    return state === KERNEL_STATE.LISTEN || (localPort < from && remotePort >= from);
  }

  #socketOf(store: SocketStore, row: number): TrackedSocket {
    const { process, pod, podBy } = this.#owners.get(store.get(WORD.owner)) ?? NOBODY;
    const localAt = store.addressAt('local');
    const { words } = store;
    const details = this.#details.get(store)?.get(row);
    return {
      family: store.family === 4 || isMapped(words, localAt) ? 4 : 6,
      local: { address: this.#texts.text(words, localAt, store.family), port: store.localPort() },
      peer: {
        address: this.#texts.text(words, store.addressAt('remote'), store.family),
        port: store.remotePort(),
      },
      state: record.stateOf(store),
      sinceMs: store.getMs(WORD.sinceMs),
      sinceBasis: record.bit(store, 'basisKernel') === 1 ? 'kernel' : 'seen',
      sweepsInState: record.sweepsOf(store),
      direction: record.bit(store, 'inbound') === 1 ? 'inbound' : 'outbound',
      process,
      attribution: record.attributionOf(store),
      pod,
      podBy,
      diag: record.diagOf(store),
      dualStack: record.bit(store, 'dualStack') === 1,
      queue: record.trendOf(store),
      queueSinceMs: store.getMs(WORD.sinceMs) + store.get(WORD.queueAfterMs),
      shutdown: record.shutdownOf(store),
      bindAddressNoPort: record.bindAddressNoPortOf(store),
      lastReceivedMs: record.msOf(store, WORD.lastReceivedMs),
      idleMs: record.msOf(store, WORD.idleMs),
      sending: record.bit(store, 'sending') === 1,
      ...(details === undefined ? {} : { details }),
    };
  }
}

/**
 * How long a socket has been in its state at least, where the kernel tells. In TIME-WAIT the timer says it. In
 * CLOSE-WAIT the FIN came no later than the last ACK, because every FIN carries one.
 */
function kernelAgeMs(state: TcpStateName, diag: DiagSocket, info: TcpInfo | undefined): number | undefined {
  if (state === 'TIME-WAIT') return Math.max(0, TIME_WAIT_MS - diag.expiresMs);
  if (state === 'CLOSE-WAIT') return info?.lastAckReceivedMs;
  return undefined;
}
