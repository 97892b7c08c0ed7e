/** A network namespace with something that listens in it, to run `finwait up` in. */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Child, ChildOptions } from '../support/child.ts';
import { ROOT, runProgram } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { isAlive, listProcesses } from '../support/processes.ts';
import { until } from '../support/until.ts';

export const MAIN = join(ROOT, 'cli', 'main.ts');
export const OPTIONS = { needs: ['root', 'netns', 'tun'], timeoutMs: 180_000 } as const;

/**
 * In a pipe. On a machine that gave the engine no time while it probed the verdict has a question mark, and on a busy
 * one a probe can be told before the process that listens is known.
 */
export const OPEN_TOLD = /^\S+Z probe {6}127\.0\.0\.1:8080( .*)?: open\??: /m;

const RUN = '/run/finwait';

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

/** Directory of a run in /run/finwait. */
export function directoryOf(run: Child): string | undefined {
  const names = existsSync(RUN) ? readdirSync(RUN) : [];
  const name = names.find((each) => each.startsWith(`up-${run.pid}-`));
  return name === undefined ? undefined : join(RUN, name);
}

/** Agent and operator of a run: they name its directory on their command line. */
export function childrenOf(run: Child): number[] {
  return listProcesses()
    .filter(({ command }) => command.includes(`/up-${run.pid}-`))
    .map(({ pid }) => pid);
}

/** The agent or the operator of a run. */
export function childOf(run: Child, name: 'agent' | 'operator'): number {
  const found = listProcesses().find(
    ({ command }) => command.includes(`main.ts ${name} `) && command.includes(`/up-${run.pid}-`),
  );
  if (found === undefined) throw new Error(`there is no ${name} of process ${run.pid}`);
  return found.pid;
}

/** Waits until none of the processes runs. */
export async function gone(pids: readonly number[]): Promise<void> {
  await until(`the end of processes ${pids.join(', ')}`, () => (pids.some(isAlive) ? undefined : true));
}
