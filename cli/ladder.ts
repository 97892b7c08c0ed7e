/**
 * A probe's result for people: the ladder, a line per segment with what it means, and the verdict below it.
 * Pure; paintLine puts the lines on a terminal.
 */

import { hostPortText } from '#base/host-port.ts';
import { latency } from '#base/latency.ts';
import type { Phase, ProbeResult, SegmentRecord, SynOptions } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { meaningOf } from './ladder-meaning.ts';
import { verdictStyle } from './view-sections.ts';
import type { Column } from './view-table.ts';
import { tableLines } from './view-table.ts';
import type { Line, Span, Style } from './view-text.ts';
import { width, wrap } from './view-text.ts';

const COLUMNS: readonly Column[] = [
  { title: 'ms', align: 'right', drop: 0 },
  { title: 'after', align: 'right', drop: 3 },
  { title: '', drop: 0 },
  { title: 'flags', drop: 0 },
  { title: 'seq', align: 'right', drop: 2 },
  { title: 'ack', align: 'right', drop: 2 },
  { title: 'len', align: 'right', drop: 4 },
  { title: 'win', align: 'right', drop: 5 },
];

/** The least that the meanings beside the table are given; other columns go before. */
const MEANING_COLUMNS_MIN = 28;
/** Width of a text that no terminal bounds. */
const UNBOUNDED = 1000;
const PROSE_COLUMNS_MAX = 110;
const GAP = 2;

/** `198.18.77.2:51234 → 10.0.0.1:80  web, IPv4`: who talks to whom. */
export function headingLine(result: ProbeResult): Line {
  const { local, remote, target } = result;
  const given = hostPortText(target.host, target.port);
  const to = hostPortText(remote.address, remote.port);
  return [
    ...(local.port === 0
      ? []
      : [{ text: `${hostPortText(local.address, local.port)} → `, style: 'dim' } as const]),
    { text: to, style: 'bold' },
    ...(given === to ? [] : [{ text: `  ${given}` }]),
  ];
}

/** The segments in their order, in at most `columns`. Empty when nothing was sent. */
export function ladderLines(result: ProbeResult, columns = UNBOUNDED): Line[] {
  const { segments, segmentsFolded } = result;
  if (segments.length === 0) return [];
  const rows = segments.map((segment, index) => segmentRow(segment, segments[index - 1]));
  const table = tableLines(COLUMNS, rows, columns - MEANING_COLUMNS_MIN - GAP);
  const left = Math.max(...table.map(lineWidth));
  const [header = [], ...lines] = table;
  const blocks = lines.map((line, index): Line[] => {
    const segment = segments[index];
    if (segment === undefined) return [line];
    return besideLine(
      line,
      left,
      wrap(meaningOf(segment, index, result), columns - left - GAP),
      segmentStyle(segment),
    );
  });
  if (segmentsFolded > 0) {
    const note = `    … ${segmentsFolded} more segments of data`;
    blocks.splice(CONTRACT_LIMITS.segmentsWhole, 0, [[{ text: note, style: 'dim' }]]);
  }
  return [header, ...blocks.flat()];
}

/** A line of the table with its meaning to the right, on as many lines as that takes. */
function besideLine(line: Line, left: number, words: readonly string[], style: { style?: Style }): Line[] {
  const [first = '', ...more] = words;
  const pad = { text: ' '.repeat(left - lineWidth(line) + GAP) };
  return [
    [...line, pad, { text: first, ...style }],
    ...more.map((text): Line => [{ text: ' '.repeat(left + GAP) }, { text, ...style }]),
  ];
}

function lineWidth(line: Line): number {
  return line.reduce((sum, span) => sum + width(span.text), 0);
}

function segmentRow(segment: SegmentRecord, before: SegmentRecord | undefined): Span[] {
  const style = segmentStyle(segment);
  const tcp = segment.kind === 'tcp';
  const flags = tcp ? segment.flags.join(' ') : 'ICMP';
  return [
    { text: (segment.atUs / 1000).toFixed(3) },
    { text: before === undefined ? '' : `+${latency(segment.atUs - before.atUs)}`, style: 'dim' },
    { text: segment.direction === 'out' ? '→' : '←', ...style },
    { text: flags === '' ? 'none' : flags, ...style },
    { text: tcp ? String(segment.seq) : '' },
    { text: segment.ack === undefined ? '' : String(segment.ack) },
    { text: tcp ? String(segment.length) : '' },
    { text: tcp ? String(segment.window) : '', style: 'dim' },
  ];
}

function segmentStyle(segment: SegmentRecord): { style?: Style } {
  if (segment.kind === 'icmp' || segment.flags.includes('RST') || segment.from !== undefined)
    return { style: 'bad' };
  return segment.retransmission ? { style: 'warn' } : {};
}

/** The verdict with its evidence, and the measures below it. */
export function verdictLines(result: ProbeResult, columns = UNBOUNDED): Line[] {
  const { verdict, sentence } = result;
  const room = Math.min(columns, PROSE_COLUMNS_MAX);
  const [first = '', ...more] = wrap(`${verdict}: ${sentence}`, room - 2);
  const head: Line = [
    { text: '  ' },
    { text: verdict, style: verdictStyle(verdict) },
    { text: first.slice(verdict.length) },
  ];
  return [
    head,
    ...more.map((text): Line => [{ text: `  ${text}` }]),
    ...measures(result).flatMap((text) =>
      wrap(text, room - 2).map((line): Line => [{ text: `  ${line}`, style: 'dim' }]),
    ),
    ...(result.tainted === undefined ? [] : [taintLine(result.tainted)]),
  ];
}

const TAINTS: Readonly<Record<string, string>> = {
  'loop-lag': 'this machine gave the engine no time for 10 ms or more, so the times are not exact',
  'queue-drop': 'packets were dropped between kernel and engine, so losses may be of this machine',
};

function taintLine(taint: string): Line {
  return [{ text: `  tainted (${taint}): ${TAINTS[taint] ?? 'not to be trusted'}`, style: 'warn' }];
}

function measures(result: ProbeResult): string[] {
  const { phases, rttUs, handshakeNetUs, hops, retransmits, options } = result;
  const parts = phases.map(phaseText);
  const { syn, data, fin } = retransmits;
  if (syn > 0 && handshakeNetUs !== undefined)
    parts.push(`handshake without waiting ${latency(handshakeNetUs)}`);
  if (rttUs !== undefined) parts.push(`rtt ${latency(rttUs)}`);
  const again = [...sentAgain(syn, 'SYN'), ...sentAgain(data, 'data'), ...sentAgain(fin, 'FIN')];
  if (again.length > 0) parts.push(`sent again: ${again.join(', ')}`);
  if (hops !== undefined) parts.push(hops === 0 ? 'no hops' : hops === 1 ? '1 hop' : `${hops} hops`);
  const missing = options.accepted === null ? [] : missingOptions(options.offered, options.accepted);
  return [
    ...(parts.length === 0 ? [] : [parts.join(' · ')]),
    ...(missing.length === 0 ? [] : [`options offered and not accepted: ${missing.join(', ')}`]),
  ];
}

function sentAgain(times: number, what: string): string[] {
  return times === 0 ? [] : [`${times} ${what}`];
}

function phaseText({ name, fromUs, toUs, ok }: Phase): string {
  return `${name} ${latency(toUs - fromUs)}${ok ? '' : ' (not completed)'}`;
}

function missingOptions(offered: SynOptions, accepted: SynOptions): string[] {
  return [
    ...(offered.mss !== undefined && accepted.mss === undefined ? ['MSS'] : []),
    ...(offered.windowScale !== undefined && accepted.windowScale === undefined ? ['window scale'] : []),
    ...(offered.sackPermitted && !accepted.sackPermitted ? ['SACK'] : []),
    ...(offered.timestamps && !accepted.timestamps ? ['timestamps'] : []),
  ];
}
