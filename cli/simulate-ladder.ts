/** A simulation for people: a line for each segment, with the states of both ends beside it. Pure. */

import type { Moment, SentSegment } from '../daemon/netsim/transcript.ts';
import { flagNames } from '../daemon/wire/tcp-header.ts';
import type { Column } from './view-table.ts';
import { tableLines } from './view-table.ts';
import type { Line, Span } from './view-text.ts';

const COLUMNS: readonly Column[] = [
  { title: 'ms', align: 'right', drop: 0 },
  { title: 'client', drop: 0 },
  { title: '', drop: 0 },
  { title: 'flags', drop: 0 },
  { title: 'seq', align: 'right', drop: 1 },
  { title: 'ack', align: 'right', drop: 1 },
  { title: 'len', align: 'right', drop: 2 },
  { title: 'win', align: 'right', drop: 4 },
  { title: '', drop: 0 },
  { title: 'server', drop: 0 },
  { title: '', drop: 3 },
];

const WIDEST = 1000;
/** A ladder longer than that shows its beginning and its end. */
const LINES_MAX = 200;
const HEAD = 120;

export function simulationLines(moments: readonly Moment[], columns = WIDEST): Line[] {
  const rows = moments.map(momentRow);
  const table = tableLines(COLUMNS, rows, columns, 0);
  const folded = rows.length - LINES_MAX;
  if (folded <= 0) return table;
  const note: Line = [{ text: `… ${folded} more lines; --json has them all`, style: 'dim' }];
  return [...table.slice(0, HEAD + 1), note, ...table.slice(HEAD + 1 + folded)];
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

function noteOf({ fate, retransmission, reason, note }: SentSegment): string {
  const probes = reason === 'window-probe' || reason === 'keepalive-probe';
  const again = retransmission && !probes ? ['sent again'] : [];
  const why = reason === undefined ? again : [REASONS[reason]];
  return [...(note === undefined ? [] : [note]), ...why, ...(fate === 'delivered' ? [] : [FATES[fate]])].join(
    ', ',
  );
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
