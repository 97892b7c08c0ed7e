/**
 * A machine of its own, as far as /proc and what is mounted tell: processes and network namespaces of others do not show,
 * however many sockets they hold.
 */

import { readFileSync } from 'node:fs';
import { ROOT, startProgram } from './child.ts';
import type { Netns } from './netns.ts';
import { until } from './until.ts';

export interface Machine extends AsyncDisposable {
  /** The command line that runs a program on it; before it may stand one that enters another network namespace. */
  readonly enter: readonly string[];
}

/** @param ns the network namespace of its first process, in which whatever runs on it is not by itself */
export async function makeMachine(ns: Netns): Promise<Machine> {
  const alone = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  // What `ip netns` mounts shows the namespaces of others.
  const first = 'umount --recursive --lazy /run/netns; echo ready; exec sleep infinity';
  const child = startProgram('sh', ['-c', first], { within: [...ns.enter, ...alone] });
  await child.output(/ready/);
  const pid = await until('the first process', () => {
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    return Number(children.trim()) || undefined;
  });
  return {
    // A program ends with the nsenter that was started for it.
    enter: [
      ...['nsenter', `--target=${pid}`, '--pid', '--mount', '--'],
      ...['env', `--chdir=${ROOT}`, 'setpriv', '--pdeathsig', 'KILL', '--'],
    ],
    async [Symbol.asyncDispose]() {
      await child.stop('SIGKILL');
    },
  };
}
