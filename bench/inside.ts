/** Runs one benchmark in the namespaces that main.ts has made for it: `inside.ts NAME SIZE`. */

import { BENCHES, type BenchName } from './benches.ts';
import type { Size } from './figures.ts';
import { setUpNamespace } from './network.ts';

// The first process of its namespace: with it all others end.
process.once('disconnect', () => process.exit(1));
const [name, size] = process.argv.slice(2) as [BenchName, Size];
setUpNamespace();
const outcome = await BENCHES[name](size);
process.send?.(outcome, () => process.exit(0));
