/** One sweep of the kernel's tables as a report carries it; what cannot be read becomes a condition. */

import type { Condition } from '#base/errors.ts';
import { conditionOf } from '#base/errors.ts';
import type { ConntrackSummary, SocketSummary } from '#contract';
import { FOOTPRINT_MARK } from '../kernel/host-tun.ts';
import { noNetlinkFaults } from '../kernel/netlink-socket.ts';
import { ConntrackTable } from './conntrack-table.ts';
import { dumpFlows, dumpSockets } from './dumps.ts';
import { readConntrackFill, readEphemeralFrom } from './kernel-numbers.ts';
import { ProcessTable } from './processes.ts';
import { summarizeSockets } from './socket-summary.ts';
import { SocketTable } from './socket-table.ts';

export interface Swept {
  readonly sockets?: SocketSummary;
  readonly conntrack?: ConntrackSummary;
  readonly conditions: readonly Condition[];
  readonly counters: Readonly<Record<string, number>>;
}

export class Sweeper {
  readonly #processes = new ProcessTable();
  readonly #netlinkFaults = noNetlinkFaults();
  readonly #sockets: SocketTable;
  readonly #conntrack: ConntrackTable;
  #conntrackWasUsed = false;

  /** @param maxTracked how many sockets, and how many flows, are remembered */
  constructor(maxTracked: number) {
    this.#sockets = new SocketTable({
      dump: (onSocket) => dumpSockets(onSocket, this.#netlinkFaults),
      processes: this.#processes,
      maxTracked,
      ephemeralFrom: readEphemeralFrom(),
    });
    this.#conntrack = new ConntrackTable({
      dump: (onFlow) => dumpFlows(onFlow, this.#netlinkFaults),
      maxTracked,
      ownMark: FOOTPRINT_MARK,
    });
  }

  /** @param nowMs any clock that never steps back */
  sweep(nowMs: number): Swept {
    const conditions: Condition[] = [];
    const sockets = unlessRefused(conditions, () => {
      this.#sockets.sweep(nowMs);
      return summarizeSockets(this.#sockets, nowMs);
    });
    const names = sockets === undefined ? undefined : this.#processes.condition();
    if (names !== undefined) conditions.push(names);
    const conntrack = this.#sweepConntrack(nowMs, conditions);
    return {
      ...(sockets === undefined ? {} : { sockets }),
      ...(conntrack === undefined ? {} : { conntrack }),
      conditions,
      counters: this.#counters(),
    };
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
    const sockets = this.#sockets.counters;
    const conntrack = this.#conntrack.counters;
    const processes = this.#processes.counters;
    return {
      sockets_undecodable: sockets.undecodable,
      sockets_duplicate: sockets.duplicates,
      sockets_untracked: sockets.untracked,
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
