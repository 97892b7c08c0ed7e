/** A simulation for people: a line for each segment, with the states of both ends beside it. Pure. */

import type { Moment, SentSegment } from '../daemon/netsim/transcript.ts';
import type { StateName } from '../daemon/tcp/types.ts';
import { flagNames } from '../daemon/wire/tcp-header.ts';
import type { Column } from './view-table.ts';
import { tableLines } from './view-table.ts';
import type { Line, Span } from './view-text.ts';
import { width, wrap } from './view-text.ts';

const COLUMNS: readonly Column[] = [
  { title: 'ms', align: 'right', drop: 0 },
  { title: 'client', drop: 0 },
  { title: '', drop: 0 },
  { title: 'flags', drop: 0 },
  { title: 'seq', align: 'right', drop: 1 },
  { title: 'ack', align: 'right', drop: 1 },
  { title: 'len', align: 'right', drop: 3 },
  { title: 'win', align: 'right', drop: 2 },
  { title: '', drop: 0 },
  { title: 'server', drop: 0 },
  { title: '', drop: 0 },
];

const WIDEST = 1000;
/** Of a ladder that is longer only lines that tell something are shown, and their neighbours; at most so many. */
const LINES_MAX = 200;
const HEAD = 100;
/** Of its beginning and its end, all. */
const ENDS = 20;
const NOTE_INDENT = 12;

export function simulationLines(moments: readonly Moment[], columns = WIDEST): Line[] {
  const kept = keptIndices(moments);
  const shown = kept.flatMap((index) => moments[index] ?? []);
  const [header, ...blocks] = wideBlocks(shown, columns) ?? narrowBlocks(shown, columns);
  const lines = blocks.flatMap((block, place) => {
    const left = (kept[place] ?? 0) - (kept[place - 1] ?? -1) - 1;
    return left === 0 ? block : [foldLine(left), ...block];
  });
  return [...(header ?? []), ...lines];
}

function foldLine(left: number): Line {
  return [{ text: `… ${left} more ${left === 1 ? 'line' : 'lines'}; --json has all`, style: 'dim' }];
}

function keptIndices(moments: readonly Moment[]): number[] {
  const all = [...moments.keys()];
  if (all.length <= LINES_MAX) return all;
  const telling = all.filter((index) => {
    const moment = moments[index];
    return index < ENDS || index >= all.length - ENDS || (moment !== undefined && tellsSomething(moment));
  });
  const near = new Set(telling.flatMap((index) => [index - 2, index - 1, index, index + 1, index + 2]));
  const kept = all.filter((index) => near.has(index));
  return kept.length <= LINES_MAX ? kept : [...kept.slice(0, HEAD), ...kept.slice(HEAD - LINES_MAX)];
}

function tellsSomething({ segment, client, server }: Moment): boolean {
  if (client !== undefined || server !== undefined || segment === undefined) return true;
  return segment.window === 0 || eventsOf(segment).length > 0;
}

/** The header and a line for each moment; undefined when they do not fit. */
function wideBlocks(moments: readonly Moment[], columns: number): Line[][] | undefined {
  const table = tableLines(COLUMNS, moments.map(momentRow), WIDEST, 0);
  const fits = table.every(
    (line) =>
      width(
        line
          .map(({ text }) => text)
          .join('')
          .trimEnd(),
      ) <= columns,
  );
  return fits ? table.map((line) => [line]) : undefined;
}

/** The same in less room: a line for each state that is passed through, and what there is to say below. */
function narrowBlocks(moments: readonly Moment[], columns: number): Line[][] {
  const parts = moments.map(apart);
  const rows = parts.flat().map((part) => momentRow(part).with(-1, { text: '' }));
  const [header = [], ...lines] = tableLines(COLUMNS, rows, columns, 0);
  let at = 0;
  const blocks = moments.map((moment, place) => {
    const own = lines.slice(at, at + (parts[place]?.length ?? 0));
    at += own.length;
    const { text = '', ...style } = momentRow(moment).at(-1) ?? {};
    const notes = text === '' ? [] : wrap(text, Math.max(1, columns - NOTE_INDENT));
    return [...own, ...notes.map((note): Line => [{ text: `${' '.repeat(NOTE_INDENT)}${note}`, ...style }])];
  });
  return [[header], ...blocks];
}

/** A moment as several with one state of each end. */
function apart({ atUs, segment, client = [], server = [] }: Moment): Moment[] {
  const count = Math.max(1, client.length, server.length);
  const state = (states: readonly StateName[], place: number) => {
    const one = states[place - count + states.length];
    return one === undefined ? undefined : [one];
  };
  return Array.from({ length: count }, (_, place): Moment => {
    const [here, there] = [state(client, place), state(server, place)];
    return {
      atUs,
      ...(segment === undefined || place < count - 1 ? {} : { segment }),
      ...(here === undefined ? {} : { client: here }),
      ...(there === undefined ? {} : { server: there }),
    };
  });
}

function momentRow({ atUs, segment, client, server }: Moment): Span[] {
  const time: Span = { text: (atUs / 1000).toFixed(3), style: 'dim' };
  const state = (names: readonly string[] = []): Span => ({ text: names.join(' → '), style: 'bold' });
  if (segment === undefined) {
    return [
      time,
      state(client),
      ...Array.from({ length: 7 }, () => ({ text: '' })),
      state(server),
      { text: '' },
    ];
  }
  const lost = segment.fate === 'lost' || segment.fate === 'queue-full' || segment.fate === 'too-big';
  const fromClient = segment.from === 'client';
  const arrow = fromClient ? (lost ? '─✕' : '─→') : lost ? '✕─' : '←─';
  const here: Span = { text: arrow, ...(lost ? { style: 'bad' } : {}) };
  const style = lost
    ? ({ style: 'bad' } as const)
    : segment.retransmission
      ? ({ style: 'warn' } as const)
      : {};
  return [
    time,
    state(client),
    fromClient ? { text: '' } : here,
    { text: flagsText(segment), ...style },
    { text: String(segment.seq) },
    { text: segment.ack === undefined ? '' : String(segment.ack) },
    { text: String(segment.length) },
    { text: String(segment.window) },
    fromClient ? here : { text: '' },
    state(server),
    { text: noteOf(segment), ...style },
  ];
}

function flagsText({ flags }: SentSegment): string {
  return flagNames(flags).toReversed().join(' ');
}

function noteOf(segment: SentSegment): string {
  const blocks = segment.sack?.map(({ left, right }) => `${left}:${right}`) ?? [];
  return [...eventsOf(segment), ...(blocks.length > 0 ? [`sack ${blocks.join(' ')}`] : [])].join(', ');
}

function eventsOf({ fate, retransmission, reason, note }: SentSegment): string[] {
  const probes = reason === 'window-probe' || reason === 'keepalive-probe';
  const again = retransmission && !probes ? ['sent again'] : [];
  const why = reason === undefined ? again : [REASONS[reason]];
  return [...(note === undefined ? [] : [note]), ...why, ...(fate === 'delivered' ? [] : [FATES[fate]])];
}

const REASONS = {
  timeout: 'sent again: timeout',
  'fast-retransmit': 'sent again: found lost',
  'tail-probe': 'sent again: tail loss probe',
  'window-probe': 'window probe',
  'keepalive-probe': 'keepalive probe',
} as const;

const FATES = {
  duplicated: 'arrives twice',
  corrupted: 'corrupted on the way',
  marked: 'congestion marked on the way',
  lost: 'lost',
  'queue-full': 'lost: the queue is full',
  'too-big': 'too big for the link',
  nowhere: 'to nobody',
} as const;
