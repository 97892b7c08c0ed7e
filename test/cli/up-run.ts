/** A network namespace with something that listens in it, to run `finwait up` in. */

import type { Child, ChildOptions } from '../support/child.ts';
import { runProgram } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';

/** Listens on port 8080 of 127.0.0.1 and ::1 and answers a close with a close. */
const LISTENER = `
  const { createServer } = require('node:net');
  let toOpen = 2;
  for (const host of ['127.0.0.1', '::1']) {
    createServer((socket) => socket.on('error', () => {}).resume())
      .listen(8080, host, () => { if (--toOpen === 0) console.log('listening'); });
  }`;

export interface Host extends AsyncDisposable {
  readonly listener: Child;
  /** Runs a program in the namespace; its standard output. */
  run(program: string, ...args: string[]): Promise<string>;
  /** The processes in the namespace. */
  processes(): Promise<number[]>;
  /** Starts `finwait up ARGS` in the namespace. */
  up(args: readonly string[], options?: ChildOptions): Child;
  readonly netns: Netns;
}

export async function makeHost(): Promise<Host> {
  const netns = await makeNetns('up');
  const listener = netns.start(process.execPath, ['-e', LISTENER]);
  await listener.output(/listening/);
  return {
    netns,
    listener,
    run: netns.run,
    async processes() {
      const { stdout } = await runProgram('ip', ['netns', 'pids', netns.name]);
      return stdout.split('\n').filter(Boolean).map(Number);
    },
    up: (args, options = {}) =>
      netns.finwait(['up', ...args], { ...options, env: { LANG: 'C.UTF-8', ...options.env } }),
    async [Symbol.asyncDispose]() {
      listener.kill('SIGKILL');
      await listener.ended;
      await netns[Symbol.asyncDispose]();
    },
  };
}
