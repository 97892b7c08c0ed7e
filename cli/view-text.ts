/**
 * Text for terminals: spans with a style, their width in columns, and numbers as people read them. Everything
 * here is pure. Text from outside (process names, host names, messages) may hold anything; `cleanText` makes it harmless.
 */

import { cleanText } from '#base/clean-text.ts';

export { latency } from '#base/latency.ts';

export type Style = 'dim' | 'bold' | 'good' | 'warn' | 'bad';

export interface Span {
  readonly text: string;
  readonly style?: Style;
}

export type Line = readonly Span[];

/** How lines are put on a medium. */
export interface Paint {
  readonly colour: boolean;
  /** Whether the medium shows UTF-8; otherwise ASCII is written. */
  readonly unicode: boolean;
  /** Columns of the medium; longer lines are cut. Absent: no bound. */
  readonly columns?: number;
}

const SGR: Readonly<Record<Style, string>> = { dim: '2', bold: '1', good: '32', warn: '33', bad: '31' };

/** What is written for a character where UTF-8 is not shown. */
const ASCII: Readonly<Record<string, string>> = {
  '→': '>',
  '←': '<',
  '·': '-',
  '…': '~',
  '█': '#',
  '░': '-',
  '✕': 'x',
  '─': '-',
  '▁': '_',
  '▂': '.',
  '▃': ':',
  '▄': '-',
  '▅': '=',
  '▆': '+',
  '▇': '*',
};

/** A line as it is written: control characters made harmless, cut to the width, coloured. */
export function paintLine(line: Line, paint: Paint): string {
  let room = paint.columns ?? Number.POSITIVE_INFINITY;
  const out: string[] = [];
  for (const span of line) {
    const whole = isPlain(span.text)
      ? span.text
      : paint.unicode
        ? cleanText(span.text)
        : ascii(cleanText(span.text));
    const fitted = cut(whole, room, paint.unicode ? '…' : '~');
    room -= width(fitted);
    if (fitted === '') continue;
    const styled = paint.colour && span.style !== undefined && fitted.trim() !== '';
    out.push(styled ? `\x1b[${SGR[span.style]}m${fitted}\x1b[0m` : fitted);
    if (fitted !== whole) break;
  }
  const text = out.join('');
  return paint.colour ? text : text.trimEnd();
}

function ascii(text: string): string {
  return text.replaceAll(/[^ -~]/gu, (character) => ASCII[character] ?? '?');
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;
const COMBINING = /\p{M}/u;

/** Whether it is of printable ASCII alone, as most text is: that is known sooner than anything else of it. */
function isPlain(text: string): boolean {
  return /^[ -~]*$/.test(text);
}

/** Columns a text takes: East Asian wide characters and emoji take two, combining marks none. */
export function width(text: string): number {
  if (isPlain(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}

/** The text cut to `columns`, its last column then an ellipsis. */
export function cut(text: string, columns: number, ellipsis = '…'): string {
  if (width(text) <= columns) return text;
  if (columns <= 0) return '';
  let kept = '';
  let used = 0;
  for (const character of text) {
    used += width(character);
    if (used > columns - 1) break;
    kept += character;
  }
  return kept + ellipsis;
}

/** Words of a text in lines of at most `columns`; a longer word keeps a line of its own. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && width(longer) > columns) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return line === '' ? lines : [...lines, line];
}

/** `1,234,567` */
export function count(value: number): string {
  const digits = String(value);
  return digits.length <= 3 ? digits : digits.replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

/** `0s`, `59s`, `3m12s`, `2h05m`, `3d4h`: an age or a time span in milliseconds, two units at most. */
export function age(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h${two(Math.floor(s / 60) % 60)}m`;
  return `${Math.floor(s / 86_400)}d${Math.floor(s / 3600) % 24}h`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** `12.3 %`, `0.05 %`, `0 %`; never `0 %` or `100 %` unless it is exactly that. */
export function percent(part: number, whole: number): string {
  if (whole <= 0) return '-';
  const value = (100 * part) / whole;
  if (part === 0) return '0 %';
  if (value < 0.01) return '<0.01 %';
  if (part >= whole) return `${Math.round(value)} %`;
  if (value >= 99.95) return '>99.9 %';
  return `${value.toFixed(value < 1 ? 2 : 1)} %`;
}

const BARS = '▁▂▃▄▅▆▇█';

/** A column per value, its height on a scale from 0 to the largest; a missing value is a cross. */
export function sparkline(values: readonly (number | undefined)[]): string {
  const top = Math.max(...values.map((value) => value ?? 0));
  return values
    .map((value) => {
      if (value === undefined) return '✕';
      return BARS[top === 0 ? 0 : Math.min(6, Math.floor((7 * value) / top))];
    })
    .join('');
}

/** A bar of `columns` filled to `part` of `whole`; anything above nothing shows. */
export function fillBar(part: number, whole: number, columns: number): string {
  const exact = whole <= 0 ? 0 : (columns * part) / whole;
  const filled = Math.min(columns, part > 0 ? Math.max(1, Math.round(exact)) : 0);
  return '█'.repeat(filled) + '░'.repeat(columns - filled);
}
