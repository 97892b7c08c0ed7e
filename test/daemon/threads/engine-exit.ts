/** Starts the engine and ends without stopping it, by `exit` or by `throw`. For engine-thread.test.ts. */

import { startEngine } from '../../../daemon/threads/engine-client.ts';

const engine = startEngine({
  device: 'finwait0',
  mtu: 1500,
  allowForwarding: false,
  footprint: false,
  stateDir: process.argv[3] ?? '',
});
await engine.ready;
if (process.argv[2] === 'throw') throw new Error('a bug elsewhere');
process.exit(7);
