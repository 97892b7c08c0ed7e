/** One scenario with many seeds: how long handshakes and connections take, and how many fail. Pure. */

import { latency } from '#base/latency.ts';
import type { PlayOptions } from '../daemon/netsim/play.ts';
import { play } from '../daemon/netsim/play.ts';
import type { Column } from './view-table.ts';
import { tableLines } from './view-table.ts';
import type { Line } from './view-text.ts';
import { count } from './view-text.ts';

export interface Runs {
  readonly runs: number;
  /** Runs in which the client's connection opened. */
  readonly opened: number;
  /** Runs that came to their end before the limit. */
  readonly finished: number;
  /** How the client's connections ended, with their number; `open` for those that had not. */
  readonly ends: Readonly<Record<string, number>>;
  /** From the first SYN until the client is open; of those that opened. */
  readonly handshake: Percentiles | undefined;
  /** Until the server has read all that the client sends; of those that came so far. */
  readonly arrived: Percentiles | undefined;
  /** Until data and closes are acknowledged at both ends, without TIME-WAIT; of those that came so far. */
  readonly done: Percentiles | undefined;
}

/** Microseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** @param optionsOf of a seed: what is lost is remembered by the link, so each run needs its own */
export function playMany(runs: number, seed: number, optionsOf: (seed: number) => PlayOptions): Runs {
  const handshakes: number[] = [];
  const arrivals: number[] = [];
  const dones: number[] = [];
  const ends: Record<string, number> = {};
  let finished = 0;
  for (let run = 0; run < runs; run++) {
    let doneUs: number | undefined;
    const over = { client: false, server: false };
    const played = play({
      ...optionsOf(seed + run),
      onEvent(side, event) {
        if (event.kind !== 'state' && event.kind !== 'ended') return;
        over[side] ||= event.kind === 'ended' ? event.reason === 'closed' : event.to === 'TIME-WAIT';
        if (over.client && over.server) doneUs ??= event.atUs;
      },
    });
    if (played.clientOpenUs !== undefined) handshakes.push(played.clientOpenUs);
    if (played.arrivedUs !== undefined) arrivals.push(played.arrivedUs);
    if (doneUs !== undefined) dones.push(doneUs);
    if (played.finished) finished++;
    const end = played.ends.client ?? 'open';
    ends[end] = (ends[end] ?? 0) + 1;
  }
  return {
    runs,
    opened: handshakes.length,
    finished,
    ends,
    handshake: percentilesOf(handshakes),
    arrived: percentilesOf(arrivals),
    done: percentilesOf(dones),
  };
}

export function percentilesOf(values: readonly number[]): Percentiles | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const max = sorted.at(-1);
  if (max === undefined) return undefined;
  // Nearest rank: the smallest value that so many are not above.
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? max;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max };
}

const COLUMNS: readonly Column[] = ['', 'p50', 'p90', 'p99', 'p99.9', 'max'].map((title, index) => ({
  title,
  align: index === 0 ? 'left' : 'right',
  drop: 0,
}));

/** A table of those that there are. */
export function percentileLines(
  rows: readonly (readonly [title: string, values: Percentiles | undefined])[],
): Line[] {
  const cells = rows.flatMap(([title, values]) => {
    if (values === undefined) return [];
    const { p50, p90, p99, p999, max } = values;
    return [[title, ...[p50, p90, p99, p999, max].map(latency)].map((text) => ({ text }))];
  });
  return cells.length === 0 ? [] : tableLines(COLUMNS, cells, 1000, 0);
}

export function runsLines(name: string, result: Runs): Line[] {
  const { runs, opened, finished, ends, handshake, arrived, done } = result;
  const endings = Object.entries(ends).map(([end, number]) => `${count(number)} ${end}`);
  return [
    [{ text: `${name}: ${count(runs)} ${runs === 1 ? 'run' : 'runs'}`, style: 'bold' }],
    ...percentileLines([
      ['client open', handshake],
      ['data arrived', arrived],
      ['both closed', done],
    ]),
    [
      {
        text: `${count(opened)} of ${count(runs)} connections opened; the client's ended: ${endings.join(', ')}`,
      },
    ],
    ...(finished === runs
      ? []
      : [
          [
            {
              text: `cut off by --limit: ${count(runs - finished)} of ${count(runs)}`,
              style: 'warn' as const,
            },
          ],
        ]),
  ];
}
