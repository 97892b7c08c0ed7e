/** Processes as /proc shows them. */

import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessEntry {
  readonly pid: number;
  readonly group: number;
  /** The command line with spaces, or the name in parentheses when it has none. */
  readonly command: string;
}

/** Whether a process runs; one that has ended and was not reaped does not. */
export function isAlive(pid: number): boolean {
  return statOf(pid) !== undefined;
}

/** Every running process of this PID namespace. */
export function listProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(Number(name));
    if (stat === undefined) continue;
    const command = readOrEmpty(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim();
    entries.push({ pid: Number(name), group: stat.group, command: command || `(${stat.name})` });
  }
  return entries;
}

/** proc_pid_stat(5): `pid (comm) state ppid pgrp ...`; undefined when it has ended. */
function statOf(pid: number): { name: string; group: number } | undefined {
  const [, name = '', state, group] =
    /^\d+ \((.*)\) (\S) \d+ (\d+)/s.exec(readOrEmpty(`/proc/${pid}/stat`)) ?? [];
  if (state === undefined || state === 'Z' || state === 'X') return undefined;
  return { name, group: Number(group) };
}

/** A process may end between two looks at it. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
