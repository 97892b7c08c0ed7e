/** One sweep of the kernel's tables as a report carries it; what cannot be read becomes a condition. */

import { statSync } from 'node:fs';
import type { Condition } from '#base/errors.ts';
import type { ConntrackSummary, SocketSummary, StateTurnover } from '#contract';
import { noNetlinkFaults } from '../kernel/netlink-socket.ts';
import { CgroupPods } from './cgroup-pods.ts';
import { Conntrack } from './conntrack.ts';
import { dumpSockets } from './dumps.ts';
import type { Findings, ReadTables } from './findings.ts';
import { Finder } from './findings.ts';
import { readEphemeralFrom } from './kernel-numbers.ts';
import { CounterSums } from './namespace-counters.ts';
import { NamespaceNumbers } from './namespace-numbers.ts';
import { NamespaceSockets } from './namespace-sockets.ts';
import { summarizeNamespaces } from './namespace-summary.ts';
import { findProcesses } from './process-search.ts';
import { ProcessTable } from './processes.ts';
import { unlessRefused } from './refusals.ts';
import type { SocketCounters } from './socket-counters.ts';
import { noSocketCounts } from './socket-counters.ts';
import { summarizeSockets } from './socket-summary.ts';
import { SocketTable } from './socket-table.ts';
import { readSockstat } from './sockstat.ts';

export interface Swept {
  readonly sockets?: SocketSummary;
  readonly conntrack?: ConntrackSummary;
  readonly conditions: readonly Condition[];
  readonly counters: Readonly<Record<string, number>>;
}

export interface SweeperOptions {
  /** How many sockets are remembered. */
  readonly maxTracked: number;
  /** Whether the sockets of all network namespaces of the machine are read, and pods told apart. */
  readonly allNamespaces: boolean;
  /** Called again and again while a sweep goes on, which may take long on a busy machine. */
  readonly onProgress?: () => void;
}

/** Processor time that a sweep has for the namespaces of others: the pause is some ten times as long, and what is put off has its turn then. */
const NAMESPACES_CPU_MS = 2_000;

export class Sweeper implements Disposable {
  readonly #processes: ProcessTable;
  readonly #netlinkFaults = noNetlinkFaults();
  readonly #sockets: SocketTable;
  readonly #socketCounters = noSocketCounts();
  #turnedOver: (Pick<SocketCounters, 'entered' | 'left'> & { readonly atMs: number }) | undefined;
  /** Undefined where pods are not told apart. */
  readonly #cgroups: CgroupPods | undefined;
  /** Undefined where other network namespaces are not looked into. */
  readonly #namespaces: NamespaceSockets | undefined;
  readonly #counterSums = new CounterSums();
  readonly #ownNumbers = new NamespaceNumbers(this.#counterSums);
  readonly #ownInode = statSync('/proc/thread-self/ns/net').ino;
  readonly #conntrack: Conntrack;
  readonly #finder = new Finder();
  readonly #onProgress: (() => void) | undefined;

  constructor({ maxTracked, allNamespaces, onProgress }: SweeperOptions) {
    this.#onProgress = onProgress;
    const between = () => this.follow();
    this.#processes = new ProcessTable({ pods: allNamespaces, between });
    this.#cgroups = allNamespaces ? new CgroupPods() : undefined;
    const common = {
      processes: this.#processes,
      ...(this.#cgroups === undefined ? {} : { cgroups: this.#cgroups }),
      maxTracked,
      ephemeralFrom: readEphemeralFrom(),
      counters: this.#socketCounters,
      between,
    };
    const faults = this.#netlinkFaults;
    this.#sockets = new SocketTable({
      ...common,
      dump: (onSocket) => dumpSockets(onSocket, faults, {}, between),
    });
    this.#namespaces =
      this.#cgroups === undefined
        ? undefined
        : new NamespaceSockets({
            ...common,
            cgroups: this.#cgroups,
            faults,
            sums: this.#counterSums,
            mostCpuMs: NAMESPACES_CPU_MS,
          });
    this.#conntrack = new Conntrack({ faults });
  }

  /** @param nowMs any clock that never steps back */
  sweep(nowMs: number): Swept {
    const conditions: Condition[] = [];
    const sockets = unlessRefused(conditions, () => this.#sweepSockets(nowMs));
    if (sockets !== undefined) {
      const partial = [this.#processes, this.#namespaces, this.#cgroups].map((each) => each?.condition());
      conditions.push(...partial.filter((condition) => condition !== undefined));
    }
    const conntrack = this.#conntrack.sweep(conditions);
    if (this.#namespaces !== undefined && isUnused(conntrack, sockets)) conditions.push(CONNTRACK_UNUSED);
    const readable = { sockets: sockets !== undefined, conntrack: conntrack !== undefined };
    const { ports, ...ofConntrack } = this.#find(readable, conditions);
    return {
      ...(sockets === undefined
        ? {}
        : { sockets: { ...sockets, ...(ports === undefined ? {} : { ports }) } }),
      ...(conntrack === undefined ? {} : { conntrack: { ...conntrack, ...ofConntrack } }),
      conditions,
      counters: this.#counters(),
    };
  }

  #find(readable: { sockets: boolean; conntrack: boolean }, conditions: Condition[]): Findings {
    const own = { inode: this.#ownInode, table: this.#sockets, numbers: this.#ownNumbers };
    const tables: ReadTables = {
      own: readable.sockets ? own : undefined,
      others: this.#namespaces?.tables() ?? [],
      flows: this.#conntrack.table,
      flowsKnownMs: this.#conntrack.knownMs,
      flowsDisbelief: readable.conntrack ? this.#conntrack.disbelief : 'unreadable',
    };
    return this.#finder.find(tables, () => this.follow(), conditions);
  }

  /**
   * Reads the events of conntrack that wait; to be called again and again between sweeps.
   * @returns whether there was anything
   */
  follow(): boolean {
    const came = this.#conntrack.follow();
    this.#onProgress?.();
    return came;
  }

  /** Closes what is open in the kernel. */
  [Symbol.dispose](): void {
    this.#conntrack[Symbol.dispose]();
  }

  /** All tables are read before their processes are looked for, in one search. */
  #sweepSockets(nowMs: number): SocketSummary {
    const own = this.#sockets;
    own.read(nowMs);
    this.follow();
    this.#namespaces?.read(nowMs, own.tracked);
    const others = this.#namespaces === undefined ? undefined : [...this.#namespaces.tables()];
    const tables = [own, ...(others ?? []).map(({ table }) => table)];
    findProcesses(this.#processes, tables);
    this.#cgroups?.update(nowMs);
    this.follow();
    for (const table of tables) table.attribute();
    this.#readOwnNumbers(nowMs);
    const ownNamespace = { inode: this.#ownInode, numbers: this.#ownNumbers };
    return {
      ...summarizeSockets(own, others, nowMs),
      turnover: this.#turnover(nowMs),
      ...summarizeNamespaces(ownNamespace, others ?? [], this.#counterSums),
    };
  }

  /** Nothing with the first sweep. */
  #turnover(nowMs: number): StateTurnover[] {
    const { entered, left } = this.#socketCounters;
    const before = this.#turnedOver;
    this.#turnedOver = { atMs: nowMs, entered: { ...entered }, left: { ...left } };
    const seconds = before === undefined ? 0 : (nowMs - before.atMs) / 1_000;
    if (before === undefined || seconds <= 0) return [];
    return (['TIME-WAIT', 'CLOSE-WAIT'] as const).map((state) => ({
      state,
      enteredPerSecond: (entered[state] - before.entered[state]) / seconds,
      leftPerSecond: (left[state] - before.left[state]) / seconds,
    }));
  }

  #readOwnNumbers(nowMs: number): void {
    const numbers = this.#ownNumbers;
    numbers.sockstat = readSockstat('/proc', 'thread-self') ?? numbers.sockstat;
    numbers.readCounters('/proc', 'thread-self', false, nowMs);
    numbers.readSettings((read) => read(), nowMs);
  }

  #counters(): Record<string, number> {
    const sockets = this.#socketCounters;
    const processes = this.#processes.counters;
    return {
      sockets_undecodable: sockets.undecodable,
      sockets_duplicate: sockets.duplicates,
      sockets_untracked: sockets.untracked,
      sockets_time_wait_entered: sockets.entered['TIME-WAIT'],
      sockets_time_wait_left: sockets.left['TIME-WAIT'],
      sockets_close_wait_entered: sockets.entered['CLOSE-WAIT'],
      sockets_close_wait_left: sockets.left['CLOSE-WAIT'],
      ...this.#namespaces?.counters(),
      ...this.#cgroups?.counters,
      ...this.#conntrack.counters,
      netlink_foreign_sender: this.#netlinkFaults.foreignSender,
      netlink_foreign_sequence: this.#netlinkFaults.foreignSequence,
      netlink_truncated: this.#netlinkFaults.truncated,
      netlink_undecodable: this.#netlinkFaults.undecodable,
      netlink_interrupted: this.#netlinkFaults.interrupted,
      netlink_unanswered: this.#netlinkFaults.unanswered,
      process_searches_cut: processes.searchesCut,
      process_descriptors_read: processes.descriptorsRead,
      process_sockets_handed_over: processes.handedOver,
    };
  }
}

/** Empty, although connections are open: on a node of a cluster that is worth a word. */
function isUnused(conntrack: ConntrackSummary | undefined, sockets: SocketSummary | undefined): boolean {
  const connected = sockets?.states.some(({ state, count }) => state === 'ESTABLISHED' && count > 0);
  return conntrack?.status === 'idle' && connected === true;
}

const CONNTRACK_UNUSED: Condition = {
  code: 'CONNTRACK_UNUSED',
  message: 'conntrack holds no flow although connections are open: no rule of this network namespace uses it',
  hint: 'where eBPF takes the place of kube-proxy (Cilium, Calico) that is as it should be; else look for rules that bypass it (notrack)',
};
