/** One sweep of the kernel's tables as a report carries it; what cannot be read becomes a condition. */

import { statSync } from 'node:fs';
import type { Condition } from '#base/errors.ts';
import { conditionOf } from '#base/errors.ts';
import type { ConntrackSummary, SocketSummary, StateTurnover } from '#contract';
import { FOOTPRINT_MARK } from '../kernel/host-tun.ts';
import { noNetlinkFaults } from '../kernel/netlink-socket.ts';
import { CgroupPods } from './cgroup-pods.ts';
import { ConntrackTable } from './conntrack-table.ts';
import { dumpFlows, dumpSockets } from './dumps.ts';
import { readConntrackFill, readEphemeralFrom } from './kernel-numbers.ts';
import { CounterSums } from './namespace-counters.ts';
import { NamespaceNumbers } from './namespace-numbers.ts';
import { NamespaceSockets } from './namespace-sockets.ts';
import { summarizeNamespaces } from './namespace-summary.ts';
import { ProcessTable } from './processes.ts';
import { summarizeSockets } from './socket-summary.ts';
import type { SocketCounters } from './socket-table.ts';
import { noSocketCounts, SocketTable } from './socket-table.ts';
import { readSockstat } from './sockstat.ts';

export interface Swept {
  readonly sockets?: SocketSummary;
  readonly conntrack?: ConntrackSummary;
  readonly conditions: readonly Condition[];
  readonly counters: Readonly<Record<string, number>>;
}

export interface SweeperOptions {
  /** How many sockets, and how many flows, are remembered. */
  readonly maxTracked: number;
  /** Whether the sockets of all network namespaces of the machine are read, and pods told apart. */
  readonly allNamespaces: boolean;
}

export class Sweeper {
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
  readonly #conntrack: ConntrackTable;
  #conntrackWasUsed = false;

  constructor({ maxTracked, allNamespaces }: SweeperOptions) {
    this.#processes = new ProcessTable({ pods: allNamespaces });
    this.#cgroups = allNamespaces ? new CgroupPods() : undefined;
    const common = {
      processes: this.#processes,
      ...(this.#cgroups === undefined ? {} : { cgroups: this.#cgroups }),
      maxTracked,
      ephemeralFrom: readEphemeralFrom(),
      counters: this.#socketCounters,
    };
    const faults = this.#netlinkFaults;
    this.#sockets = new SocketTable({ ...common, dump: (onSocket) => dumpSockets(onSocket, faults) });
    this.#namespaces =
      this.#cgroups === undefined
        ? undefined
        : new NamespaceSockets({ ...common, cgroups: this.#cgroups, faults, sums: this.#counterSums });
    this.#conntrack = new ConntrackTable({
      dump: (onFlow) => dumpFlows(onFlow, this.#netlinkFaults),
      maxTracked,
      ownMark: FOOTPRINT_MARK,
    });
  }

  /** @param nowMs any clock that never steps back */
  sweep(nowMs: number): Swept {
    const conditions: Condition[] = [];
    const sockets = unlessRefused(conditions, () => this.#sweepSockets(nowMs));
    if (sockets !== undefined) {
      const partial = [this.#processes.condition(), this.#namespaces?.condition()];
      conditions.push(...partial.filter((condition) => condition !== undefined));
    }
    const conntrack = this.#sweepConntrack(nowMs, conditions);
    return {
      ...(sockets === undefined ? {} : { sockets }),
      ...(conntrack === undefined ? {} : { conntrack }),
      conditions,
      counters: this.#counters(),
    };
  }

  /** All tables are read before their processes are looked for, in one search. */
  #sweepSockets(nowMs: number): SocketSummary {
    const own = this.#sockets;
    own.read(nowMs);
    this.#namespaces?.read(nowMs, own.tracked);
    const others = this.#namespaces === undefined ? undefined : [...this.#namespaces.tables()];
    const tables = [own, ...(others ?? []).map(({ table }) => table)];
    this.#processes.update(new Set(tables.flatMap((table) => [...table.inodes()])));
    this.#cgroups?.update(nowMs);
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

  /** The fill is known even where the flows may not be read. */
  #sweepConntrack(nowMs: number, conditions: Condition[]): ConntrackSummary | undefined {
    const fill = unlessRefused(conditions, readConntrackFill);
    if (fill === undefined) return undefined;
    // A dump walks the tables of all network namespaces; a namespace without flows is not worth it.
    if (fill.count > 0) {
      this.#conntrackWasUsed = true;
      unlessRefused(conditions, () => this.#conntrack.sweep(nowMs));
    } else {
      this.#conntrack.clear();
    }
    return {
      // The kernel does not tell whether a rule hooks conntrack in; flows tell that one does.
      status: this.#conntrackWasUsed ? 'on' : 'idle',
      ...fill,
      states: [...this.#conntrack.states]
        .map(([state, { count, oldestMs }]) => ({ state, count, oldestMs }))
        .sort((a, b) => b.count - a.count),
      own: this.#conntrack.own,
    };
  }

  #counters(): Record<string, number> {
    const sockets = this.#socketCounters;
    const conntrack = this.#conntrack.counters;
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
      conntrack_undecodable: conntrack.undecodable,
      conntrack_untracked: conntrack.untracked,
      netlink_foreign_sender: this.#netlinkFaults.foreignSender,
      netlink_foreign_sequence: this.#netlinkFaults.foreignSequence,
      netlink_truncated: this.#netlinkFaults.truncated,
      netlink_undecodable: this.#netlinkFaults.undecodable,
      netlink_interrupted: this.#netlinkFaults.interrupted,
      netlink_unanswered: this.#netlinkFaults.unanswered,
      process_searches_cut: processes.searchesCut,
      process_descriptors_read: processes.descriptorsRead,
    };
  }
}

/** What `read` gives; a refusal is added to the conditions, and the rest goes on. */
function unlessRefused<T>(conditions: Condition[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    conditions.push(conditionOf(error));
    return undefined;
  }
}
