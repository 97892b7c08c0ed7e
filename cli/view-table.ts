/** Tables that fit a width: columns shrink, and the least important ones go first. Pure. */

import type { Line, Span } from './view-text.ts';
import { count, cut, width } from './view-text.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** The narrowest it may get before another column has to go. Absent: it is never cut. */
  readonly min?: number;
  /** When cut, the text from the last occurrence of this on stays whole: `a-long-na…/4211`. */
  readonly keepEnd?: string;
  /** Columns with a higher number go first when there is no room; 0 stays. */
  readonly drop: number;
  /** What it holds is of no use when cut, such as an address: rather may a line be too long. */
  readonly whole?: true;
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
  const natural = titleWidths(columnList);
  for (const row of rows) widen(natural, row);
  const cells = rowLayout(columnList, natural, columns, indent);
  return [cells(titles(columnList)), ...rows.map(cells)];
}

/** The header as a row. */
export function titles(columnList: readonly Column[]): Span[] {
  return columnList.map(({ title }) => ({ text: title, style: 'dim' }));
}

export function titleWidths(columnList: readonly Column[]): number[] {
  return columnList.map(({ title }) => width(title));
}

/** Takes a row into the widths of the columns. */
export function widen(natural: number[], row: readonly Span[]): void {
  for (const [index, { text }] of row.entries()) natural[index] = Math.max(natural[index] ?? 0, width(text));
}

/**
 * How each row of a table is laid out, as a line of at most `columns`.
 * @param natural the widest text of each column
 */
export function rowLayout(
  columnList: readonly Column[],
  natural: readonly number[],
  columns: number,
  indent: number,
): (row: readonly Span[]) => Line {
  const kept = keptColumns(columnList, natural, columns - indent);
  const widths = fittedWidths(columnList, natural, kept, columns - indent);
  return (row) => [
    { text: ' '.repeat(indent) },
    ...kept.flatMap((index, place) => {
      const last = place === kept.length - 1;
      const cell = padded(row[index] ?? { text: '' }, widths[place] ?? 0, columnList[index], last);
      return last ? [cell] : [cell, { text: ' '.repeat(GAP) }];
    }),
  ];
}

/** Indices of the columns that stay, in their order: the important ones first, each that still fits at its narrowest. */
function keptColumns(list: readonly Column[], natural: readonly number[], room: number): number[] {
  const kept: number[] = [];
  let used = -GAP;
  const byImportance = list
    .map((_, index) => index)
    .sort((a, b) => (list[a]?.drop ?? 0) - (list[b]?.drop ?? 0));
  for (const index of byImportance) {
    const needed = used + GAP + narrowest(list[index], natural[index]);
    if (list[index]?.drop !== 0 && needed > room) continue;
    kept.push(index);
    used = needed;
  }
  return kept.sort((a, b) => a - b);
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

function padded(cell: Span, columns: number, { align, keepEnd }: Partial<Column> = {}, last = false): Span {
  const text = keepEnd === undefined ? cut(cell.text, columns) : cutBefore(cell.text, keepEnd, columns);
  const pad = ' '.repeat(Math.max(0, columns - width(text)));
  if (align === 'right') return { ...cell, text: pad + text };
  return { ...cell, text: last ? text : text + pad };
}

/** The text cut to `columns`, before its last `mark` if what follows that leaves room. */
function cutBefore(text: string, mark: string, columns: number): string {
  const end = text.includes(mark) ? text.slice(text.lastIndexOf(mark)) : '';
  const room = columns - width(end);
  return room < 2 ? cut(text, columns) : `${cut(text.slice(0, text.length - end.length), room)}${end}`;
}

/**
 * A table in at most `rows` lines: all of it with its notes, or as many rows as fit and how many are left out, or
 * where not even three lines are free its `summary`.
 */
export function boundedTable(
  columnList: readonly Column[],
  spans: readonly (readonly Span[])[],
  { notes, summary }: { readonly notes: readonly string[]; readonly summary: string },
  columns: number,
  rows: number,
): Line[] {
  const table = tableLines(columnList, spans, columns);
  const whole = [...table, ...notes.map((note): Line => [{ text: `  ${note}`, style: 'dim' }])];
  if (whole.length <= rows) return whole;
  if (rows < 1) return [];
  if (rows < 3) return [[{ text: summary }]];
  const hidden = spans.length - (rows - 2);
  const more = hidden > 0 ? [`+ ${count(hidden)} more`, ...notes] : notes;
  return [...table.slice(0, rows - 1), [{ text: `  ${more.join('; ')}`, style: 'dim' }]];
}
