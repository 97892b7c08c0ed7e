/** Loses its device, and prints how many results come afterwards. For engine-thread.test.ts. */

import { execFileSync } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { startEngine } from '../../../daemon/threads/engine-client.ts';

const engine = startEngine({
  device: 'finwait0',
  mtu: 1500,
  allowForwarding: false,
  footprint: false,
  stateDir: process.argv[2] ?? '',
  policy: () => 'nothing may be probed',
});
let results = 0;
engine.onResult(() => results++);
await engine.ready;
const place = { name: 'x', host: '192.0.2.1', port: 80, origin: 'user', intervalMs: 100 } as const;
engine.setTargets([{ ...place, limits: DEFAULT_PROBE_LIMITS }]);
while (results === 0) await setTimeout(10);
execFileSync('ip', ['link', 'delete', 'finwait0']);
await engine.died;
await setTimeout(50);
results = 0;
await setTimeout(500);
console.log(`results: ${results}`);
process.exit(0);
