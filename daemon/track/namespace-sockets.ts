/**
 * The TCP sockets of the machine's other network namespaces, the pods'. Any question to the kernel about sockets walks
 * the table of the whole machine, so a namespace is asked only when its own counts say that there is something to see.
 */

import type { Condition } from '#base/errors.ts';
import { openFilesLimit } from '#base/open-files.ts';
import type { PodRef } from '#contract';
import { EMFILE, ENOENT, ESRCH } from '../kernel/libc.ts';
import type { OnDatagram } from '../kernel/netlink-events.ts';
import type { NetlinkCounters, NetlinkSocket } from '../kernel/netlink-socket.ts';
import { NetlinkError } from '../kernel/netlink-socket.ts';
import { insideNamespace, openNetlinkInside } from '../kernel/network-namespace.ts';
import { threadCpuMs } from '../kernel/thread-cpu.ts';
import { NETLINK_SOCK_DIAG } from '../netlink/inet-diag.ts';
import { AddressCache } from './address-cache.ts';
import type { CgroupPods } from './cgroup-pods.ts';
import type { SocketQuestion } from './dumps.ts';
import { dumpSocketsOf } from './dumps.ts';
import { namespacesCondition } from './namespace-condition.ts';
import type { CounterSums } from './namespace-counters.ts';
import { readSegments } from './namespace-counters.ts';
import type { FoundNamespace } from './namespace-finder.ts';
import { NamespaceFinder } from './namespace-finder.ts';
import { NamespaceGate } from './namespace-gate.ts';
import { NamespaceNumbers } from './namespace-numbers.ts';
import type { ProcessTable } from './processes.ts';
import { isOutOfFiles } from './refusals.ts';
import type { SocketCounters } from './socket-counters.ts';
import { SocketTable } from './socket-table.ts';
import { readSockstat } from './sockstat.ts';

/** Descriptors left for all else that the agent does. */
const RESERVED_FILES = 128;

/** The sockets of one namespace as a summary takes them. */
export interface NamespaceOfSockets {
  /** Empty when its last reading broke off. */
  readonly table: SocketTable;
  /** The pod whose namespace it is. */
  readonly pod?: PodRef;
  readonly inode: number;
  readonly numbers: NamespaceNumbers;
}

interface Namespace {
  found: FoundNamespace;
  readonly table: SocketTable;
  socket: NetlinkSocket | undefined;
  readonly numbers: NamespaceNumbers;
  readonly gate: NamespaceGate;
  /** Its last reading broke off, so that what its table holds is not all, or of earlier. */
  unread: boolean;
}

type ProcessId = number | 'thread-self';

export interface NamespaceSocketsOptions {
  readonly processes: ProcessTable;
  /** Sockets remembered, of all namespaces together with finwait's own. */
  readonly maxTracked: number;
  /** Lowest of the ports given to connecting sockets, in a namespace whose settings cannot be read. */
  readonly ephemeralFrom: number;
  readonly faults: NetlinkCounters;
  /** Asked for and kept of every socket. */
  readonly details?: boolean;
  readonly question?: SocketQuestion;
  readonly cgroups: CgroupPods;
  /** Where the tables count: those of all namespaces that there were. */
  readonly counters: SocketCounters;
  /** Of the counters of all namespaces. */
  readonly sums: CounterSums;
  readonly finder?: NamespaceFinder;
  /** How many files the process may have open. */
  readonly openFiles?: number;
  /** Called again and again: the thread has more to see to than one long reading. */
  readonly between?: () => void;
  /** Processor time of all readings of a sweep, milliseconds; what it is too short for has its turn first in the next. */
  readonly mostCpuMs?: number;
  /** Of the thread. */
  readonly cpuMs?: () => number;
}

export class NamespaceSockets {
  readonly #counters = {
    namespaces_found: 0,
    namespace_reads: 0,
    namespace_reads_spared: 0,
    namespace_reads_put_off: 0,
    namespaces_vanished: 0,
    namespace_failures: 0,
  };
  readonly #texts = new AddressCache();
  readonly #options: NamespaceSocketsOptions;
  readonly #finder: NamespaceFinder;
  readonly #namespaces = new Map<number, Namespace>();
  /** Why the last sweep could not enter one. */
  #refusal: NetlinkError | undefined;
  /** What the sweep has no time for, by inode, in the order of their turns. */
  #putOff: ReadonlySet<number> = new Set();
  /** How many sockets the table that is being read may remember. */
  #room = 0;
  /** Netlink sockets that stay open from sweep to sweep; and how many may. */
  #kept = 0;
  readonly #keptMax: number;
  /** In place of the table of a namespace whose reading broke off. */
  readonly #nothing: SocketTable;

  constructor(options: NamespaceSocketsOptions) {
    this.#options = options;
    this.#finder = options.finder ?? new NamespaceFinder();
    this.#keptMax = (options.openFiles ?? openFilesLimit()) - RESERVED_FILES;
    const { processes, ephemeralFrom } = options;
    this.#nothing = new SocketTable({ dump: () => {}, processes, maxTracked: 0, ephemeralFrom });
  }

  /**
   * Brings the tables in line with the kernel's. A namespace that goes away meanwhile is let go, and the rest goes on.
   * @param others how many sockets are remembered elsewhere
   */
  read(nowMs: number, others: number): void {
    this.#refusal = undefined;
    const found = this.#finder.find(nowMs);
    for (const inode of this.#namespaces.keys()) if (!found.has(inode)) this.#letGo(inode);
    const { mostCpuMs = Number.POSITIVE_INFINITY, cpuMs = threadCpuMs } = this.#options;
    const untilCpuMs = cpuMs() + mostCpuMs;
    const putOff = new Set<number>();
    let left = this.#options.maxTracked - others - this.tracked;
    for (const each of this.#inTurn(found)) {
      const namespace = this.#namespaceOf(each);
      namespace.found = each;
      this.#room = left + namespace.table.tracked;
      if (!this.#readOne(namespace, nowMs, cpuMs() < untilCpuMs)) putOff.add(each.inode);
      left = this.#room - namespace.table.tracked;
      this.#options.between?.();
    }
    this.#putOff = putOff;
    this.#counters.namespace_reads_put_off += putOff.size;
  }

  *#inTurn(found: ReadonlyMap<number, FoundNamespace>): Generator<FoundNamespace> {
    for (const inode of this.#putOff) {
      const waiting = found.get(inode);
      if (waiting !== undefined) yield waiting;
    }
    for (const each of found.values()) if (!this.#putOff.has(each.inode)) yield each;
  }

  *tables(): Generator<NamespaceOfSockets> {
    for (const { table, numbers, found, unread } of this.#namespaces.values()) {
      const { inode, pod } = found;
      yield { table: unread ? this.#nothing : table, numbers, inode, ...(pod === undefined ? {} : { pod }) };
    }
  }

  get tracked(): number {
    let sum = 0;
    for (const { table } of this.#namespaces.values()) sum += table.tracked;
    return sum;
  }

  condition(): Condition | undefined {
    return namespacesCondition(this.#finder, this.#refusal, this.#namespaces.size);
  }

  /** Totals since the start, by name. */
  counters(): Record<string, number> {
    return { ...this.#counters, ...this.#finder.counters };
  }

  #namespaceOf(found: FoundNamespace): Namespace {
    const known = this.#namespaces.get(found.inode);
    if (known !== undefined) return known;
    const { processes, cgroups, sums, counters, details = false, between = () => {} } = this.#options;
    const dump = (onSocket: OnDatagram) => this.#dump(namespace, onSocket);
    const ephemeralFrom = () => namespace.numbers.settings?.portRange?.from ?? this.#options.ephemeralFrom;
    const maxTracked = () => this.#room;
    const namespace: Namespace = {
      found,
      table: new SocketTable(
        { dump, processes, cgroups, maxTracked, ephemeralFrom, counters, details, between },
        this.#texts,
      ),
      socket: undefined,
      numbers: new NamespaceNumbers(sums),
      gate: new NamespaceGate(),
      unread: false,
    };
    this.#namespaces.set(found.inode, namespace);
    this.#counters.namespaces_found++;
    return namespace;
  }

  /** @returns whether what its table tells is of now; false only where there is no time */
  #readOne(namespace: Namespace, nowMs: number, hasTime: boolean): boolean {
    try {
      return this.#bringUpToDate(namespace, nowMs, hasTime);
    } catch (error) {
      this.#onFailure(namespace, error);
      return true;
    }
  }

  #bringUpToDate(namespace: Namespace, nowMs: number, hasTime: boolean): boolean {
    const { found, table, numbers, gate } = namespace;
    const counts = this.#lookInto(found, readSockstat);
    if (counts === undefined) return true; // The next search tells whether anything else leads into it.
    const onlyListens = [...table.counts().keys()].every((state) => state === 'LISTEN');
    const segments = () => this.#lookInto(found, readSegments);
    const spared = gate.spares({ counts, onlyListens, segments, nowMs });
    numbers.sockstat = counts;
    this.#lookInto(found, (procRoot, pid) => numbers.readCounters(procRoot, pid, spared, nowMs));
    this.#readSettings(namespace, nowMs);
    if (spared) {
      this.#counters.namespace_reads_spared++;
      return true;
    }
    if (!hasTime) {
      gate.reopen();
      return false;
    }
    table.read(nowMs);
    namespace.unread = false;
    return true;
  }

  /** Reads files of /proc/PID/net, of a process in the namespace; where there is none, of this thread in there. */
  #lookInto<T>({ pid, path, inode }: FoundNamespace, read: (procRoot: string, pid: ProcessId) => T): T {
    if (pid !== undefined) return read(this.#finder.procRoot, pid);
    return insideNamespace(path, inode, () => read('/proc', 'thread-self'));
  }

  #readSettings({ numbers, found: { path, inode } }: Namespace, nowMs: number): void {
    try {
      numbers.readSettings((read) => insideNamespace(path, inode, read), nowMs);
    } catch (error) {
      // The reading of its sockets fails for the same reason, and tells.
      if (!(error instanceof NetlinkError)) throw error;
    }
  }

  #dump(namespace: Namespace, onSocket: OnDatagram): void {
    const { inUse, timeWait } = namespace.numbers.sockstat;
    if (inUse + timeWait === 0) return;
    const { path, inode } = namespace.found;
    const { faults, question, between } = this.#options;
    if (namespace.socket === undefined) {
      namespace.socket = openNetlinkInside(path, inode, NETLINK_SOCK_DIAG, faults);
      this.#kept++;
    }
    this.#counters.namespace_reads++;
    dumpSocketsOf(namespace.socket, onSocket, question, between);
    if (this.#kept > this.#keptMax) this.#close(namespace);
  }

  /** A namespace that cannot be read now is tried again with the next sweep, with a new socket. */
  #onFailure(namespace: Namespace, error: unknown): void {
    const refusal = refusalIn(error);
    if (refusal === undefined) throw error;
    this.#close(namespace);
    namespace.gate.reopen();
    namespace.unread = true;
    if (refusal.errno === ENOENT || refusal.errno === ESRCH) return; // It went away just now.
    this.#counters.namespace_failures++;
    this.#refusal = refusal;
  }

  #letGo(inode: number): void {
    const namespace = this.#namespaces.get(inode);
    if (namespace !== undefined) this.#close(namespace);
    this.#namespaces.delete(inode);
    this.#counters.namespaces_vanished++;
  }

  #close(namespace: Namespace): void {
    if (namespace.socket === undefined) return;
    namespace.socket[Symbol.dispose]();
    namespace.socket = undefined;
    this.#kept--;
  }
}

/** Descriptors may also be missing for the files of /proc. */
function refusalIn(error: unknown): NetlinkError | undefined {
  if (error instanceof NetlinkError) return error;
  return isOutOfFiles(error) ? new NetlinkError(EMFILE, 'open a file of /proc') : undefined;
}
