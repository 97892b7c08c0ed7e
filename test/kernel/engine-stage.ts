/** Where scenes between engine and kernel are played: a process with the device, in a network namespace of its own. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { ROOT } from '../support/child.ts';
import { makeNetns } from '../support/netns.ts';
import type { Family, Seen } from './engine-child.ts';

export interface Stage extends AsyncDisposable {
  play(scene: string, family: Family): Promise<Seen>;
}

export async function openStage(): Promise<Stage> {
  const netns = await makeNetns('engine');
  const [program = '', ...args] = [
    ...netns.enter,
    process.execPath,
    join(ROOT, 'test/kernel/engine-child.ts'),
  ];
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit');
  const died = ended.then(([code, signal]) => {
    throw new Error(`the process of the scenes ended (${signal ?? code})`);
  });
  died.catch(() => {});
  return {
    async play(scene, family) {
      child.send({ scene, family });
      const [seen] = (await Promise.race([once(child, 'message'), died])) as [Seen];
      return seen;
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      await ended;
      await netns[Symbol.asyncDispose]();
    },
  };
}
