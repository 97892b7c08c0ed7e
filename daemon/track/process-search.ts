/** The processes of the sockets of several network namespaces, looked for in one search. */

import { KERNEL_STATE } from '../netlink/inet-diag.ts';
import type { ProcessTable } from './processes.ts';
import type { SocketTable } from './socket-table.ts';

/** Sockets whose process is told by name, and to be blamed: it is looked first whether they are still its own. */
const BLAMED = (1 << KERNEL_STATE.LISTEN) | (1 << KERNEL_STATE.CLOSE_WAIT);

export function findProcesses(processes: ProcessTable, tables: readonly Pick<SocketTable, 'inodes'>[]): void {
  const inodes = new Set<number>();
  const first: number[] = [];
  for (const table of tables) {
    for (const inode of table.inodes()) inodes.add(inode);
    for (const inode of table.inodes(BLAMED)) first.push(inode);
  }
  processes.update(inodes, first);
}
