/** What the live view shows, joined from the operator's overview and from what `finwait up` itself knows. Pure. */

import type { Condition, ErrorCode } from '#base/errors.ts';
import type { Listener, ProbeResult, ProcessRef } from '#contract';
import type { NodeView, Overview } from '../operator/fleet/view.ts';
import { age, count } from './view-text.ts';

export interface ViewModel {
  readonly nowMs: number;
  /** When `finwait up` started. */
  readonly startedAtMs: number;
  /** Absent until the operator listens. */
  readonly webUrl?: string;
  /** The newest overview; absent until the operator answered once. */
  readonly overview?: Overview;
  /** Faults that `finwait up` itself sees, such as a child that died. */
  readonly conditions: readonly Condition[];
  readonly trends: Trends;
  /** When a target showed its first result last; Unix milliseconds. */
  readonly newestSeriesMs: number;
  /** Whether what listens on this machine is probed. */
  readonly probesListeners: boolean;
  /** Other network namespaces of the machine, whose sockets are not read. */
  readonly unreadNamespaces: number;
}

/** What the last results of each target and address were, by `probeKey`. */
export type Trends = ReadonlyMap<string, Trend>;

export interface Trend {
  readonly lastId: string;
  /** Of the last results that are not tainted, oldest first; undefined where the handshake failed. */
  readonly handshakeUs: readonly (number | undefined)[];
  /** The last result that is not tainted, if there was one. */
  readonly clean?: ProbeResult;
}

const TREND_LENGTH = 10;

/** The trends with the results of an overview added, those of targets that are gone left out. */
export function extendTrends(trends: Trends, overview: Overview): Trends {
  const extended = new Map<string, Trend>();
  for (const result of overview.nodes.flatMap((node) => node.probes)) {
    const key = probeKey(result);
    const before = trends.get(key);
    if (before?.lastId === result.id) extended.set(key, before);
    else if (result.tainted !== undefined) {
      extended.set(key, { ...before, lastId: result.id, handshakeUs: before?.handshakeUs ?? [] });
    } else {
      const handshakeUs = [...(before?.handshakeUs ?? []), phaseUs(result, 'handshake')].slice(-TREND_LENGTH);
      extended.set(key, { lastId: result.id, handshakeUs, clean: result });
    }
  }
  return extended;
}

/**
 * The telling result of each target and address: problems first, then what was asked for, then the rest. A tainted
 * result tells only where no other is known; what no longer listens has none.
 */
export function tellingProbes(model: ViewModel): readonly ProbeResult[] {
  const node = nodeOf(model);
  if (node === undefined) return [];
  const probes = node.probes
    .filter((each) => !isGone(each, node))
    .map((each) => (each.tainted === undefined ? each : (model.trends.get(probeKey(each))?.clean ?? each)));
  const rank = ({ verdict, target }: ProbeResult) =>
    verdict !== 'open' ? 0 : target.origin === 'user' ? 1 : 2;
  return probes.toSorted((a, b) => rank(a) - rank(b));
}

/** Whether the socket that was probed listens no longer. */
function isGone({ target, remote }: ProbeResult, { sockets }: NodeView): boolean {
  if (target.origin !== 'listener' || sockets === undefined || sockets.listenersFolded > 0) return false;
  return !sockets.listeners.some(
    ({ local }) =>
      local.port === remote.port && (local.address === remote.address || isWildcard(local.address)),
  );
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** A name that `finwait probe` takes: what listens on every address is at the loopback address, too. */
export function probeName({ target }: ProbeResult): string {
  if (target.origin !== 'listener') return target.name;
  return target.name.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}

/** Names the series a result belongs to: a target probed at one of its addresses. */
export function probeKey(result: ProbeResult): string {
  return `${result.target.name} ${result.remote.address} ${result.remote.port}`;
}

/** How long a phase took, if it ended well. Microseconds. */
export function phaseUs(result: ProbeResult, name: 'handshake' | 'exchange' | 'close'): number | undefined {
  const phase = result.phases.find((each) => each.name === name && each.ok);
  return phase === undefined ? undefined : phase.toUs - phase.fromUs;
}

/** The node this machine is: `finwait up` runs one agent, so there is one at most. */
export function nodeOf(model: ViewModel): NodeView | undefined {
  return model.overview?.nodes[0];
}

/** Everything that is wrong, said once each: what `up` sees, then the operator, then the agent. */
export function conditionsOf(model: ViewModel): readonly Condition[] {
  const all = [
    ...model.conditions,
    ...(model.overview?.operator.conditions ?? []),
    ...(nodeOf(model)?.conditions ?? []),
  ];
  return [...new Map(all.map((each) => [conditionKey(each), each])).values()];
}

function conditionKey(condition: Condition): string {
  return `${condition.code} ${condition.message}`;
}

/** The process that listens where a probe went, when that is on this machine. */
export function processOfProbe(result: ProbeResult, listeners: readonly Listener[]): ProcessRef | null {
  const { address, port } = result.remote;
  const here = listeners.filter((each) => each.local.port === port);
  const exact = here.find((each) => each.local.address === address);
  if (exact !== undefined) return exact.process;
  if (result.target.origin !== 'listener') return null;
  const wildcard = here.find((each) => each.local.address === (result.family === 4 ? '0.0.0.0' : '::'));
  // A socket on :: takes IPv4 too unless IPV6_V6ONLY is set, and then 0.0.0.0 would have been there.
  return (wildcard ?? here.find((each) => each.local.address === '::'))?.process ?? null;
}

/** What is left out of what is shown, if anything is. */
export function unreadText({ unreadNamespaces: others }: ViewModel): string | undefined {
  if (others === 0) return undefined;
  const what =
    others === 1 ? 'another network namespace is' : `${count(others)} other network namespaces are`;
  return `${what} not read: finwait up -A does`;
}

/** `sshd/812` */
export function processText(process: ProcessRef | null): string {
  return process === null ? '-' : `${process.name}/${process.pid}`;
}

/** When a probe ended, Unix milliseconds: its start and its last phase. */
export function endedMs(result: ProbeResult): number {
  return (result.startUs + Math.max(0, ...result.phases.map((phase) => phase.toUs))) / 1000;
}

/** What is not known yet and is expected to come, in words; empty when everything is there. */
export function awaited(model: ViewModel): string[] {
  if (model.overview === undefined) return ['waiting for the operator to answer'];
  const node = nodeOf(model);
  if (node === undefined) return ['waiting for the first report of the agent'];
  const missing = unprobed(node, model);
  return missing.length === 0 ? [] : [`waiting for the first probe of ${missing.join(', ')}`];
}

/** The operator is asked about once a second; a silence longer than this is told. */
const SILENCE_MS = 5000;

/** Who is silent, and since when nothing new is known. */
export interface Outdated {
  readonly who: 'operator' | 'agent';
  /** Unix milliseconds. */
  readonly sinceMs: number;
  readonly text: string;
}

/** Why what is shown is old, if it is. */
export function outdated({ nowMs, overview }: ViewModel): Outdated | undefined {
  const [node] = overview?.nodes ?? [];
  if (overview === undefined || node === undefined) return undefined;
  const { generatedAtMs } = overview;
  if (nowMs - generatedAtMs >= SILENCE_MS) {
    const text = `the operator has not answered for ${age(nowMs - generatedAtMs)}`;
    return { who: 'operator', sinceMs: generatedAtMs, text };
  }
  if (!node.stale) return undefined;
  const text = `the last report of the agent is ${age(nowMs - node.lastReportMs)} old`;
  return { who: 'agent', sinceMs: node.lastReportMs, text };
}

/** No listener shows up for the first time for so long: those there are have been probed. */
const SERIES_QUIET_MS = 2000;
/** Where listeners come and go all the time it is never quiet; then this is enough. */
const FIRST_ROUND_MS = 12_000;

/** Whether everything that can be known after one round is known: the tables, and each target probed once. */
export function firstProbesEnded(model: ViewModel): boolean {
  const node = nodeOf(model);
  if (node === undefined || (node.sockets === undefined && node.conditions.length === 0)) return false;
  if (!canProbe(node, model)) return true;
  if (unprobed(node, model).length > 0) return false;
  const anyListener = node.probes.some((each) => each.target.origin === 'listener');
  return (
    !model.probesListeners ||
    (anyListener && model.nowMs - model.newestSeriesMs >= SERIES_QUIET_MS) ||
    model.nowMs - model.startedAtMs >= FIRST_ROUND_MS
  );
}

/** A target that was asked for and has no result, and why. */
export interface UnprobedTarget {
  readonly name: string;
  /** `waiting`: it will have one. */
  readonly state: 'waiting' | 'unresolved' | 'not probed';
  readonly why: string;
}

export function targetsWithoutResult(node: NodeView, model: ViewModel): UnprobedTarget[] {
  const conditions = conditionsOf(model);
  const off = engineFault(model);
  return node.assigned
    .filter(({ name }) => !node.probes.some((each) => each.target.name === name))
    .map(({ name, host }) => {
      if (node.agent.mode === 'observe')
        return { name, state: 'not probed', why: 'only the tables are read' };
      if (off !== undefined) return { name, state: 'not probed', why: off.message };
      const fault = conditions.find((each) => each.code === 'NAME_UNRESOLVED' && each.message.includes(host));
      if (fault !== undefined) return { name, state: 'unresolved', why: fault.message };
      return { name, state: 'waiting', why: '' };
    });
}

/** Names of the targets asked for that will have a result and have none yet. */
function unprobed(node: NodeView, model: ViewModel): string[] {
  return targetsWithoutResult(node, model).flatMap(({ name, state }) => (state === 'waiting' ? [name] : []));
}

/** Faults without whose mending nothing is probed. */
const ENGINE_FAULTS: readonly ErrorCode[] = [
  'TUN_MISSING',
  'TUN_DENIED',
  'TUN_BUSY',
  'TUN_PREFIX_IN_USE',
  'LINK_SETUP_FAILED',
];

function engineFault(model: ViewModel): Condition | undefined {
  return conditionsOf(model).find(({ code }) => ENGINE_FAULTS.includes(code));
}

function canProbe(node: NodeView, model: ViewModel): boolean {
  return node.agent.mode !== 'observe' && engineFault(model) === undefined;
}

/** What the agent does: its mode, and why it is less than that. */
export function modeText(node: NodeView, model: ViewModel): string {
  const { mode } = node.agent;
  const fault = mode === 'observe' ? undefined : engineFault(model);
  return fault === undefined ? `mode ${mode}` : `mode ${mode} (without probes: ${fault.code})`;
}
