/** A namespace full of sockets, read as the agent reads it: against a reader in C, and against ss. */

import type { Figure, Outcome, Size } from './figures.ts';
import { setting } from './network.ts';
import { compiled, PEER_CORE, start } from './programs.ts';
import type { Reading } from './tables.ts';
import { milliseconds, ownReadings, readingOf, readingsInC, settled } from './tables.ts';

const COUNT = { tiny: 5_000, full: 100_000 } as const;
const RUNS = { tiny: 2, full: 9 } as const;
const ALL_STATES = '0xfff';
const GOAL_C = 1.2;
const GOAL_OWNERS = 0.2;

export async function sockets(size: Size): Promise<Outcome> {
  // The other ends of connections in CLOSE-WAIT leave nothing behind here: those are counted alone.
  const closeWait = await withMany('CLOSE-WAIT', size);
  setting('net/ipv4/tcp_max_tw_buckets', 2 * COUNT[size]);
  setting('net/ipv4/tcp_tw_reuse', 0);
  const timeWait = await withMany('TIME-WAIT', size);
  return {
    figures: [...timeWait.figures, ...closeWait.figures],
    notes: [...timeWait.notes, ...closeWait.notes],
  };
}

async function withMany(state: 'CLOSE-WAIT' | 'TIME-WAIT', size: Size): Promise<Outcome> {
  await using many = start(PEER_CORE, compiled('many'), [state.toLowerCase(), String(COUNT[size])]);
  await many.line();
  const inC = await readingsInC('sockets', [ALL_STATES], RUNS[size]);
  const own = await ownReadings('sockets', RUNS[size]);
  const owners = await ownReadings('owners', RUNS[size]);
  const { rows } = settled(own);
  if (rows < COUNT[size]) throw new Error(`${rows} of ${COUNT[size]} sockets are in ${state}`);
  const read = { what: `${COUNT[size]} sockets in ${state}`, ...figureOf(own) };
  const owned = { what: `${read.what}, and whose they are`, ...figureOf(owners) };
  return {
    figures: [
      { ...read, other: { name: 'C reader', value: milliseconds(settled(inC)) }, goal: { most: GOAL_C } },
      { ...read, other: await ss('-tan') },
      { ...read, other: await ss('-tani') },
      { ...owned, other: await ss('-tanp'), ...goalOf(state) },
    ],
    notes: [
      `${state}: the first reading, which fills the table, took ${firstOf(own)}; with processes ${firstOf(owners)}`,
    ],
  };
}

/** In TIME-WAIT a socket is nobody's, and ss finds that out at no cost. */
function goalOf(state: string): Pick<Figure, 'goal'> {
  return state === 'CLOSE-WAIT' ? { goal: { most: GOAL_OWNERS } } : {};
}

function figureOf(all: readonly Reading[]): Pick<Figure, 'ours' | 'unit'> {
  return { ours: milliseconds(settled(all)), unit: 'ms of CPU' };
}

async function ss(options: string): Promise<NonNullable<Figure['other']>> {
  return { name: `ss ${options}`, value: milliseconds(await readingOf('ss', options)) };
}

function firstOf([first]: readonly Reading[]): string {
  return first === undefined
    ? 'nothing'
    : `${milliseconds(first).toFixed(0)} ms of CPU and ${first.residentMiB?.toFixed(0)} MiB of memory`;
}
