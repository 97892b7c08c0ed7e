/**
 * One user at a time of what the whole machine shares. The turn is an abstract Unix socket, so the kernel
 * ends it with the process, however that dies, and two runs of the tests at once take turns as well.
 */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { tellRunner } from './channel.ts';

const NAME = '\0finwait-test-machine';
const RETRY_MS = 100;

let held: Promise<void> | undefined;

/** Resolves when this process has the turn, which it keeps to its end. */
export function machineTurn(): Promise<void> {
  held ??= take();
  return held;
}

async function take(): Promise<void> {
  for (;;) {
    const server = createServer().unref();
    try {
      server.listen(NAME);
      await once(server, 'listening');
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      tellRunner({ type: 'waiting' });
      await sleep(RETRY_MS);
    }
  }
}
