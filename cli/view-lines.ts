/** The live view for a pipe or a file: plain lines with a time each, first everything, then what changed. Pure. */

import type { Condition } from '#base/errors.ts';
import type { Holder, ProbeResult, SocketSummary } from '#contract';
import { TCP_STATES } from '#contract';
import type { NodeView } from '../operator/fleet/view.ts';
import type { ViewModel } from './view-model.ts';
import {
  attributionText,
  conditionKey,
  conditionsOf,
  holderPath,
  nodeOf,
  probeKey,
  processOfProbe,
  processText,
} from './view-model.ts';
import { age, count, percent } from './view-text.ts';

/** What has been said already, so that only changes are said again. */
export interface Said {
  readonly webUrl?: string;
  readonly traces?: string;
  readonly boot?: string;
  readonly tables: boolean;
  /** Last verdict by probe key. */
  readonly verdicts: ReadonlyMap<string, string>;
  /** By condition key. */
  readonly conditions: ReadonlyMap<string, Condition>;
  /** CLOSE-WAIT groups by process and destination. */
  readonly leaks: ReadonlyMap<string, Holder>;
  readonly statusAtMs: number;
}

export const NOTHING_SAID: Said = {
  tables: false,
  verdicts: new Map(),
  conditions: new Map(),
  leaks: new Map(),
  statusAtMs: 0,
};

/** A CLOSE-WAIT shorter than this is a close under way, not worth a line. */
const LEAK_AGE_MS = 10_000;
const LARGEST_HOLDERS = 10;

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
  if (node !== undefined && node.boot !== said.boot) {
    lines.push(`agent      ${node.name}, kernel ${node.agent.kernel}, mode ${node.agent.mode}`);
  }
  const conditions = new Map(conditionsOf(model).map((each) => [conditionKey(each), each]));
  lines.push(...conditionChanges(said.conditions, conditions));

  const tablesKnown = node?.sockets !== undefined || node?.conntrack !== undefined;
  const first = tablesKnown && !said.tables;
  const statusDue = first || (said.tables && model.nowMs - said.statusAtMs >= statusIntervalMs);
  if (node !== undefined && statusDue) lines.push(...statusLines(node));
  if (node?.sockets !== undefined && first) {
    lines.push(
      ...node.sockets.holders.slice(0, LARGEST_HOLDERS).map((each) => `holder     ${holderText(each)}`),
    );
  }
  const leaks = leaksOf(node?.sockets);
  if (node?.sockets !== undefined && !first) lines.push(...leakChanges(said.leaks, leaks));
  const probes = node?.probes ?? [];
  const verdicts = new Map(probes.map((each) => [probeKey(each), each.verdict]));
  for (const result of probes) {
    const before = said.verdicts.get(probeKey(result));
    if (before !== result.verdict) lines.push(`probe      ${probeText(result, node, before)}`);
  }
  const stamp = new Date(model.nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    lines: lines.map((line) => `${stamp} ${line}`),
    said: {
      ...(model.webUrl === undefined ? {} : { webUrl: model.webUrl }),
      ...(traces === undefined ? {} : { traces }),
      ...((node?.boot ?? said.boot) === undefined ? {} : { boot: node?.boot ?? said.boot ?? '' }),
      tables: said.tables || tablesKnown,
      // A restarted operator has no results until they come again: the old verdicts still stand as said.
      verdicts: new Map([...said.verdicts, ...verdicts]),
      conditions,
      leaks: node?.sockets === undefined ? said.leaks : leaks,
      statusAtMs: statusDue ? model.nowMs : said.statusAtMs,
    },
  };
}

/** Where traces go; counts are left to the status of the collector, so that this changes seldom. */
function tracesText(model: ViewModel): string | undefined {
  const telemetry = model.overview?.operator.telemetry;
  if (telemetry === undefined) return undefined;
  if (telemetry.traces === 'off') return 'off (OTEL_EXPORTER_OTLP_ENDPOINT is not set)';
  return `${telemetry.endpoint ?? 'on'}${telemetry.traces === 'failing' ? ' (failing)' : ''}`;
}

function conditionChanges(
  before: ReadonlyMap<string, Condition>,
  now: ReadonlyMap<string, Condition>,
): string[] {
  const appeared = [...now].filter(([key]) => !before.has(key)).map(([, each]) => each);
  const cleared = [...before].filter(([key]) => !now.has(key)).map(([, each]) => each);
  return [
    ...appeared.flatMap(({ code, message, hint }) => [
      `problem    ${code}: ${message}`,
      `  hint:    ${hint}`,
    ]),
    ...cleared.map(({ code, message }) => `solved     ${code}: ${message}`),
  ];
}

function statusLines(node: NodeView): string[] {
  const lines: string[] = [];
  const { sockets, conntrack } = node;
  if (sockets !== undefined) {
    const families = ([4, 6] as const).map((family) => {
      const states = TCP_STATES.flatMap((state) => {
        const found = sockets.states.find((each) => each.family === family && each.state === state);
        return found === undefined || found.count === 0 ? [] : [`${state} ${count(found.count)}`];
      });
      return `IPv${family} ${states.length === 0 ? 'none' : states.join(', ')}`;
    });
    lines.push(`sockets    ${families.join('; ')}`);
  }
  if (conntrack?.status === 'idle') lines.push('conntrack  idle: no rule of this network namespace uses it');
  if (conntrack?.status === 'on') {
    const { count: used, max, own } = conntrack;
    lines.push(
      `conntrack  ${count(used)} of ${count(max)} (${percent(used, max)}), finwait's own ${count(own)}`,
    );
  }
  return lines;
}

function leaksOf(sockets: SocketSummary | undefined): ReadonlyMap<string, Holder> {
  const old = (sockets?.holders ?? []).filter(
    (each) => each.state === 'CLOSE-WAIT' && each.oldestMs >= LEAK_AGE_MS,
  );
  return new Map(old.map((each) => [`${processText(each.process)} ${holderPath(each)}`, each]));
}

function leakChanges(before: ReadonlyMap<string, Holder>, now: ReadonlyMap<string, Holder>): string[] {
  return [
    ...[...now].filter(([key]) => !before.has(key)).map(([, each]) => `holder     ${holderText(each)}`),
    ...[...before].filter(([key]) => !now.has(key)).map(([key]) => `released   CLOSE-WAIT of ${key}`),
  ];
}

function holderText(holder: Holder): string {
  const known = holder.attribution === 'socket' ? '' : ` (${attributionText(holder)})`;
  const who = holder.process === null ? attributionText(holder) : `${processText(holder.process)}${known}`;
  return `${holder.state} ${count(holder.count)}, ${who}, ${holderPath(holder)}, oldest ${age(holder.oldestMs)}`;
}

function probeText(result: ProbeResult, node: NodeView | undefined, before: string | undefined): string {
  const process = processOfProbe(result, node?.sockets?.listeners ?? []);
  const who = process === null ? '' : ` ${processText(process)}`;
  const was = before === undefined ? '' : `, was ${before}`;
  return `${result.target.name}${who}: ${result.verdict}${was}: ${result.sentence}`;
}
