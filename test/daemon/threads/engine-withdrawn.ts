/** Withdraws a target whose name is being looked up, and prints what stands against it then. For engine-thread.test.ts. */

import { setTimeout } from 'node:timers/promises';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { startEngine } from '../../../daemon/threads/engine-client.ts';

const engine = startEngine({
  device: 'finwait0',
  mtu: 1500,
  allowForwarding: false,
  footprint: false,
  stateDir: process.argv[2] ?? '',
});
await engine.ready;
const place = { name: 'x', host: 'name.invalid', port: 80, origin: 'user', intervalMs: 60_000 } as const;
engine.setTargets([{ ...place, limits: DEFAULT_PROBE_LIMITS }]);
await engine.ready;
engine.setTargets([]);
while (engine.snapshot().counters.probe_names_unresolved === 0) await setTimeout(10);
await setTimeout(10);
console.log(JSON.stringify(engine.snapshot().conditions.map(({ code }) => code)));
await engine.stop();
