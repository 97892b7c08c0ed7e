/** An engine worker that misbehaves as its host configuration's `device` says. For engine-thread.test.ts. */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { EngineWorkerData, FromEngineWorker } from '../../../daemon/threads/messages.ts';
import { ENGINE_CELLS } from '../../../daemon/threads/messages.ts';

const { host, shared } = workerData as EngineWorkerData;
const cells = new BigInt64Array(shared);
const tell = (message: FromEngineWorker) => parentPort?.postMessage(message);
const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);

if (host.device === 'refused') {
  const condition = { code: 'TUN_DENIED', message: 'not allowed', hint: 'ask root' } as const;
  tell({ type: 'refused', condition, cause: 'EPERM' });
} else {
  const ready = { device: host.device, mtu: host.mtu, engineV4: '', hostV4: '', conditions: [] };
  tell({ type: 'ready', ready: { ...ready, engineV6: undefined, hostV6: undefined }, wakeFd: -1 });
  if (host.device === 'deaf') for (;;) pause();
  while (Atomics.load(cells, ENGINE_CELLS.stop) === 0n) {
    pause();
    const asked = parentPort !== null && receiveMessageOnPort(parentPort) !== undefined;
    if (asked && host.device === 'throws') throw new Error('a bug in the engine');
    if (asked && host.device === 'leaves') process.exit(5);
  }
}
