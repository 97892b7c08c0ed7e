/** How many TCP sockets a network namespace has, without walking the kernel's table of all of them. proc_pid_net(5) */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TcpMemory } from '#contract';
import { unlessGone } from './proc.ts';

export interface Sockstat {
  /** Sockets of both families, but for those in TIME-WAIT. */
  readonly inUse: number;
  readonly timeWait: number;
  /** Of the whole machine. */
  readonly memory: TcpMemory;
}

/** @returns undefined when the process has gone */
export function readSockstat(procRoot: string, pid: number | 'thread-self'): Sockstat | undefined {
  const read = (name: string) =>
    unlessGone(() => readFileSync(join(procRoot, String(pid), 'net', name), 'utf8'));
  const v4 = read('sockstat');
  if (v4 === undefined) return undefined;
  // A kernel without IPv6 has no sockstat6.
  const v6 = read('sockstat6') ?? '';
  return {
    inUse: numberAfter(v4, /^TCP: inuse (\d+)/m) + numberAfter(v6, /^TCP6: inuse (\d+)/m),
    timeWait: numberAfter(v4, /^TCP: .* tw (\d+)/m),
    memory: {
      pages: numberAfter(v4, /^TCP: .* mem (\d+)/m),
      orphans: numberAfter(v4, /^TCP: .* orphan (\d+)/m),
      allocated: numberAfter(v4, /^TCP: .* alloc (\d+)/m),
    },
  };
}

function numberAfter(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}
