/**
 * Configuration as one table per program: name, environment variable, default, parser and one line of
 * documentation. The table feeds the parser, `--help` and docs/configuration.md. All problems are reported
 * at once, and a name that is not in the table is an error.
 */

import { parseArgs } from 'node:util';
import { FinwaitError } from './errors.ts';
import type { Decoded } from './result.ts';
import { decoded, undecodable } from './result.ts';

/** One setting. `flag` is a switch without a value; `list` may be given several times. */
export interface Setting<T> {
  readonly name: string;
  /** One character: `-4`. */
  readonly short?: string;
  readonly env?: string;
  readonly placeholder?: string;
  readonly doc: string;
  readonly default: T;
  /** The default as help shows it, where its plain text would mislead: `10s`, `the host name`. */
  readonly defaultText?: string;
  readonly kind?: 'value' | 'flag' | 'list';
  readonly parse: (text: string) => Decoded<T>;
}

/** Keeps the type of a setting's value where it stands in a table. */
export function setting<T>(of: Setting<T>): Setting<T> {
  return of;
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds settings of many value types
export type SettingsTable = Readonly<Record<string, Setting<any>>>;

export type Settings<Table extends SettingsTable> = {
  readonly [Key in keyof Table]: Table[Key] extends Setting<infer T> ? T : never;
};

export interface ParsedSettings<Table extends SettingsTable> {
  readonly settings: Settings<Table>;
  readonly positionals: readonly string[];
}

/**
 * Reads command line and environment against a table; the command line wins.
 * @throws FinwaitError USAGE with every problem found
 */
export function readSettings<Table extends SettingsTable>(
  table: Table,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ParsedSettings<Table> {
  const byName = new Map(Object.entries(table).map(([key, setting]) => [setting.name, key]));
  const options = Object.fromEntries(
    Object.values(table).map((s) => [
      s.name,
      {
        type: s.kind === 'flag' ? ('boolean' as const) : ('string' as const),
        multiple: true,
        ...(s.short === undefined ? {} : { short: s.short }),
      },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const problems: string[] = [];
  const given = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const key = byName.get(token.name);
    if (key === undefined) {
      problems.push(`unknown option ${token.rawName}${nearest(token.name, [...byName.keys()])}`);
    } else if (table[key]?.kind === 'flag') {
      if (token.value !== undefined) problems.push(`${token.rawName} takes no value`);
      else given.set(key, ['true']);
    } else if (token.value === undefined || (!token.inlineValue && /^-./.test(token.value))) {
      problems.push(`${token.rawName} needs a value`);
    } else {
      given.set(key, [...(given.get(key) ?? []), token.value]);
    }
  }
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(table)) {
    const fromEnv = setting.env === undefined ? undefined : env[setting.env];
    const texts = given.get(key) ?? (fromEnv === undefined || fromEnv === '' ? undefined : [fromEnv]);
    const source = given.has(key) ? `--${setting.name}` : String(setting.env);
    values[key] = texts === undefined ? setting.default : parseTexts(setting, texts, source, problems);
  }
  if (problems.length > 0) {
    throw new FinwaitError('USAGE', problems.join('; '), 'run the command with --help to see what it takes');
  }
  return { settings: values as Settings<Table>, positionals };
}

function parseTexts(setting: Setting<unknown>, texts: string[], source: string, problems: string[]): unknown {
  if (setting.kind !== 'list' && texts.length > 1) problems.push(`${source} is given ${texts.length} times`);
  const items = setting.kind === 'list' ? texts.flatMap((text) => text.split(',')) : texts;
  const parsed = items.map((text) => setting.parse(text));
  for (const [index, result] of parsed.entries()) {
    if (!result.ok) problems.push(`${source}: ${JSON.stringify(items[index])} ${result.reason}`);
  }
  const good = parsed.filter((result) => result.ok).map((result) => result.value);
  return setting.kind === 'list' ? good.flat() : (good[0] ?? setting.default);
}

/** ` (did you mean --x?)` when a known name is close. */
function nearest(name: string, known: readonly string[]): string {
  const close = nearestName(name, known);
  return close === undefined ? '' : ` (did you mean --${close}?)`;
}

/** The first known name that starts like `name` or is one typing slip away from it. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  return known.find((other) => other.startsWith(name) || name.startsWith(other) || oneEditApart(name, other));
}

function oneEditApart(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  const [restA, restB] = [a.slice(i), b.slice(i)];
  const swapped = restA.length > 1 && restA[1] === restB[0] && restA[0] === restB[1];
  return (
    restA.slice(1) === restB.slice(1) ||
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    (swapped && restA.slice(2) === restB.slice(2))
  );
}

/** The table as the lines of `--help`, in at most `columns`. */
export function settingsHelp(table: SettingsTable, columns = 100): string[] {
  const rows = Object.values(table).map((s) => {
    const names = s.short === undefined ? `--${s.name}` : `-${s.short}, --${s.name}`;
    const left = s.kind === 'flag' ? names : `${names} ${s.placeholder ?? 'VALUE'}`;
    const notes = [...defaultNote(s), ...(s.env === undefined ? [] : [`env ${s.env}`])];
    return [left, `${s.doc}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`] as const;
  });
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  const room = Math.max(MIN_DOC_COLUMNS, columns - width - 4);
  return rows.flatMap(([left, right]) =>
    wrapped(right, room).map((line, index) => `  ${(index === 0 ? left : '').padEnd(width)}  ${line}`),
  );
}

const MIN_DOC_COLUMNS = 30;

function wrapped(text: string, columns: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= columns) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function defaultNote(setting: Setting<unknown>): string[] {
  const shown = setting.defaultText ?? String(setting.default ?? '');
  return setting.kind === 'flag' || shown === '' ? [] : [`default ${shown}`];
}

// Parsers of single values, for use in tables.

/** For a `list`: each text by itself. */
export function each<T>(parse: (value: string) => Decoded<T>): (value: string) => Decoded<readonly T[]> {
  return (value) => {
    const item = parse(value);
    return item.ok ? decoded([item.value]) : item;
  };
}

export function text(value: string): Decoded<string> {
  return value === '' ? undecodable('is empty') : decoded(value);
}

export function flag(value: string): Decoded<boolean> {
  return /^(true|1|on|yes)$/i.test(value)
    ? decoded(true)
    : /^(false|0|off|no)$/i.test(value)
      ? decoded(false)
      : undecodable('is not true or false');
}

export function integer(min: number, max: number): (value: string) => Decoded<number> {
  return (value) => {
    const number = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
    return number >= min && number <= max
      ? decoded(number)
      : undecodable(`is not a whole number from ${min} to ${max}`);
  };
}

export const portNumber = integer(0, 65_535);

const DURATION_UNITS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** `500ms`, `5s`, `1m`; a bare number is seconds. Value in milliseconds. */
export function durationMs(minMs: number, maxMs: number): (value: string) => Decoded<number> {
  return (value) => {
    const match = /^(\d+(?:\.\d+)?)(us|ms|s|m|h)?$/.exec(value);
    const ms =
      match === null ? Number.NaN : Number(match[1]) * (DURATION_UNITS[match[2] ?? 's'] ?? Number.NaN);
    return ms >= minMs && ms <= maxMs
      ? decoded(ms)
      : undecodable(`is not a duration from ${minMs} ms to ${maxMs / 1000} s such as 500ms, 5s or 1m`);
  };
}

export function oneOf<const T extends string>(...allowed: readonly T[]): (value: string) => Decoded<T> {
  return (value) => {
    const found = allowed.find((word) => word === value);
    return found === undefined ? undecodable(`is not one of ${allowed.join(', ')}`) : decoded(found);
  };
}
