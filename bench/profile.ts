/** What a .cpuprofile of Node says: self time by room of the house, and the functions that take most of it. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as libc from '../daemon/kernel/libc.ts';

const ROOT = join(import.meta.dirname, '..');
const FUNCTIONS = 12;
/** The C library's functions have no file, and V8 calls all that koffi made by the name of one of them. */
const SYSTEM_CALLS = new Set(Object.keys(libc).map((name) => name.toLowerCase()));
const SYSTEM_CALL = 'system call, with the way there';
const NATIVE = new Map([
  [SYSTEM_CALL, 'system calls'],
  ['(garbage collector)', 'garbage collection'],
]);

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface Summary {
  /** Share of the time that was not idle, by room, largest first. */
  readonly rooms: readonly (readonly [name: string, share: number])[];
  readonly functions: readonly (readonly [name: string, share: number])[];
}

export function summarize(path: string): Summary {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path, 'utf8')) as CpuProfile;
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const rooms = new Map<string, number>();
  const functions = new Map<string, number>();
  let all = 0;
  for (const [n, id] of samples.entries()) {
    const frame = frames.get(id);
    const us = timeDeltas[n] ?? 0;
    if (frame === undefined || frame.functionName === '(idle)') continue;
    all += us;
    const file = fileOf(frame.url);
    const name =
      SYSTEM_CALLS.has(frame.functionName.toLowerCase()) && file === ''
        ? SYSTEM_CALL
        : frame.functionName || '(anonymous)';
    add(rooms, roomOf(file, name), us);
    add(functions, file === '' ? name : `${name} (${file}:${frame.lineNumber + 1})`, us);
  }
  return { rooms: shares(rooms, all), functions: shares(functions, all).slice(0, FUNCTIONS) };
}

export function linesOf({ rooms, functions }: Summary): string[] {
  const line = ([name, share]: readonly [string, number]) => `${(share * 100).toFixed(1)} % ${name}`;
  return [
    `time by room: ${rooms
      .filter(([, share]) => share >= 0.005)
      .map(line)
      .join(', ')}`,
    `functions: ${functions.map(line).join(', ')}`,
  ];
}

function fileOf(url: string): string {
  return url.replace('file://', '').replace(`${ROOT}/`, '');
}

function roomOf(file: string, name: string): string {
  if (file === '') return NATIVE.get(name) ?? 'Node';
  return /^(daemon\/\w+|bench)\//.exec(file)?.[1] ?? 'other';
}

function add(map: Map<string, number>, key: string, value: number): void {
  map.set(key, (map.get(key) ?? 0) + value);
}

function shares(map: ReadonlyMap<string, number>, all: number): [string, number][] {
  return [...map].map(([key, us]): [string, number] => [key, us / all]).toSorted(([, a], [, b]) => b - a);
}
