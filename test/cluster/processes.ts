/**
 * The cluster's long-running processes: started apart from the terminal, their output in a log file, their pids in
 * a file, so that another command, or the run after a crash, can end exactly them.
 */

import { spawn } from 'node:child_process';
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LOGS, PROCESSES, RUN } from './layout.ts';

export interface Started {
  readonly name: string;
  readonly pid: number;
  /** Field 22 of /proc/PID/stat; with the pid it names a process for good. */
  readonly startTime: string;
}

/** Starts a process and notes it. */
export function start(
  name: string,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Started {
  mkdirSync(LOGS, { recursive: true });
  const log = openSync(join(LOGS, `${name}.log`), 'a');
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    cwd: RUN,
    detached: true,
    env: { PATH: process.env.PATH ?? '', HOME: RUN, ...env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} cannot be started`);
  const started = { name, pid, startTime: startTimeOf(pid) ?? '' };
  appendFileSync(PROCESSES, `${started.name} ${started.pid} ${started.startTime}\n`);
  return started;
}

/** The processes noted by this run or an earlier one that still run, newest first. */
export function running(): Started[] {
  if (!existsSync(PROCESSES)) return [];
  const noted = readFileSync(PROCESSES, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  return noted
    .map(([name = '', pid = '', startTime = '']) => ({ name, pid: Number(pid), startTime }))
    .filter(isAlive)
    .reverse();
}

export function isAlive(process: Started): boolean {
  return process.startTime !== '' && startTimeOf(process.pid) === process.startTime;
}

/** Ends a process: asks, waits, then kills. */
export async function end(started: Started, graceMs = 10_000): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', 5_000],
  ] as const) {
    if (!isAlive(started)) return;
    process.kill(started.pid, signal);
    for (const deadline = Date.now() + waitMs; isAlive(started) && Date.now() < deadline; ) await delay(20);
  }
}

/** The last lines of a process's log, for an error's text. */
export function logTail(name: string, lines = 15): string {
  const path = join(LOGS, `${name}.log`);
  return existsSync(path)
    ? readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
    : '(no log)';
}

/** Undefined for a process that is gone or a zombie. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
