/** Runs one benchmark in the namespaces that main.ts has made for it: `inside.ts NAME SIZE`. */

import { existsSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { BENCHES, type BenchName } from './benches.ts';
import type { Size } from './figures.ts';
import { setUpNamespace } from './network.ts';

const NICE = -10;
const SESSION_NICE = '/proc/self/autogroup';

// The first process of its namespace: with it all others end.
process.once('disconnect', () => process.exit(1));
const [name, size] = process.argv.slice(2) as [BenchName, Size];
preferThisSession();
setUpNamespace();
const outcome = await BENCHES[name](size);
process.send?.(outcome, () => process.exit(0));

/** What else runs on the machine is to disturb as little as can be. sched(7): among sessions, theirs counts. */
function preferThisSession(): void {
  setPriority(NICE);
  if (existsSync(SESSION_NICE)) writeFileSync(SESSION_NICE, String(NICE));
}
