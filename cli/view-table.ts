/** Tables that fit a width: columns shrink, and the least important ones go first. Pure. */

import type { Line, Span } from './view-text.ts';
import { cut, width } from './view-text.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** The narrowest it may get before another column has to go. Absent: it is never cut. */
  readonly min?: number;
  /** Columns with a higher number go first when there is no room; 0 stays. */
  readonly drop: number;
}

const GAP = 2;

/**
 * Header and rows as lines of at most `columns`.
 * @param rows each with one span for each column
 * @param indent columns left free at the left
 */
export function tableLines(
  columnList: readonly Column[],
  rows: readonly (readonly Span[])[],
  columns: number,
  indent = 2,
): Line[] {
  const natural = columnList.map((column, index) =>
    rows.reduce((widest, row) => Math.max(widest, width(row[index]?.text ?? '')), width(column.title)),
  );
  const kept = keptColumns(columnList, natural, columns - indent);
  const widths = fittedWidths(columnList, natural, kept, columns - indent);
  const cells = (row: readonly Span[]): Line => [
    { text: ' '.repeat(indent) },
    ...kept.flatMap((index, place) => {
      const last = place === kept.length - 1;
      const cell = padded(row[index] ?? { text: '' }, widths[place] ?? 0, columnList[index]?.align, last);
      return last ? [cell] : [cell, { text: ' '.repeat(GAP) }];
    }),
  ];
  return [cells(columnList.map(({ title }) => ({ text: title, style: 'dim' }))), ...rows.map(cells)];
}

/** Indices of the columns that stay: the most droppable go until the rest fits at its narrowest. */
function keptColumns(list: readonly Column[], natural: readonly number[], room: number): number[] {
  const kept = list.map((_, index) => index);
  const needed = () =>
    kept.reduce((sum, index) => sum + narrowest(list[index], natural[index]), GAP * (kept.length - 1));
  while (needed() > room) {
    const worst = kept.reduce((a, b) => ((list[b]?.drop ?? 0) >= (list[a]?.drop ?? 0) ? b : a));
    if (list[worst]?.drop === 0) break;
    kept.splice(kept.indexOf(worst), 1);
  }
  return kept;
}

function narrowest(column: Column | undefined, natural = 0): number {
  return Math.min(natural, column?.min ?? natural);
}

/** Widths of the kept columns: the widest of those that may shrink gives first. */
function fittedWidths(
  list: readonly Column[],
  natural: readonly number[],
  kept: readonly number[],
  room: number,
): number[] {
  const widths = kept.map((index) => natural[index] ?? 0);
  let excess = widths.reduce((sum, each) => sum + each, GAP * (kept.length - 1)) - room;
  while (excess > 0) {
    const slack = (place: number) =>
      (widths[place] ?? 0) - narrowest(list[kept[place] ?? 0], natural[kept[place] ?? 0]);
    const widest = widths.map((_, place) => place).reduce((a, b) => (slack(b) > slack(a) ? b : a), 0);
    if (slack(widest) <= 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess--;
  }
  return widths;
}

function padded(cell: Span, columns: number, align: Column['align'] = 'left', last = false): Span {
  const text = cut(cell.text, columns);
  const pad = ' '.repeat(Math.max(0, columns - width(text)));
  if (align === 'right') return { ...cell, text: pad + text };
  return { ...cell, text: last ? text : text + pad };
}
