/** The probes of the live view and of the report: a row for each target. Pure. */

import type { ProbeResult, Verdict } from '#contract';
import type { ViewModel } from './view-model.ts';
import {
  endedMs,
  nodeOf,
  phaseUs,
  probeKey,
  probeName,
  processOfProbe,
  processText,
  targetsWithoutResult,
  tellingProbes,
} from './view-model.ts';
import { verdictStyle } from './view-sections.ts';
import type { Column } from './view-table.ts';
import { boundedTable } from './view-table.ts';
import type { Line, Span } from './view-text.ts';
import { age, count, latency, sparkline } from './view-text.ts';

const PROBE_COLUMNS: readonly Column[] = [
  { title: 'probe', min: 21, drop: 0 },
  { title: 'process', min: 12, drop: 4, keepEnd: '/' },
  { title: 'verdict', drop: 0 },
  { title: 'handshake', align: 'right', drop: 0 },
  { title: 'close', align: 'right', drop: 3 },
  { title: 'rtx', align: 'right', drop: 5 },
  { title: 'seen', align: 'right', drop: 6 },
  { title: 'trend', drop: 7 },
  { title: 'what happened', min: 28, drop: 2 },
];

/** The telling result of every target, problems first; at most `rows` lines. */
export function probeLines(model: ViewModel, columns: number, rows: number): Line[] {
  const node = nodeOf(model);
  const waiting = node === undefined ? [] : targetsWithoutResult(node, model);
  const probes = tellingProbes(model);
  if (waiting.length + probes.length === 0) return rows < 1 ? [] : [[{ text: 'no probe yet', style: 'dim' }]];
  const spans = [
    ...waiting.map(({ name, state, why }): Span[] => [
      { text: name },
      { text: '-' },
      { text: state, style: state === 'waiting' ? 'dim' : 'warn' },
      ...['-', '-', '-', '-', ''].map((text) => ({ text })),
      { text: why, style: 'dim' },
    ]),
    ...probes.map((each) => resultSpans(each, model)),
  ];
  const taints = new Set(probes.flatMap(({ tainted }) => (tainted === undefined ? [] : [tainted])));
  const notes =
    taints.size === 0
      ? []
      : [`?: not to be trusted, finwait itself was late or lost packets (${[...taints].join(', ')})`];
  const summary = `probes  ${[...waiting.map(({ name, state }) => `${name} ${state}`), verdictCounts(probes)].join(', ')}`;
  return boundedTable(PROBE_COLUMNS, spans, { notes, summary }, columns, rows);
}

function resultSpans(result: ProbeResult, model: ViewModel): Span[] {
  const { syn, data, fin } = result.retransmits;
  const repeated = syn + data + fin;
  const asked = result.target.origin === 'listener' || result.target.host === result.remote.address;
  const address = asked ? '' : ` (${result.remote.address})`;
  return [
    { text: `${probeName(result)}${address}` },
    { text: processText(processOfProbe(result, nodeOf(model)?.sockets?.listeners ?? [])) },
    {
      text: verdictText(result),
      style: result.tainted === undefined ? verdictStyle(result.verdict) : 'warn',
    },
    { text: timeText(phaseUs(result, 'handshake')) },
    { text: timeText(phaseUs(result, 'close')) },
    repeated === 0 ? { text: '0', style: 'dim' } : { text: count(repeated), style: 'warn' },
    { text: age(model.nowMs - endedMs(result)) },
    { text: sparkline(model.trends.get(probeKey(result))?.handshakeUs ?? []) },
    { text: outcome(result), style: 'dim' },
  ];
}

/** `filtered`, of a tainted result `filtered?` */
export function verdictText({ verdict, tainted }: ProbeResult): string {
  return tainted === undefined ? verdict : `${verdict}?`;
}

/** `2 filtered, 14 open` */
export function verdictCounts(probes: readonly ProbeResult[]): string {
  const verdicts = Map.groupBy(probes, verdictText);
  return [...verdicts].map(([verdict, results]) => `${count(results.length)} ${verdict}`).join(', ');
}

/** What a verdict means in a few words, the telling ones first; the whole sentence is `finwait probe`'s to say. */
function outcome(result: ProbeResult): string {
  const tainted = result.tainted === undefined ? '' : `${result.tainted}: `;
  const { verdict, sentence } = result;
  const told = OUTCOMES[verdict]?.(result) ?? sentence.replace(`${verdict}: `, '');
  return `${tainted}${told}`;
}

/** Of the other verdicts the sentence tells what is special. */
const OUTCOMES: Readonly<Partial<Record<Verdict, (result: ProbeResult) => string>>> = {
  open: () => '',
  refused: () => 'RST to the SYN',
  filtered: ({ retransmits, phases }) =>
    `no answer to ${count(retransmits.syn + 1)} SYN${retransmits.syn > 0 ? 's' : ''}${waited(phases)}`,
  'accept-queue-full': () => 'SYN-ACK repeated after our ACK',
  'stale-time-wait': () => 'bare ACK to the SYN',
  rejected: ({ segments, sentence }) => icmpText(segments) ?? sentence,
  'wrong-source': ({ segments, sentence }) => {
    const from = segments.find((each) => each.from !== undefined)?.from;
    return from === undefined ? sentence : `SYN-ACK from ${from}`;
  },
  'half-closed': ({ phases }) => `no FIN of the peer${waited(phases)}`,
  'close-unanswered': ({ phases }) => `our FIN not acknowledged${waited(phases)}`,
  'reset-on-close': () => 'RST in the close',
  'reset-in-exchange': () => 'RST in the exchange',
  'closed-in-exchange': () => 'FIN without an answer',
  'exchange-timeout': ({ phases }) => `no answer to the request${waited(phases)}`,
  aborted: () => 'finwait stopped first',
};

/** ` in 10.0 s`: how long the phase that failed took. */
function waited(phases: ProbeResult['phases']): string {
  const failed = phases.findLast((each) => !each.ok);
  return failed === undefined ? '' : ` in ${latency(failed.toUs - failed.fromUs)}`;
}

function icmpText(segments: ProbeResult['segments']): string | undefined {
  const icmp = segments.find(({ kind }) => kind === 'icmp');
  if (icmp?.note === undefined) return undefined;
  return `${icmp.note}${icmp.from === undefined ? '' : ` from ${icmp.from}`}`;
}

function timeText(us: number | undefined): string {
  return us === undefined ? '-' : latency(us);
}
