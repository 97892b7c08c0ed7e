/**
 * The TCP sockets of a network namespace, followed from sweep to sweep: since when each is in its state, and
 * whose it is. A socket is known by its family, ports, addresses and interface; that outlives the change to
 * TIME-WAIT, which takes the inode (and so the process) away.
 */

import type { Decoded } from '#base/result.ts';
import type { Endpoint, Family, Holder, PodRef, ProcessRef, TcpStateName } from '#contract';
import type { DiagSocket, TcpInfo } from '../netlink/inet-diag.ts';
import {
  DIAG_FIELDS,
  decodeDiagDetails,
  decodeDiagSocket,
  diagAddress,
  KERNEL_STATE,
  TIMER,
} from '../netlink/inet-diag.ts';
import { ipFromBytes } from '../wire/address.ts';
import type { ProcessTable } from './processes.ts';
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
  readonly direction: Holder['direction'];
  readonly process: ProcessRef | null;
  readonly attribution: Holder['attribution'];
  /** The pod of the process, where it is one of a pod. */
  readonly pod: PodRef | undefined;
  readonly diag: DiagSocket;
  /** Only of listeners on IPv6: it takes IPv4 connections as well. */
  readonly dualStack: boolean;
  /** As the table's `details` says. */
  readonly info?: TcpInfo;
}

type Entry = { -readonly [Field in keyof TrackedSocket]: TrackedSocket[Field] } & { sweep: number };

export interface SocketTableOptions {
  /** Hands over each message of the dumps of both families, as views that live until the next. */
  readonly dump: (onSocket: (payload: Uint8Array) => void) => void;
  readonly processes: ProcessTable;
  /** Sockets remembered; those over it are counted and otherwise left out. */
  readonly maxTracked: number | (() => number);
  /** Whether every socket's tcp_info is kept. It makes a sweep dearer. */
  readonly details?: boolean;
  /** Lowest of the ports the kernel gives to connecting sockets (net.ipv4.ip_local_port_range). */
  readonly ephemeralFrom: number;
  /** Where it counts, for tables that come and go. */
  readonly counters?: SocketCounters;
}

export interface SocketCounters {
  undecodable: number;
  /** Rows that a sweep saw twice, because the kernel's table changed under the dump. */
  duplicates: number;
  /** Rows that found no room. */
  untracked: number;
}

/** TCP_TIMEWAIT_LEN, net/tcp.h: not tunable. */
const TIME_WAIT_MS = 60_000;

export class SocketTable {
  readonly counters: SocketCounters;
  readonly #options: SocketTableOptions;
  readonly #entries: Readonly<Record<Family, Map<string, Entry>>> = { 4: new Map(), 6: new Map() };
  /** Exact also for sockets that found no room. */
  readonly #counts = new Map<TcpStateName, { 4: number; 6: number }>();
  #listeners = new Map<number, Entry[]>();
  #sweep = 0;
  #nowMs = 0;

  constructor(options: SocketTableOptions) {
    this.#options = options;
    this.counters = options.counters ?? { undecodable: 0, duplicates: 0, untracked: 0 };
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
    for (const { diag } of this.#seen()) if (diag.inode !== 0) yield diag.inode;
  }

  /** The last part of a sweep: by what the process table has found out. */
  attribute(): void {
    this.#listeners = new Map();
    for (const entry of this.#seen()) {
      if (entry.state !== 'LISTEN') continue;
      const others = this.#listeners.get(entry.local.port);
      if (others === undefined) this.#listeners.set(entry.local.port, [entry]);
      else others.push(entry);
    }
    for (const entry of this.#seen()) this.#attributeBySocket(entry);
    for (const entry of this.#seen()) this.#attributeByListener(entry);
  }

  /** How many sockets are remembered. */
  get tracked(): number {
    return this.#entries[4].size + this.#entries[6].size;
  }

  /** The sockets that the last sweep saw. */
  sockets(): Iterable<TrackedSocket> {
    return this.#seen();
  }

  /** How many sockets the last sweep saw, by state and family. */
  counts(): ReadonlyMap<TcpStateName, Readonly<Record<Family, number>>> {
    return this.#counts;
  }

  #see(payload: Uint8Array): void {
    const diag = this.#decoded(decodeDiagSocket(payload));
    const state = diag === undefined ? undefined : tcpStateName(diag.state);
    if (diag === undefined || state === undefined) {
      if (diag !== undefined) this.counters.undecodable++;
      return;
    }
    const entries = this.#entries[diag.family];
    const key = keyOf(payload, diag);
    const known = entries.get(key);
    if (known?.sweep === this.#sweep) {
      this.counters.duplicates++;
      return;
    }
    const entry = known ?? this.#newEntry(payload, diag, state);
    this.#count(state, entry.family);
    if (known === undefined) {
      if (this.tracked >= this.#maxTracked()) {
        this.counters.untracked++;
        return;
      }
      entries.set(key, entry);
    } else {
      this.#update(known, payload, diag, state);
    }
    entry.sweep = this.#sweep;
  }

  #newEntry(payload: Uint8Array, diag: DiagSocket, state: TcpStateName): Entry {
    const local = ipFromBytes(diagAddress(payload, 'local'));
    const entry: Entry = {
      family: local.family,
      local: { address: local.text, port: diag.localPort },
      peer: { address: ipFromBytes(diagAddress(payload, 'remote')).text, port: diag.remotePort },
      state,
      sinceMs: this.#nowMs,
      sinceBasis: 'seen',
      direction: this.#directionByPorts(diag),
      process: null,
      attribution: 'unknown',
      pod: undefined,
      diag,
      dualStack: false,
      sweep: 0,
    };
    this.#enterState(entry, payload, diag, state);
    return entry;
  }

  #update(entry: Entry, payload: Uint8Array, diag: DiagSocket, state: TcpStateName): void {
    const reused = isReused(entry.diag, diag);
    if (reused) {
      entry.process = null;
      entry.attribution = 'unknown';
      entry.pod = undefined;
    }
    if (reused || state !== entry.state) this.#enterState(entry, payload, diag, state);
    else if (this.#options.details === true) this.#readDetails(entry, payload);
    entry.diag = diag;
  }

  #enterState(entry: Entry, payload: Uint8Array, diag: DiagSocket, state: TcpStateName): void {
    entry.state = state;
    entry.sinceMs = this.#nowMs;
    entry.sinceBasis = 'seen';
    const details = this.#needsDetails(state) ? this.#readDetails(entry, payload) : undefined;
    const ageMs = kernelAgeMs(state, diag, details);
    if (ageMs === undefined) return;
    entry.sinceMs -= ageMs;
    entry.sinceBasis = 'kernel';
  }

  #needsDetails(state: TcpStateName): boolean {
    return this.#options.details === true || state === 'CLOSE-WAIT' || state === 'LISTEN';
  }

  #readDetails(entry: Entry, payload: Uint8Array): TcpInfo | undefined {
    const details = this.#decoded(decodeDiagDetails(payload));
    entry.dualStack = entry.state === 'LISTEN' && entry.local.address === '::' && details?.v6Only === false;
    if (this.#options.details === true && details?.info !== undefined) entry.info = details.info;
    return details?.info;
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
    for (const entries of Object.values(this.#entries)) {
      for (const [key, entry] of entries) if (entry.sweep < this.#sweep - 1) entries.delete(key);
    }
  }

  #maxTracked(): number {
    const { maxTracked } = this.#options;
    return typeof maxTracked === 'number' ? maxTracked : maxTracked();
  }

  *#seen(): Generator<Entry> {
    for (const entries of Object.values(this.#entries)) {
      for (const entry of entries.values()) if (entry.sweep === this.#sweep) yield entry;
    }
  }

  #attributeBySocket(entry: Entry): void {
    const owner = this.#options.processes.ownerOf(entry.diag.inode);
    if (owner !== undefined) {
      entry.process = owner;
      entry.attribution = 'socket';
      entry.pod = this.#options.processes.podOf(owner.pid);
    } else if (entry.attribution === 'socket') {
      entry.attribution = 'last-owner';
    }
  }

  #attributeByListener(entry: Entry): void {
    const listener = this.#listenerOf(entry);
    if (listener === undefined) return;
    if (entry.state !== 'LISTEN') entry.direction = 'inbound';
    if (entry.attribution === 'socket' || entry.attribution === 'last-owner' || listener.process === null)
      return;
    entry.process = listener.process;
    entry.attribution = 'listener';
    entry.pod = listener.pod;
  }

  /** The socket that accepts what comes to an entry's local end: bound to its address, or to any. */
  #listenerOf({ local, family }: Entry): Entry | undefined {
    const candidates = this.#listeners.get(local.port);
    return (
      candidates?.find((listener) => listener.local.address === local.address) ??
      candidates?.find((listener) => listener.local.address === (family === 4 ? '0.0.0.0' : '::')) ??
      candidates?.find((listener) => family === 4 && listener.dualStack)
    );
  }

  /** A guess that holds when the listener is gone: a port that is not given to clients is a server's. */
  #directionByPorts({ localPort, remotePort, state }: DiagSocket): Holder['direction'] {
    const from = this.#options.ephemeralFrom;
    return state === KERNEL_STATE.LISTEN || (localPort < from && remotePort >= from) ? 'inbound' : 'outbound';
  }
}

function keyOf(payload: Uint8Array, { state }: DiagSocket): string {
  const [start, end] = state === KERNEL_STATE.LISTEN ? DIAG_FIELDS.tupleAndCookie : DIAG_FIELDS.tuple;
  return Buffer.prototype.latin1Slice.call(payload, start, end);
}

/** Whether a new connection took the tuple: another socket, and not the one that stays behind in TIME-WAIT. */
function isReused(before: DiagSocket, now: DiagSocket): boolean {
  const leftBehind = now.timer === TIMER.timeWait && before.timer !== TIMER.timeWait;
  return now.cookie !== before.cookie && !leftBehind;
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
