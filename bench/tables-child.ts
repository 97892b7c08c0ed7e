/**
 * Reads the kernel's tables as the agent does, into the agent's own tables: `tables-child.ts sockets|owners RUNS`. Prints
 * what each reading cost, a line of JSON each: the first fills the table, the others find what they know.
 */

import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { dumpSockets } from '../daemon/track/dumps.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import { SocketTable } from '../daemon/track/socket-table.ts';
import type { Reading } from './tables.ts';

const [what, runs] = process.argv.slice(2);
const MAX_TRACKED = 2_000_000;
const EPHEMERAL_FROM = 32_768;
const MEBIBYTE = 2 ** 20;

const faults = noNetlinkFaults();
const processes = new ProcessTable({ maxDescriptors: 1_000_000 });
const sockets = new SocketTable({
  dump: (onSocket) => dumpSockets(onSocket, faults),
  processes,
  maxTracked: MAX_TRACKED,
  ephemeralFrom: EPHEMERAL_FROM,
});

function readOnce(): number {
  if (what === 'owners') sockets.sweep(performance.now());
  else sockets.read(performance.now());
  return sockets.tracked;
}

for (let run = 0; run < Number(runs); run += 1) {
  const [before, startMs] = [process.cpuUsage(), performance.now()];
  const rows = readOnce();
  const { user, system } = process.cpuUsage(before);
  const reading: Reading = {
    rows,
    seconds: (performance.now() - startMs) / 1000,
    cpu: (user + system) / 1e6,
    residentMiB: process.memoryUsage().rss / MEBIBYTE,
  };
  console.log(JSON.stringify(reading));
}
