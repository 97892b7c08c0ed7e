/** Sockets for `finwait sockets`, and how it is asked about them. */

import type { SocketRow } from '../../cli/sockets-rows.ts';
import type { Netns } from '../support/netns.ts';

export const needs = ['root', 'netns', 'ss', 'setpriv'] as const;
export const COMMAND = ['cli/main.ts', 'sockets'];
/** Options of setpriv. */
export const NOBODY = [
  '--reuid=65534',
  '--regid=65534',
  '--clear-groups',
  '--bounding-set=-all',
  '--inh-caps=-all',
  '--',
];

/** Connections in CLOSE-WAIT and TIME-WAIT, all held by one process. */
export async function startScene(ns: Netns, closeWait: number, timeWait: number) {
  const child = ns.start(process.execPath, ['test/kernel/pod-scene.ts', String(closeWait), String(timeWait)]);
  await child.output(/ready/);
  return child;
}

export async function rowsOf(ns: Netns, ...args: string[]): Promise<SocketRow[]> {
  return JSON.parse(await ns.run(process.execPath, ...COMMAND, '--json', ...args));
}
