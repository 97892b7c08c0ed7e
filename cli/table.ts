/** How the one-shot table commands share their shape: which rows, in which order, and how they are printed. */

import { BlockList, isIP, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { cleanText } from '#base/clean-text.ts';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Setting } from '#base/settings.ts';
import { flag, integer, oneOf } from '#base/settings.ts';
import type { Endpoint } from '#contract';
import { parseIpAddress } from '../daemon/wire/address.ts';
import type { CliIo } from './io.ts';
import { jsonText } from './json-text.ts';
import type { Column } from './view-table.ts';
import { rowLayout, titles, titleWidths, widen } from './view-table.ts';
import { colours, writesUtf8 } from './view-terminal.ts';
import type { Line, Span } from './view-text.ts';
import { count, paintLine } from './view-text.ts';

/** A column and the cell a row has in it. */
export interface TableColumn<Row> extends Column {
  readonly cell: (row: Row) => Span;
  /** Shown only with `--output wide`. */
  readonly wide?: true;
}

/** Settings that every table command takes. */
export const TABLE_SETTINGS = {
  ipv4: switchOf('ipv4', '4', 'only IPv4, v4-mapped IPv6 included'),
  ipv6: switchOf('ipv6', '6', 'only IPv6'),
  reverse: switchOf('reverse', 'r', 'the other way round'),
  limit: {
    name: 'limit',
    short: 'n',
    placeholder: 'N',
    doc: 'print at most N rows',
    default: Number.POSITIVE_INFINITY,
    defaultText: '',
    parse: integer(1, 1_000_000_000),
  },
  output: {
    name: 'output',
    short: 'o',
    placeholder: 'table|wide|json',
    doc: 'wide: every column, never cut; json: an array of objects',
    default: 'table',
    parse: oneOf('table', 'wide', 'json'),
  },
  json: switchOf('json', undefined, 'the same as --output json'),
  noHeader: switchOf('no-header', 'H', 'neither the header nor the totals'),
} as const satisfies Readonly<Record<string, Setting<unknown>>>;

export function switchOf(name: string, short: string | undefined, doc: string): Setting<boolean> {
  return { name, ...(short === undefined ? {} : { short }), doc, kind: 'flag', default: false, parse: flag };
}

/** A setting that may hold several values; one word may stand for several as well. */
export function listOf<T>(
  name: string,
  placeholder: string,
  doc: string,
  parse: (text: string) => Decoded<T | readonly T[]>,
  short?: string,
): Setting<readonly T[]> {
  const setting = { name, placeholder, doc, kind: 'list', default: [] } as const;
  // Of a list the settings table calls `parse` for each word and joins what they give.
  const each = parse as (text: string) => Decoded<readonly T[]>;
  return { ...setting, ...(short === undefined ? {} : { short }), parse: each };
}

/** Addresses as a filter: one, or a prefix. */
export interface AddressFilter {
  readonly matches: (address: string) => boolean;
}

/** `10.0.0.7`, `10.0.0.0/8`, `2001:db8::/32`, `[::1]` */
export function addressFilter(text: string): Decoded<AddressFilter> {
  const [address = '', digits, ...rest] = text.replace(/^\[(.*)\]$/, '$1').split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return undecodable('is neither an address nor ADDRESS/LENGTH');
  const longest = family === 4 ? 32 : 128;
  const length = digits === undefined ? longest : /^\d{1,3}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(length <= longest)) return undecodable(`has a prefix length that is not 0 to ${longest}`);
  const list = new BlockList();
  list.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6');
  return decoded({ matches: (other) => inList(list, other) });
}

function inList(list: BlockList, address: string): boolean {
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** Whether an address is on a TUN device of a finwait that runs on this machine: one end of its probes. */
export function finwaitAddresses(): (address: string) => boolean {
  const list = new BlockList();
  for (const [name, addresses] of Object.entries(addressesHere())) {
    if (!/^finwait\d+$/.test(name)) continue;
    for (const { cidr, family } of addresses ?? []) {
      const [network, length] = cidr?.split('/') ?? [];
      if (network !== undefined && !network.startsWith('fe80:')) {
        list.addSubnet(network, Number(length), family === 'IPv6' ? 'ipv6' : 'ipv4');
      }
    }
  }
  // Most machines have none, and there it would be asked in vain for each of many rows.
  return list.rules.length === 0 ? () => false : (address) => inList(list, address);
}

/** None where the kernel does not tell: libuv throws what it was refused. */
function addressesHere(): ReturnType<typeof networkInterfaces> {
  try {
    return networkInterfaces();
  } catch {
    return {};
  }
}

/** A filter without values lets everything pass. */
export function passes<T>(filters: readonly T[], matches: (filter: T) => boolean): boolean {
  return filters.length === 0 || filters.some(matches);
}

/** What a sort key compares: numbers ascending, texts by name; undefined comes last whatever the direction. */
export type SortValue = number | string | undefined;

/** The rows in order of `sortValue`; rows that are equal in it keep the order they have. */
export function sorted<Row>(
  rows: readonly Row[],
  sortValue: (row: Row) => SortValue,
  reverse: boolean,
): readonly Row[] {
  const keyed = rows.map((row) => ({ row, value: sortValue(row) }));
  keyed.sort((a, b) => {
    if (a.value === undefined || b.value === undefined) {
      return Number(a.value === undefined) - Number(b.value === undefined);
    }
    const order = a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
    return reverse ? -order : order;
  });
  return keyed.map(({ row }) => row);
}

/** An end as text that sorts by the numbers of its address, IPv4 first, then by its port. */
export function sortableEnd({ address, port }: Endpoint): string {
  const parsed = parseIpAddress(address);
  const digits = parsed.ok ? `${parsed.value.family}${Buffer.from(parsed.value.bytes).toString('hex')}` : '';
  return `${digits} ${String(port).padStart(5, '0')}`;
}

export interface Printed<Row> {
  readonly columns: readonly TableColumn<Row>[];
  readonly rows: readonly Row[];
  /** Totals, below the table. */
  readonly footer: readonly Line[];
}

/** How a table is printed: what the settings of a table command say of it. */
interface HowPrinted {
  readonly output: 'table' | 'wide' | 'json';
  readonly noHeader: boolean;
  /** Again and again, in place: no longer than the terminal. */
  readonly watch?: boolean;
}

/**
 * Prints a table: fitted to a terminal, whole when standard output is none or all columns are asked for. Settles when
 * the output can take more.
 */
export async function printTable<Row>(
  io: CliIo,
  { columns, rows: all, footer: totals }: Printed<Row>,
  settings: HowPrinted,
): Promise<void> {
  const { rows, footer } = fitted(io, all, totals, settings);
  const wide = settings.output === 'wide';
  const room = io.isTTY && !wide ? (io.columns ?? 80) : Number.POSITIVE_INFINITY;
  const shown = columns.filter((column) => wide || column.wide !== true);
  const cells = (row: Row) => shown.map((column) => column.cell(row));
  // The cells of many rows take more memory than the rows: they are made twice instead of kept.
  const natural = titleWidths(shown);
  for (const row of rows) widen(natural, cells(row));
  const line = rowLayout(shown, natural, room, 0);
  // In place a line that goes on in the next row of the terminal would push another one out.
  const cutAt = settings.watch !== true && shown.some(({ whole }) => whole) ? Number.POSITIVE_INFINITY : room;
  const paint = { colour: io.isTTY && colours(io.env), unicode: writesUtf8(io.env), columns: cutAt };
  const text = (lines: readonly Line[]) =>
    lines.map((each) => `${paintLine(each, paint).trimEnd()}\n`).join('');
  const texts = function* (): Generator<string> {
    if (!settings.noHeader) yield text([line(titles(shown))]);
    for (const part of parts(rows)) yield text(part.map((row) => line(cells(row))));
    if (!settings.noHeader) yield text(footer);
  };
  await writeParts(io.stdout, texts());
}

/** What has room on a terminal that is written over in place, and how much has none. */
function fitted<Row>(
  { isTTY, rows: lines = Number.POSITIVE_INFINITY }: CliIo,
  rows: readonly Row[],
  footer: readonly Line[],
  { watch = false, noHeader }: HowPrinted,
): Pick<Printed<Row>, 'rows' | 'footer'> {
  // The cursor has the last line, and what is left out another.
  const room = Math.max(1, lines - (noHeader ? 1 : footer.length + 2) - 1);
  if (!watch || !isTTY || rows.length <= room + 1) return { rows, footer };
  const more = `+ ${count(rows.length - room)} more: --limit, --sort and --by choose what is seen here`;
  return { rows: rows.slice(0, room), footer: [[{ text: more, style: 'dim' }], ...footer] };
}

/**
 * An array, as one text would be; of many rows that would be longer than a text can be. Settles when the output can
 * take more.
 * @param watch one of many: each is one line
 */
export async function printJson(
  io: CliIo,
  values: readonly unknown[],
  { watch = false } = {},
): Promise<void> {
  const line = watch ? '' : '\n';
  const texts = function* (): Generator<string> {
    let before = `[${values.length === 0 ? '' : line}`;
    for (const part of parts(values)) {
      const objects = part.map((each) =>
        watch ? jsonText(each) : jsonText(each, 2).replaceAll(/^/gm, '  '),
      );
      yield `${before}${objects.join(`,${line}`)}`;
      before = `,${line}`;
    }
    yield values.length === 0 ? '[]\n' : `${line}]\n`;
  };
  await writeParts(io.stdout, texts());
}

/** What waits for a slow reader is one part; when nobody reads any more the rest is not even made. */
async function writeParts(output: NodeJS.WritableStream, texts: Iterable<string>): Promise<void> {
  for (const text of texts) {
    if (output.write(text)) continue;
    if ('destroyed' in output && output.destroyed === true) return;
    await whenOneOf(output, ['drain', 'close', 'error']);
  }
}

async function whenOneOf(output: NodeJS.WritableStream, events: readonly string[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const event of events) output.on(event, resolve);
  await promise;
  for (const event of events) output.off(event, resolve);
}

/** Rows written at once. */
const PART = 100;

function* parts<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < rows.length; from += PART) yield rows.slice(from, from + PART);
}

/** Nothing when the kernel's answer was whole; otherwise that it was not. */
export function incompleteAnswer(dropped: number): Condition[] {
  if (dropped === 0) return [];
  return [
    {
      code: 'NETLINK_FAILED',
      message: `${dropped} messages of the kernel are left out, because they are not understood or were cut`,
      hint: 'run the command again; if it persists, report it with the version of the kernel',
    },
  ];
}

/** @throws FinwaitError when conntrack cannot be read at all, so that there is no answer */
export function requireConntrack(conditions: readonly Condition[]): void {
  const refusal = conditions.find(({ code }) => code === 'CONNTRACK_DENIED' || code === 'CONNTRACK_MISSING');
  if (refusal !== undefined) throw new FinwaitError(refusal.code, refusal.message, refusal.hint);
}

/** Standing faults that leave the answer incomplete, on standard error. */
export function printConditions(io: CliIo, conditions: readonly Condition[]): void {
  for (const { code, message, hint } of conditions) {
    io.stderr.write(`finwait: note: ${code}: ${cleanText(message)}\n  hint: ${cleanText(hint)}\n`);
  }
}
