/**
 * Reads the sockets of other network namespaces, and all tables, while no descriptor is left: `namespaces-starved.ts INODE`
 * prints three lines of JSON, `Seen` before, meanwhile and after.
 */

import { closeSync, openSync } from 'node:fs';
import { rssBytes } from '../../daemon/self.ts';
import { Sweeper } from '../../daemon/track/sweeper.ts';
import { reader } from './namespaces-reader.ts';

export interface Seen {
  /** States of the sockets in the namespace. */
  readonly states: readonly string[];
  /** How many connections its own counts tell of. */
  readonly inUse: number | undefined;
  readonly condition: string | undefined;
  /** Codes of the conditions of a sweep of all tables. */
  readonly swept: readonly string[];
  /** What the agent tells of its own memory. */
  readonly rssBytes: number;
}

const inode = Number(process.argv[2]);
const sockets = reader();
const sweeper = new Sweeper({ maxTracked: 100_000, allNamespaces: true });

/** The clock leaps, so that namespaces are looked for anew. */
function look(nowMs: number): Seen {
  sockets.read(nowMs, 0);
  const { table, numbers } = [...sockets.tables()].find((each) => each.inode === inode) ?? {};
  return {
    states: [...(table?.counts().keys() ?? [])].sort(),
    inUse: numbers?.sockstat.inUse,
    condition: sockets.condition()?.message,
    swept: sweeper.sweep(nowMs).conditions.map(({ code }) => code),
    rssBytes: rssBytes(),
  };
}

function takeAll(): number[] {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    return taken;
  }
}

const before = look(0);
const taken = takeAll();
const meanwhile = look(10_000);
for (const fd of taken) closeSync(fd);
const after = look(20_000);
for (const seen of [before, meanwhile, after]) console.log(JSON.stringify(seen));
sweeper[Symbol.dispose]();
