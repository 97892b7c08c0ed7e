/** How many files, sockets and pipes this process may hold open at a time: RLIMIT_NOFILE, getrlimit(2). */

import { readFileSync } from 'node:fs';
import { FinwaitError } from './errors.ts';

/** Where the limit cannot be read: the usual one of a login shell. */
const USUAL_LIMIT = 1024;

/** The soft limit now; Node has raised it to the hard one when it started. */
export function openFilesLimit(): number {
  try {
    const soft = /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === 'unlimited' ? 0x7fff_ffff : Number(soft ?? USUAL_LIMIT);
  } catch {
    return USUAL_LIMIT;
  }
}

/** @throws FinwaitError RESOURCES_EXHAUSTED when the limit is below `least` */
export function requireOpenFiles(least: number): void {
  const limit = openFilesLimit();
  if (limit >= least) return;
  throw new FinwaitError(
    'RESOURCES_EXHAUSTED',
    `this process may have ${limit} files open and needs ${least}`,
    'raise the limit: ulimit -n 1024 in the shell, LimitNOFILE= in a unit of systemd',
  );
}
