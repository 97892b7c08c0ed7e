/** Congestion window and bytes in flight over time, as a plot of characters. Pure. */

import type { Line } from './view-text.ts';
import { count } from './view-text.ts';

export interface Sample {
  readonly atUs: number;
  /** Bytes. */
  readonly cwnd: number;
  readonly flight: number;
}

const ROWS = 12;
const COLUMNS_MAX = 100;
const AXIS = 10;

/** Empty for fewer samples than make a picture. */
export function plotLines(samples: readonly Sample[], columns = COLUMNS_MAX): Line[] {
  const first = samples[0];
  const last = samples.at(-1);
  if (first === undefined || last === undefined || last.atUs === first.atUs) return [];
  const width = Math.min(columns, COLUMNS_MAX) - AXIS - 1;
  const top = samples.reduce((most, { cwnd, flight }) => Math.max(most, cwnd, flight), 0);
  const at = (column: number): Sample => {
    const wantedUs = first.atUs + ((last.atUs - first.atUs) * column) / Math.max(1, width - 1);
    return samples.findLast(({ atUs }) => atUs <= wantedUs) ?? first;
  };
  const drawn = Array.from({ length: width }, (_, column) => at(column));
  const level = (bytes: number): number => Math.round((bytes / top) * (ROWS - 1));
  const rows = Array.from({ length: ROWS }, (_, row): Line => {
    const height = ROWS - 1 - row;
    const label = height === ROWS - 1 ? count(top) : height === 0 ? '0' : '';
    const cells = drawn.map(({ cwnd, flight }) =>
      level(cwnd) === height ? '─' : level(flight) >= height && flight > 0 ? '█' : ' ',
    );
    return [{ text: label.padStart(AXIS), style: 'dim' }, { text: ` ${cells.join('')}` }];
  });
  const seconds = ((last.atUs - first.atUs) / 1e6).toFixed(3);
  return [
    [{ text: `${'bytes'.padStart(AXIS)} ─ congestion window  █ in flight`, style: 'dim' }],
    ...rows,
    [{ text: `${' '.repeat(AXIS + 1)}over ${seconds} s`, style: 'dim' }],
  ];
}
