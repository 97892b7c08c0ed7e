/** What reading a table of the kernel cost, as the programs say it, and how programs of the system are measured. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { compiled, MEASURED_CORE, start } from './programs.ts';

/** Our side. */
export const CHILD = join(import.meta.dirname, 'tables-child.ts');

export interface Reading {
  readonly rows: number;
  readonly seconds: number;
  /** CPU seconds, of all threads. */
  readonly cpu: number;
  readonly residentMiB?: number;
  /** Before the first reading. */
  readonly residentBeforeMiB?: number;
  /** What the table says of its size. */
  readonly tableMiB?: number;
}

/** Our reader; the first of the readings fills its table. */
export function ownReadings(what: string, runs: number): Promise<Reading[]> {
  return readings(process.execPath, [CHILD, what, String(runs)], runs);
}

export function readingsInC(program: string, args: readonly string[], runs: number): Promise<Reading[]> {
  return readings(compiled(program), [...args, String(runs)], runs);
}

async function readings(program: string, args: readonly string[], runs: number): Promise<Reading[]> {
  await using child = start(MEASURED_CORE, program, args);
  const lines: Reading[] = [];
  for (let run = 0; run < runs; run += 1) lines.push(JSON.parse(await child.line()) as Reading);
  await child.ended;
  return lines;
}

/** A program of the system on the measured core, its output thrown away. `time` says what it used. bash(1) */
export async function readingOf(program: string, ...args: readonly string[]): Promise<Reading> {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" > /dev/null 2>&1';
  const child = spawn(
    'taskset',
    ['-c', String(MEASURED_CORE), 'bash', '-c', script, 'time', program, ...args],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  const [code] = await once(child, 'close');
  const [seconds = Number.NaN, user = Number.NaN, system = Number.NaN] = text.trim().split(' ').map(Number);
  if (code !== 0 || Number.isNaN(system)) throw new Error(`${program} ended with ${code}: ${text}`);
  return { rows: 0, seconds, cpu: user + system };
}

/** The reading in the middle by its CPU time. */
export function median(all: readonly Reading[]): Reading {
  const middle = all.toSorted((a, b) => a.cpu - b.cpu)[Math.floor(all.length / 2)];
  if (middle === undefined) throw new Error('nothing was measured');
  return middle;
}

/** Without the first, which fills tables and warms up. */
export function settled(all: readonly Reading[]): Reading {
  return median(all.slice(1));
}

export function milliseconds({ cpu }: Reading): number {
  return cpu * 1000;
}
