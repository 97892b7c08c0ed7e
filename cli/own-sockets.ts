/** The sockets of this network namespace, without whose they are. */

import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { dumpSockets } from '../daemon/track/dumps.ts';
import { readEphemeralFrom } from '../daemon/track/kernel-numbers.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import { SocketTable } from '../daemon/track/socket-table.ts';

export interface OwnSockets {
  readonly table: SocketTable;
  /** Messages of the kernel that are missing in it. */
  readonly dropped: number;
}

/** Reads them once. @param nowMs the clock of their ages */
export function readOwnSockets(nowMs: number): OwnSockets {
  const faults = noNetlinkFaults();
  const table = new SocketTable({
    dump: (onSocket) => dumpSockets(onSocket, faults),
    processes: new ProcessTable(),
    maxTracked: Number.POSITIVE_INFINITY,
    ephemeralFrom: readEphemeralFrom(),
  });
  table.read(nowMs);
  // Tells what was accepted by a listener from what was opened here.
  table.attribute();
  return { table, dropped: table.counters.undecodable + faults.truncated + faults.undecodable };
}
