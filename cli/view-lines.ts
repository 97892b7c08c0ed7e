/** The live view for a pipe or a file: plain lines with a time each, first everything, then what changed. Pure. */

import type { Condition, ErrorCode } from '#base/errors.ts';
import type { ConntrackSummary, ProbeResult, SocketSummary } from '#contract';
import { TCP_STATES } from '#contract';
import type { NodeView } from '../operator/fleet/view.ts';
import type { HolderRow } from './view-holders.ts';
import { holderPath, holderRows, holderText, networkText } from './view-holders.ts';
import type { Outdated, ViewModel } from './view-model.ts';
import {
  conditionsOf,
  modeText,
  nodeOf,
  outdated,
  probeKey,
  probeName,
  processOfProbe,
  processText,
  tellingProbes,
  unreadText,
} from './view-model.ts';
import { verdictCounts, verdictText } from './view-probes.ts';
import { conntrackStateText } from './view-sections.ts';
import { count, percent } from './view-text.ts';

/** What has been said already, so that only changes are said again. */
export interface Said {
  readonly webUrl?: string;
  readonly traces?: string;
  /** The agent: its start, and what it does. */
  readonly agent?: string;
  /** That there are network namespaces which are not read: how many changes all the time. */
  readonly unread: boolean;
  readonly tables: boolean;
  /** Last verdict by probe key. */
  readonly verdicts: ReadonlyMap<string, string>;
  /** By condition key. */
  readonly conditions: ReadonlyMap<string, Condition>;
  /** CLOSE-WAIT groups that were told of, by process and destination. */
  readonly leaks: ReadonlySet<string>;
  readonly statusAtMs: number;
  /** Who was said to be silent. */
  readonly silent?: Outdated['who'];
}

export const NOTHING_SAID: Said = {
  unread: false,
  tables: false,
  verdicts: new Map(),
  conditions: new Map(),
  leaks: new Set(),
  statusAtMs: 0,
};

/** A CLOSE-WAIT shorter than this is a close under way, not worth a line. */
const LEAK_AGE_MS = 10_000;
const LARGEST_HOLDERS = 10;
/** Codes by which one of perhaps several is named, and named anew when more is known of it. */
const NAMING: readonly ErrorCode[] = ['LISTENER_STALLED', 'PORTS_EXHAUSTED'];
/** A number that is no part of a name, an address or a time. */
const NUMBER = /(?<![\w.:/-])\d[\d,]*(?![\w.:/-])/g;

/**
 * The lines a model adds to what was said before.
 * @param statusIntervalMs time between two status lines when nothing else happens
 */
export function newLines(
  model: ViewModel,
  said: Said,
  statusIntervalMs: number,
): { readonly lines: readonly string[]; readonly said: Said } {
  const node = nodeOf(model);
  const lines: string[] = [];
  const traces = tracesText(model);
  if (model.webUrl !== undefined && model.webUrl !== said.webUrl) lines.push(`page       ${model.webUrl}`);
  if (traces !== undefined && traces !== said.traces) lines.push(`traces     ${traces}`);
  const agent = node === undefined ? said.agent : `${node.boot} ${modeText(node, model)}`;
  if (node !== undefined && agent !== said.agent) {
    lines.push(`agent      ${node.name}, kernel ${node.agent.kernel}, ${modeText(node, model)}`);
  }
  const conditions = new Map(conditionsOf(model).map((each) => [lineKey(each), each]));
  lines.push(...conditionChanges(said.conditions, conditions));

  const tablesKnown = node?.sockets !== undefined || node?.conntrack !== undefined;
  const unread = tablesKnown && !said.unread ? unreadText(model) : undefined;
  if (unread !== undefined) lines.push(`others     ${unread}`);
  const first = tablesKnown && !said.tables;
  const statusDue = first || (said.tables && model.nowMs - said.statusAtMs >= statusIntervalMs);
  const old = outdated(model);
  const probes = tellingProbes(model);
  if (old !== undefined && (statusDue || old.who !== said.silent)) lines.push(`old        ${oldText(old)}`);
  if (old === undefined && said.silent !== undefined) lines.push(`fresh      the ${said.silent} is back`);
  if (node !== undefined && first) lines.push(...firstTables(node));
  else if (node !== undefined && statusDue && old === undefined) {
    lines.push(`status     ${statusText(node, probes)}`);
  }
  const holders = holderChanges(node, said.leaks, first);
  lines.push(...holders.lines);
  const verdicts = new Map(probes.map((each) => [probeKey(each), verdictText(each)]));
  for (const result of probes) {
    const before = said.verdicts.get(probeKey(result));
    if (before !== verdictText(result)) lines.push(`probe      ${probeText(result, node, before)}`);
  }
  const stamp = new Date(model.nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    lines: lines.map((line) => `${stamp} ${line}`),
    said: {
      ...(model.webUrl === undefined ? {} : { webUrl: model.webUrl }),
      ...(traces === undefined ? {} : { traces }),
      ...(agent === undefined ? {} : { agent }),
      unread: said.unread || unread !== undefined,
      tables: said.tables || tablesKnown,
      // A restarted operator has no results until they come again: the old verdicts still stand as said.
      verdicts: new Map([...said.verdicts, ...verdicts]),
      conditions,
      leaks: holders.leaks,
      statusAtMs: statusDue ? model.nowMs : said.statusAtMs,
      ...(old === undefined ? {} : { silent: old.who }),
    },
  };
}

function oldText({ text, sinceMs }: Outdated): string {
  return `${text}: nothing is known since ${new Date(sinceMs).toISOString().replace(/\.\d+Z$/, 'Z')}`;
}

/** Where traces go; counts are left to the status of the collector, so that this changes seldom. */
function tracesText(model: ViewModel): string | undefined {
  const telemetry = model.overview?.operator.telemetry;
  if (telemetry === undefined) return undefined;
  if (telemetry.traces === 'off') return 'off (OTEL_EXPORTER_OTLP_ENDPOINT is not set)';
  return `${telemetry.endpoint ?? 'on'}${telemetry.traces === 'failing' ? ' (failing)' : ''}`;
}

/** A fault is told once, however the figures in its message change. */
function lineKey({ code, message }: Condition): string {
  return `${code} ${message.replaceAll(NUMBER, '#')}`;
}

function conditionChanges(
  before: ReadonlyMap<string, Condition>,
  now: ReadonlyMap<string, Condition>,
): string[] {
  const appeared = [...now].filter(([key]) => !before.has(key)).map(([, each]) => each);
  const renamed = new Set(appeared.map(({ code }) => code).filter((code) => NAMING.includes(code)));
  const cleared = [...before]
    .filter(([key, { code }]) => !now.has(key) && !renamed.has(code))
    .map(([, each]) => each);
  return [
    ...appeared.flatMap(({ code, message, hint }) => [
      `problem    ${code}: ${message}`,
      `  hint:    ${hint}`,
    ]),
    ...cleared.map(({ code, message }) => `solved     ${code}: ${message}`),
  ];
}

function firstTables({ sockets, conntrack }: NodeView): string[] {
  return [
    ...(sockets === undefined ? [] : [`sockets    ${socketsText(sockets)}`]),
    ...(conntrack === undefined ? [] : [`conntrack  ${conntrackText(conntrack)}`]),
  ];
}

function statusText({ sockets, conntrack }: NodeView, probes: readonly ProbeResult[]): string {
  return [
    ...(sockets === undefined ? [] : [socketsText(sockets)]),
    ...(conntrack === undefined ? [] : [`conntrack ${conntrackText(conntrack)}`]),
    ...(probes.length === 0 ? [] : [`probes ${verdictCounts(probes)}`]),
  ].join('; ');
}

function socketsText(sockets: SocketSummary): string {
  const families = ([4, 6] as const).map((family) => {
    const states = TCP_STATES.flatMap((state) => {
      const found = sockets.states.find((each) => each.family === family && each.state === state);
      return found === undefined || found.count === 0 ? [] : [`${state} ${count(found.count)}`];
    });
    return `IPv${family} ${states.length === 0 ? 'none' : states.join(', ')}`;
  });
  return families.join('; ');
}

function conntrackText({ status, count: used, max, own, states }: ConntrackSummary): string {
  if (status === 'idle') return 'idle: no rule of this network namespace uses it';
  return [
    `${count(used)} of ${count(max)} (${percent(used, max)})`,
    `finwait's own ${count(own)}`,
    ...states.toSorted((a, b) => b.count - a.count).map(conntrackStateText),
  ].join(', ');
}

/** At first the largest groups; then each CLOSE-WAIT group that lasts, and each that was told of and is gone. */
function holderChanges(
  node: NodeView | undefined,
  told: ReadonlySet<string>,
  first: boolean,
): { readonly lines: readonly string[]; readonly leaks: ReadonlySet<string> } {
  if (node?.sockets === undefined) return { lines: [], leaks: told };
  const rows = holderRows(node);
  const closeWait = rows.filter((each) => each.state === 'CLOSE-WAIT');
  const present = new Set(closeWait.map(leakKey));
  // Sockets whose process is found later are the same ones.
  const named = new Set(closeWait.map((each) => leakKey({ ...each, process: null })));
  const lasting = closeWait.filter((each) => each.oldestMs >= LEAK_AGE_MS && !told.has(leakKey(each)));
  const tell = first ? rows.slice(0, LARGEST_HOLDERS) : lasting;
  const released = [...told].filter((key) => !present.has(key) && !named.has(key));
  return {
    lines: [
      ...tell.map((each) => `holder     ${holderText(each)}`),
      ...released.map((key) => `released   CLOSE-WAIT of ${key}`),
    ],
    leaks: new Set([
      ...[...told].filter((key) => present.has(key)),
      ...tell.filter((each) => each.state === 'CLOSE-WAIT').map(leakKey),
    ]),
  };
}

function leakKey(row: HolderRow): string {
  return `${processText(row.process)} ${holderPath(row)} ${networkText(row)}`.trimEnd();
}

function probeText(result: ProbeResult, node: NodeView | undefined, before: string | undefined): string {
  const process = processOfProbe(result, node?.sockets?.listeners ?? []);
  const who = process === null ? '' : ` ${processText(process)}`;
  const was = before === undefined ? '' : `, was ${before}`;
  const taint = result.tainted === undefined ? '' : ` (not to be trusted: ${result.tainted})`;
  return `${probeName(result)}${who}: ${verdictText(result)}${was}: ${result.sentence}${taint}`;
}
