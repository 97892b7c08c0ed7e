/** The parts of the live view and of the report, each from the model to lines of at most `columns`. Pure. */

import type { Condition } from '#base/errors.ts';
import type { ConntrackSummary, SocketSummary, TcpStateName, Verdict } from '#contract';
import { TCP_STATES } from '#contract';
import type { TelemetryView } from '../operator/fleet/view.ts';
import type { ViewModel } from './view-model.ts';
import { awaited, conditionsOf, nodeOf, outdated, unreadText } from './view-model.ts';
import type { Column } from './view-table.ts';
import { tableLines } from './view-table.ts';
import type { Line, Span, Style } from './view-text.ts';
import { age, count, fillBar, percent, width, wrap } from './view-text.ts';

/** Program, node, page and where traces go; then what is still awaited. */
export function headerLines(model: ViewModel, columns: number): Line[] {
  const node = nodeOf(model);
  const telemetry = model.overview?.operator.telemetry;
  const unread = unreadText(model);
  const facts: Span[] = [
    { text: `finwait ${model.overview?.operator.version ?? ''}`.trimEnd(), style: 'bold' },
    ...(node === undefined ? [] : [{ text: `node ${node.name} (${node.agent.kernel})` }]),
    { text: `up ${age(model.nowMs - model.startedAtMs)}` },
    ...(model.webUrl === undefined ? [] : [{ text: model.webUrl }]),
    ...(telemetry === undefined ? [] : [telemetrySpan(telemetry)]),
    ...(unread === undefined ? [] : [{ text: unread, style: 'dim' } as const]),
  ];
  return [
    ...flow(facts, columns, '  '),
    ...noteLines(model).flatMap((note) => wrap(note, columns).map((text): Line => [{ text, style: 'warn' }])),
  ];
}

/** The header where there is no room: a line of facts, a line for each note. */
export function briefHeaderLines(model: ViewModel, columns: number): Line[] {
  const [facts = []] = headerLines(model, columns);
  return [facts, ...noteLines(model).map((text): Line => [{ text, style: 'warn' }])];
}

function noteLines(model: ViewModel): string[] {
  const old = outdated(model);
  return [...(old === undefined ? [] : [`${old.text}: what follows is old`]), ...awaited(model)];
}

function telemetrySpan(telemetry: TelemetryView): Span {
  if (telemetry.traces === 'off') return { text: 'traces: off', style: 'dim' };
  const losses = telemetry.lost === 0 ? '' : `, ${count(telemetry.lost)} lost`;
  const waiting = telemetry.waiting === 0 ? '' : `, ${count(telemetry.waiting)} waiting`;
  const sent = `${count(telemetry.accepted)} accepted${waiting}${losses}`;
  const bad = telemetry.traces === 'failing' || telemetry.lost > 0;
  return { text: `traces: ${telemetry.endpoint ?? 'on'} (${sent})`, ...(bad ? { style: 'bad' } : {}) };
}

/** Spans side by side while they fit, on further lines when they do not. */
function flow(spans: readonly Span[], columns: number, gap: string): Line[] {
  const lines: Span[][] = [];
  let used = 0;
  for (const span of spans) {
    const current = lines.at(-1);
    if (current !== undefined && used + gap.length + width(span.text) <= columns) {
      current.push({ text: gap }, span);
      used += gap.length + width(span.text);
    } else {
      lines.push([span]);
      used = width(span.text);
    }
  }
  return lines;
}

/** States that are always shown, so that a zero is seen to be one. */
const USUAL: ReadonlySet<TcpStateName> = new Set(['LISTEN', 'ESTABLISHED', 'CLOSE-WAIT', 'TIME-WAIT']);

/** Sockets by state and family: a column a state. */
export function stateLines(sockets: SocketSummary, columns: number): Line[] {
  const countOf = (state: TcpStateName, family: 4 | 6) =>
    sockets.states.find((each) => each.state === state && each.family === family)?.count ?? 0;
  const shown = TCP_STATES.filter((state) => USUAL.has(state) || countOf(state, 4) + countOf(state, 6) > 0);
  const lines: Line[] = [];
  const fits = chunks(shown, (state) => state, columns).length === 1;
  const title = (state: TcpStateName) => (state === 'ESTABLISHED' && !fits ? 'ESTAB' : state);
  for (const states of chunks(shown, title, columns)) {
    const list: Column[] = [
      { title: 'sockets', drop: 0 },
      ...states.map((state): Column => ({ title: title(state), align: 'right', drop: 0 })),
    ];
    const rows = ([4, 6] as const).map((family) => [
      { text: `IPv${family}` },
      ...states.map((state) => countSpan(countOf(state, family), state)),
    ]);
    lines.push(...tableLines(list, rows, columns, 0));
  }
  return lines;
}

/** Both families together in one line, for where there is no room for a table. */
export function briefStateLine(sockets: SocketSummary): Line {
  const states = TCP_STATES.flatMap((state) => {
    const sum = sockets.states.reduce((total, each) => total + (each.state === state ? each.count : 0), 0);
    return sum === 0 ? [] : [{ text: '  ' }, { text: `${state} ` }, countSpan(sum, state)];
  });
  return [{ text: 'sockets' }, ...states];
}

/** The states in groups whose columns fit side by side. */
function chunks(
  states: readonly TcpStateName[],
  title: (state: TcpStateName) => string,
  columns: number,
): TcpStateName[][] {
  const groups: TcpStateName[][] = [[]];
  let used = 'sockets'.length;
  for (const state of states) {
    if (used + 2 + title(state).length > columns && groups.at(-1)?.length !== 0) {
      groups.push([]);
      used = 'sockets'.length;
    }
    groups.at(-1)?.push(state);
    used += 2 + title(state).length;
  }
  return groups;
}

function countSpan(value: number, state: TcpStateName): Span {
  if (value === 0) return { text: '0', style: 'dim' };
  return { text: count(value), ...(state === 'CLOSE-WAIT' ? { style: 'warn' } : {}) };
}

/** Fill of the conntrack table and its largest TCP states. */
export function conntrackLines(conntrack: ConntrackSummary, columns: number): Line[] {
  if (conntrack.status === 'idle') {
    const text = 'conntrack  idle: no rule of this network namespace uses it';
    return [[{ text, style: 'dim' }]];
  }
  const share = conntrack.max === 0 ? 0 : conntrack.count / conntrack.max;
  const style: Style = share >= 0.95 ? 'bad' : share >= 0.8 ? 'warn' : 'good';
  const bar = fillBar(conntrack.count, conntrack.max, columns >= 80 ? 20 : 10);
  const bound =
    conntrack.max === 0
      ? 'entries, without a bound'
      : `of ${count(conntrack.max)} (${percent(conntrack.count, conntrack.max)})`;
  const states = [...conntrack.states].sort((a, b) => b.count - a.count).slice(0, 6);
  return flow(
    [
      { text: 'conntrack ' },
      { text: bar, style },
      { text: `${count(conntrack.count)} ${bound}` },
      ...states.map((each): Span => ({ text: conntrackStateText(each), style: 'dim' })),
      { text: `finwait's own ${count(conntrack.own)}`, style: 'dim' },
    ],
    columns,
    '  ',
  );
}

/** `SYN_SENT 12 (oldest 41s)` */
export function conntrackStateText({
  state,
  count: flows,
  oldestMs,
}: ConntrackSummary['states'][number]): string {
  return `${state} ${count(flows)}${oldestMs === undefined ? '' : ` (oldest ${age(oldestMs)})`}`;
}

/** Everything wrong, each with what to do about it. */
export function conditionLines(model: ViewModel, columns: number): Line[] {
  return conditionsOf(model).flatMap((condition) => conditionText(condition, columns));
}

/** A line a fault, without what to do about it, for where there is no room: at most `rows`. */
export function briefConditionLines(model: ViewModel, rows: number): Line[] {
  const all = conditionsOf(model);
  const kept = all.length <= rows ? all : all.slice(0, Math.max(0, rows - 1));
  const more: Line = [{ text: `+ ${count(all.length - kept.length)} more problems`, style: 'bad' }];
  return [
    ...kept.map(({ code, message }): Line => [{ text: `${code}: ${message}`, style: 'bad' }]),
    ...(kept.length < all.length ? [more] : []),
  ];
}

function conditionText(condition: Condition, columns: number): Line[] {
  const said = wrap(`${condition.code}: ${condition.message}`, columns);
  const hint = wrap(`hint: ${condition.hint}`, columns - 2);
  return [
    ...said.map((text): Line => [{ text, style: 'bad' }]),
    ...hint.map((text): Line => [{ text: `  ${text}` }]),
  ];
}

export function verdictStyle(verdict: Verdict): Style {
  if (verdict === 'open') return 'good';
  return verdict === 'half-closed' || verdict === 'aborted' || verdict === 'unreachable' ? 'warn' : 'bad';
}
