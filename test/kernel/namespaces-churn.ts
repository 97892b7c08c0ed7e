/**
 * Started in a PID namespace of its own: sweeps all network namespaces, again and again, while those of pods come and go,
 * their processes killed at any moment. `namespaces-churn.ts PODS ROUNDS`. Prints what is left at the end, as JSON.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { compiled } from '../../bench/programs.ts';
import type { TablesSweep } from '../../daemon/threads/tables-client.ts';
import { startTables } from '../../daemon/threads/tables-client.ts';
import { until } from '../support/until.ts';

export interface Left {
  readonly rounds: number;
  readonly seen: number;
  readonly counters: TablesSweep['counters'];
  /** Most descriptors of sockets at any look before: some are open for a part of each sweep. */
  readonly socketsBefore: number;
  /** Fewest at any look after. */
  readonly socketsAfter: number;
  /** Network namespaces that threads of this process are in. */
  readonly namespaces: number;
}

const [pods = 0, rounds = 0] = process.argv.slice(2).map(Number);
const CONNECTIONS = 3;

/** So many looks as sweeps that end meanwhile. */
const LOOKS = 20;

async function looks(): Promise<number[]> {
  const counts: number[] = [];
  let last: TablesSweep | undefined;
  while (counts.length < LOOKS) {
    const before = last;
    last = await sweepWhere('the next sweep', (sweep) => sweep !== before);
    counts.push(openSockets());
  }
  return counts;
}

function openSockets(): number {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // That of the folder itself.
    }
  });
  return targets.filter((target) => target.startsWith('socket:')).length;
}

async function startPods() {
  const child = spawn(compiled('pods'), [String(pods), String(CONNECTIONS)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

const tables = startTables({ sweepIntervalMs: 20, allNamespaces: true });
void tables.died.then((error) => {
  throw error;
});
const held = ({ counters }: TablesSweep) =>
  (counters.namespaces_found ?? 0) - (counters.namespaces_vanished ?? 0);
const sweepWhere = (what: string, passes: (sweep: TablesSweep) => boolean) =>
  until(what, () => {
    const sweep = tables.latest();
    return sweep !== undefined && passes(sweep) ? sweep : undefined;
  });
await sweepWhere('the first sweep', () => true);
const socketsBefore = Math.max(...(await looks()));
let seen = 0;
for (let round = 0; round < rounds; round += 1) {
  // Some are looked into before they go, some while they come, some while they go.
  const waits = round % 3 === 0;
  if (waits) await sweepWhere('the end of those before', (sweep) => held(sweep) === 0);
  const child = await startPods();
  if (waits) await sweepWhere('all pods', (sweep) => held(sweep) >= pods);
  seen = Math.max(seen, held(tables.latest() as TablesSweep));
  child.kill('SIGKILL');
  if (round % 2 === 0) await once(child, 'close');
}
const { counters } = await sweepWhere('the end of all of them', (sweep) => held(sweep) === 0);
const left: Left = {
  rounds,
  seen,
  counters,
  socketsBefore,
  socketsAfter: Math.min(...(await looks())),
  namespaces: new Set(
    readdirSync('/proc/self/task').map((id) => readlinkSync(`/proc/self/task/${id}/ns/net`)),
  ).size,
};
console.log(JSON.stringify(left));
await tables.stop();
