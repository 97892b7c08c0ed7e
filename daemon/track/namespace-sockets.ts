/**
 * The TCP sockets of the machine's other network namespaces, the pods'. Any question to the kernel about sockets walks
 * the table of the whole machine, so a namespace is asked only when its own counts say that there is something to see.
 */

import type { Condition } from '#base/errors.ts';
import type { PodRef } from '#contract';
import { EACCES, EMFILE, ENOENT, EPERM, ESRCH } from '../kernel/libc.ts';
import type { NetlinkCounters, NetlinkSocket } from '../kernel/netlink-socket.ts';
import { NetlinkError } from '../kernel/netlink-socket.ts';
import { insideNamespace, openNetlinkInside } from '../kernel/network-namespace.ts';
import type { DiagExtras } from '../netlink/inet-diag.ts';
import { NETLINK_SOCK_DIAG } from '../netlink/inet-diag.ts';
import { AddressCache } from './address-cache.ts';
import type { CgroupPods } from './cgroup-pods.ts';
import type { OnPayload } from './dumps.ts';
import { dumpSocketsOf } from './dumps.ts';
import { hintToSee } from './hidden.ts';
import type { CounterSums } from './namespace-counters.ts';
import type { FoundNamespace } from './namespace-finder.ts';
import { NamespaceFinder } from './namespace-finder.ts';
import { NamespaceNumbers } from './namespace-numbers.ts';
import { seesWholeMachine } from './proc.ts';
import type { ProcessTable } from './processes.ts';
import type { SocketCounters } from './socket-table.ts';
import { SocketTable } from './socket-table.ts';
import type { Sockstat } from './sockstat.ts';
import { readSockstat } from './sockstat.ts';

/** A namespace whose counts stand still and which has nothing but listeners is read this seldom all the same. */
const QUIET_SWEEPS = 15;

type Counts = Pick<Sockstat, 'inUse' | 'timeWait'>;

const NOTHING: Counts = { inUse: 0, timeWait: 0 };
/** Counts that no namespace has, so that it is read the next time. */
const UNREAD: Counts = { inUse: -1, timeWait: -1 };

/** The sockets of one namespace as a summary takes them. */
export interface NamespaceOfSockets {
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
  /** Of the last reading. */
  counts: Counts;
  readonly numbers: NamespaceNumbers;
  quietSweeps: number;
}

export interface NamespaceSocketsOptions {
  readonly processes: ProcessTable;
  /** Sockets remembered, of all namespaces together with finwait's own. */
  readonly maxTracked: number;
  /** Lowest of the ports given to connecting sockets, in a namespace whose settings cannot be read. */
  readonly ephemeralFrom: number;
  readonly faults: NetlinkCounters;
  /** Asked for and kept of every socket. */
  readonly details?: boolean;
  readonly extras?: DiagExtras;
  readonly cgroups: CgroupPods;
  /** Where the tables count: those of all namespaces that there were. */
  readonly counters: SocketCounters;
  /** Of the counters of all namespaces. */
  readonly sums: CounterSums;
  readonly finder?: NamespaceFinder;
  /** Called after each namespace: the thread has more to see to than one long reading. */
  readonly between?: () => void;
}

export class NamespaceSockets {
  readonly #counters = {
    namespaces_found: 0,
    namespace_reads: 0,
    namespace_reads_spared: 0,
    namespaces_vanished: 0,
    namespace_failures: 0,
  };
  readonly #texts = new AddressCache();
  readonly #options: NamespaceSocketsOptions;
  readonly #finder: NamespaceFinder;
  readonly #namespaces = new Map<number, Namespace>();
  /** Why the last sweep could not enter one. */
  #refusal: NetlinkError | undefined;
  /** How many sockets the table that is being read may remember. */
  #room = 0;

  constructor(options: NamespaceSocketsOptions) {
    this.#options = options;
    this.#finder = options.finder ?? new NamespaceFinder();
  }

  /**
   * Brings the tables in line with the kernel's. A namespace that goes away meanwhile is let go, and the rest goes on.
   * @param others how many sockets are remembered elsewhere
   */
  read(nowMs: number, others: number): void {
    this.#refusal = undefined;
    const found = this.#finder.find(nowMs);
    for (const inode of this.#namespaces.keys()) if (!found.has(inode)) this.#letGo(inode);
    let left = this.#options.maxTracked - others - this.tracked;
    for (const each of found.values()) {
      const namespace = this.#namespaceOf(each);
      namespace.found = each;
      this.#room = left + namespace.table.tracked;
      this.#readOne(namespace, nowMs);
      left = this.#room - namespace.table.tracked;
      this.#options.between?.();
    }
  }

  *tables(): Generator<NamespaceOfSockets> {
    for (const { table, numbers, found } of this.#namespaces.values()) {
      const { inode, pod } = found;
      yield { table, numbers, inode, ...(pod === undefined ? {} : { pod }) };
    }
  }

  get tracked(): number {
    let sum = 0;
    for (const { table } of this.#namespaces.values()) sum += table.tracked;
    return sum;
  }

  condition(): Condition | undefined {
    const message = 'the sockets of some network namespaces, such as those of pods, cannot be read';
    const code = 'NAMESPACES_PARTIAL';
    const denied = this.#refusal?.errno === EPERM || this.#refusal?.errno === EACCES;
    if (this.#refusal !== undefined && !denied)
      return { code, message: `${message}: ${this.#refusal.message}`, hint: hintFor(this.#refusal.errno) };
    if (denied)
      return {
        code,
        message: `${message}: they may not be entered`,
        hint: hintToSee(['SYS_ADMIN', 'SYS_PTRACE']),
      };
    if (this.#finder.denied)
      return {
        code,
        message: `${message}: the namespaces of some processes may not be seen`,
        hint: hintToSee(['SYS_PTRACE']),
      };
    if (this.#finder.full)
      return {
        code,
        message: `${message}: there are more than ${this.#namespaces.size}, which is the most that are looked into`,
        hint: 'nothing to be done here: the sockets of the others are not counted',
      };
    if (this.#namespaces.size === 0 && !seesWholeMachine(this.#finder.procRoot))
      return {
        code,
        message: `${message}: finwait sees only the processes of its own container`,
        hint: 'run finwait in the PID namespace of the machine (chart: agent.hostPID; in a pod: hostPID: true)',
      };
    return undefined;
  }

  /** Totals since the start, by name. */
  counters(): Record<string, number> {
    return { ...this.#counters, ...this.#finder.counters };
  }

  #namespaceOf(found: FoundNamespace): Namespace {
    const known = this.#namespaces.get(found.inode);
    if (known !== undefined) return known;
    const { processes, cgroups, sums, counters, details = false } = this.#options;
    const dump = (onSocket: OnPayload) => this.#dump(namespace, onSocket);
    const ephemeralFrom = () => namespace.numbers.settings?.portRange?.from ?? this.#options.ephemeralFrom;
    const maxTracked = () => this.#room;
    const namespace: Namespace = {
      found,
      table: new SocketTable(
        { dump, processes, cgroups, maxTracked, ephemeralFrom, counters, details },
        this.#texts,
      ),
      socket: undefined,
      counts: NOTHING,
      numbers: new NamespaceNumbers(sums),
      quietSweeps: 0,
    };
    this.#namespaces.set(found.inode, namespace);
    this.#counters.namespaces_found++;
    return namespace;
  }

  #readOne(namespace: Namespace, nowMs: number): void {
    const counts = readSockstat(this.#finder.procRoot, namespace.found.pid);
    if (counts === undefined) return; // The next search tells whether another process is in it.
    const quiet = isQuiet(namespace, counts);
    this.#readNumbers(namespace, counts, quiet, nowMs);
    if (quiet) {
      namespace.quietSweeps++;
      this.#counters.namespace_reads_spared++;
      return;
    }
    namespace.counts = counts;
    namespace.quietSweeps = 0;
    try {
      namespace.table.read(nowMs);
    } catch (error) {
      this.#onFailure(namespace, error);
    }
  }

  #readNumbers({ numbers, found }: Namespace, counts: Sockstat, quiet: boolean, nowMs: number): void {
    const { procRoot } = this.#finder;
    const { pid, inode } = found;
    numbers.sockstat = counts;
    numbers.readCounters(procRoot, pid, quiet, nowMs);
    try {
      numbers.readSettings((read) => insideNamespace(`${procRoot}/${pid}/ns/net`, inode, read), nowMs);
    } catch (error) {
      // The reading of its sockets fails for the same reason, and tells.
      if (!(error instanceof NetlinkError)) throw error;
    }
  }

  #dump(namespace: Namespace, onSocket: OnPayload): void {
    const { inUse, timeWait } = namespace.counts;
    if (inUse + timeWait === 0) return;
    const { pid, inode } = namespace.found;
    const path = `${this.#finder.procRoot}/${pid}/ns/net`;
    namespace.socket ??= openNetlinkInside(path, inode, NETLINK_SOCK_DIAG, this.#options.faults);
    this.#counters.namespace_reads++;
    dumpSocketsOf(namespace.socket, onSocket, this.#options.extras);
  }

  /** A namespace that cannot be read now is tried again with the next sweep, with a new socket. */
  #onFailure(namespace: Namespace, error: unknown): void {
    if (!(error instanceof NetlinkError)) throw error;
    namespace.socket?.[Symbol.dispose]();
    namespace.socket = undefined;
    namespace.counts = UNREAD;
    if (error.errno === ENOENT || error.errno === ESRCH) return; // It went away just now.
    this.#counters.namespace_failures++;
    this.#refusal = error;
  }

  #letGo(inode: number): void {
    this.#namespaces.get(inode)?.socket?.[Symbol.dispose]();
    this.#namespaces.delete(inode);
    this.#counters.namespaces_vanished++;
  }
}

/** A connection changes the counts, and what listens alone does not change by itself. */
function isQuiet({ table, counts, quietSweeps }: Namespace, now: Counts): boolean {
  if (quietSweeps >= QUIET_SWEEPS) return false;
  if (now.inUse !== counts.inUse || now.timeWait !== counts.timeWait) return false;
  return [...table.counts().keys()].every((state) => state === 'LISTEN');
}

function hintFor(errno: number): string {
  return errno === EMFILE
    ? 'raise the limit of open files: one is needed for each pod that has sockets'
    : 'they are read again with the next sweep; report it if it persists';
}
