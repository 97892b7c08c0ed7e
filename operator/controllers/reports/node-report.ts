/** What the NodeTCPReport of a node says. Pure. */

import type { Condition, ErrorCode } from '#base/errors.ts';
import type { TcpStateName } from '#contract';
import type { StatusCondition } from '../../api/v1alpha1/condition.ts';
import { apiTime, bounded, nextCondition } from '../../api/v1alpha1/condition.ts';
import { spanText } from '../../api/v1alpha1/duration.ts';
import type { NodeTcpReportStatus, StateCount } from '../../api/v1alpha1/node-tcp-report.ts';
import { NODE_REPORT_LIMITS } from '../../api/v1alpha1/node-tcp-report.ts';
import type { NodeView } from '../../fleet/view.ts';
import { lossesOf } from './node-losses.ts';
import { comparisonOf, portsOf } from './node-ports.ts';
import type { Policy } from './policy.ts';

export interface NodeReportInput {
  readonly view: NodeView;
  readonly policy: Policy;
  readonly before: Partial<NodeTcpReportStatus> | undefined;
  /** Conntrack entries more (or fewer) per minute; undefined until there is enough to tell. */
  readonly growthPerMinute: number | undefined;
  /** `namespace/name` of a pod of this node by its UID. */
  readonly podName: (uid: string) => string | undefined;
  readonly nowMs: number;
}

/**
 * The kubelet's firewall brings the first about on most nodes; both are only about probes of the node's loopback. A
 * name that does not resolve is told by the probe that asks for it. What runs out is the node's fault, or its pods'.
 */
const NO_FAULT: readonly ErrorCode[] = [
  'LOOPBACK_V4_UNREACHABLE',
  'LOOPBACK_V6_UNREACHABLE',
  'NAME_UNRESOLVED',
  'CONNTRACK_FULL',
  'PORTS_EXHAUSTED',
  'LISTENER_STALLED',
];
/** What only mode inspect is there to know. */
const NO_FAULT_OUTSIDE_INSPECT: readonly ErrorCode[] = ['PROCESS_NAMES_PARTIAL'];
/** That mode observe does not probe. */
const NO_FAULT_IN_OBSERVE: readonly ErrorCode[] = ['PROBES_OFF'];

const MEBIBYTE = 2 ** 20;
const DAY_MS = 86_400_000;

export function nodeReportStatus(input: NodeReportInput): NodeTcpReportStatus {
  const { view, before, nowMs } = input;
  const sockets = view.sockets === undefined ? {} : socketCounts(view.sockets.states);
  const open = view.probes.filter(({ verdict }) => verdict === 'open').length;
  const toFullMs = timeToFullMs(input);
  const faults = faultsOf(view);
  const ports = portsOf(view, input.podName);
  const losses = lossesOf(view, input.podName);
  const comparison = comparisonOf(view);
  const conditions = [
    reporting(before?.conditions, view.stale, view.lastReportMs, nowMs),
    nextCondition(before?.conditions, { type: 'AgentHealthy', ...healthOf(faults) }, nowMs),
    nextCondition(before?.conditions, { type: 'ConntrackHasRoom', ...roomOf(input, toFullMs) }, nowMs),
  ];
  return {
    observedAt: apiTime(nowMs),
    ...sockets,
    ...(view.probes.length === 0 ? {} : { probes: `${open}/${view.probes.length}` }),
    conntrack: conntrackOf(view, toFullMs),
    ...(ports === undefined ? {} : { ports }),
    ...(losses.length === 0 ? {} : { losses }),
    ...(comparison === undefined ? {} : { comparison }),
    agent: {
      state: view.stale ? 'Silent' : (faults[0]?.code ?? 'OK'),
      mode: view.agent.mode,
      version: bounded(view.agent.version, 64),
      kernel: bounded(view.agent.kernel, 128),
      memory: `${Math.round(view.health.rssBytes / MEBIBYTE)}Mi`,
    },
    problems: view.conditions
      .slice(0, NODE_REPORT_LIMITS.problems)
      .map(({ code, message, hint }) => ({ code, message: bounded(message), hint: bounded(hint) })),
    conditions,
  };
}

/** The report of a node that no agent speaks for: as it was, and that it is old. */
export function silentNodeStatus(before: NodeTcpReportStatus, nowMs: number): NodeTcpReportStatus {
  const lastMs = Date.parse(before.observedAt);
  const others = before.conditions.filter(({ type }) => type !== 'AgentReporting');
  return {
    ...before,
    agent: { ...before.agent, state: 'Silent' },
    conditions: [reporting(before.conditions, true, lastMs, nowMs), ...others],
  };
}

function reporting(
  before: readonly StatusCondition[] | undefined,
  silent: boolean,
  lastMs: number,
  nowMs: number,
): StatusCondition {
  const next = silent
    ? {
        status: 'False' as const,
        reason: 'Silent',
        message: `the agent last reported at ${apiTime(lastMs)}: see whether its pod on the node runs, and its log`,
      }
    : { status: 'True' as const, reason: 'ReportsArrive', message: 'the reports of the agent arrive' };
  return nextCondition(before, { type: 'AgentReporting', ...next }, nowMs);
}

function socketCounts(states: readonly { readonly state: TcpStateName; readonly count: number }[]) {
  const counts = new Map<string, number>();
  for (const { state, count } of states) {
    const name = state === 'SYN-RECEIVED' ? 'SYN_RECEIVED' : state.replaceAll('-', '_');
    counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return {
    established: counts.get('ESTABLISHED') ?? 0,
    timeWait: counts.get('TIME_WAIT') ?? 0,
    closeWait: counts.get('CLOSE_WAIT') ?? 0,
    states: sorted([...counts].map(([state, count]) => ({ state, count }))),
  };
}

function sorted(counts: StateCount[]): StateCount[] {
  return counts.sort((a, b) => b.count - a.count || (a.state < b.state ? -1 : 1));
}

function conntrackOf(
  { conntrack }: NodeView,
  toFullMs: number | undefined,
): NonNullable<NodeTcpReportStatus['conntrack']> {
  if (conntrack === undefined) return { state: 'Unreadable' };
  const { status, count, max, states } = conntrack;
  return {
    state: status === 'on' ? 'On' : 'Idle',
    count,
    max,
    ...(max === 0 ? {} : { fill: `${Math.round((100 * count) / max)}%` }),
    ...(toFullMs === undefined ? {} : { timeToFull: spanText(toFullMs) }),
    states: sorted(conntrackStates(states)),
  };
}

/** Each state once, for the list is a map to the API server. */
function conntrackStates(states: readonly StateCount[]): StateCount[] {
  const counts = new Map<string, number>();
  for (const { state, count } of states) {
    const name = bounded(state, NODE_REPORT_LIMITS.conntrackState);
    counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return [...counts].slice(0, NODE_REPORT_LIMITS.conntrackStates).map(([state, count]) => ({ state, count }));
}

/** Undefined when the table does not grow, or is not full within a day. */
function timeToFullMs({ view, growthPerMinute = 0 }: NodeReportInput): number | undefined {
  if (view.conntrack === undefined || growthPerMinute <= 0 || view.conntrack.max === 0) return undefined;
  const ms = ((view.conntrack.max - view.conntrack.count) / growthPerMinute) * 60_000;
  return ms > DAY_MS ? undefined : Math.max(0, ms);
}

type Judgement = Pick<StatusCondition, 'status' | 'reason' | 'message'>;

/** What keeps an agent from seeing what its mode allows; the rest is told among the problems. */
function faultsOf({ conditions, agent }: NodeView): Condition[] {
  const expected = [
    ...NO_FAULT,
    ...(agent.mode === 'inspect' ? [] : NO_FAULT_OUTSIDE_INSPECT),
    ...(agent.mode === 'observe' ? NO_FAULT_IN_OBSERVE : []),
  ];
  return conditions.filter(({ code }) => !expected.some((known) => known === code));
}

function healthOf(faults: readonly Condition[]): Judgement {
  const [first] = faults;
  if (first === undefined) {
    return { status: 'True', reason: 'SeesAll', message: 'the agent sees all that its mode allows' };
  }
  const more = faults.length === 1 ? '' : ` (and ${faults.length - 1} more, see the problems)`;
  return {
    status: 'False',
    reason: camelCase(first.code),
    message: `${first.message}${more}: ${first.hint}`,
  };
}

function camelCase(code: string): string {
  return code.toLowerCase().replaceAll(/(?:^|_+)([a-z0-9]?)/g, (_, letter: string) => letter.toUpperCase());
}

function roomOf({ view, policy, growthPerMinute }: NodeReportInput, toFullMs: number | undefined): Judgement {
  const { conntrack } = view;
  if (conntrack === undefined || conntrack.max === 0) {
    return {
      status: 'Unknown',
      reason: 'Unreadable',
      message: 'the conntrack table cannot be read: see the problems',
    };
  }
  const { count, max } = conntrack;
  const percent = (100 * count) / max;
  const full = `${count} of ${max} entries are used (${Math.round(percent)}%)`;
  if (percent >= policy.conntrack.problemPercent) {
    return {
      status: 'False',
      reason: 'NearlyFull',
      message: `${full}: when the table is full, new connections are dropped; find who makes the most, or raise nf_conntrack_max and the buckets with it`,
    };
  }
  if (toFullMs !== undefined && toFullMs <= policy.conntrack.problemTimeToFullMs) {
    return {
      status: 'False',
      reason: 'FillsUp',
      message: `${full}, ${Math.round(growthPerMinute ?? 0)} more each minute: full in ${spanText(toFullMs)}; find who makes them`,
    };
  }
  return {
    status: 'True',
    reason: 'EnoughRoom',
    message: `${Math.round(policy.conntrack.problemPercent)}% is the limit; the table is below`,
  };
}
