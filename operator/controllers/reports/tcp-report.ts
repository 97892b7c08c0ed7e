/** What the TCPReport of a workload says. Pure. */

import type { StatusCondition } from '../../api/v1alpha1/condition.ts';
import { apiTime, bounded, nextCondition } from '../../api/v1alpha1/condition.ts';
import { spanText } from '../../api/v1alpha1/duration.ts';
import type { TcpReportGroup, TcpReportStatus } from '../../api/v1alpha1/tcp-report.ts';
import { TCP_REPORT_LIMITS } from '../../api/v1alpha1/tcp-report.ts';
import type { Holding, HoldingGroup } from './collect.ts';
import type { Policy } from './policy.ts';

/** How long the kernel keeps a connection in TIME-WAIT: TCP_TIMEWAIT_LEN of include/net/tcp.h, not settable. Seconds. */
const TIME_WAIT_SECONDS = 60;
/** Two readings of the same age differ by the time between them and the report. */
const SAME_AGE_MS = 5000;

export interface TcpReportInput {
  /** Undefined when no agent reports a closing connection of the workload. */
  readonly holding: Holding | undefined;
  readonly policy: Policy;
  readonly before: Partial<TcpReportStatus> | undefined;
  /** CLOSE-WAIT connections more (or fewer) per minute; undefined until there is enough to tell. */
  readonly growthPerMinute: number | undefined;
  readonly nowMs: number;
}

/** Whether the policy wants a report of the workload. */
export function worthTelling(holding: Holding, policy: Policy, nowMs: number): boolean {
  const { closeWait, timeWait } = policy;
  const old = holding.oldestSinceMs !== undefined && nowMs - holding.oldestSinceMs >= closeWait.reportAgeMs;
  return (holding.closeWait >= closeWait.reportCount && old) || holding.timeWait >= timeWait.reportCount;
}

export function tcpReportStatus(input: TcpReportInput): TcpReportStatus {
  const { holding, before, growthPerMinute, nowMs } = input;
  const closeWait = holding?.closeWait ?? 0;
  const timeWait = holding?.timeWait ?? 0;
  const groups = [...(holding?.groups.values() ?? [])].sort((a, b) =>
    a.state < b.state ? -1 : a.state > b.state ? 1 : b.count - a.count,
  );
  const listed = groups.slice(0, TCP_REPORT_LIMITS.groups).map(reportGroup);
  const oldestSinceMs = steady(holding?.oldestSinceMs, before?.closeWait?.oldestSince);
  const top = listed[0];
  const conditions = conditionsOf(input, top, oldestSinceMs);
  const wrong = conditions.find(({ status }) => status === 'False');
  return {
    observedAt: apiTime(nowMs),
    podCount: holding?.pods.size ?? 0,
    verdict: wrong === undefined ? 'OK' : (VERDICTS[wrong.reason] ?? wrong.reason),
    message: (wrong ?? conditions[0])?.message ?? '',
    ...(top === undefined ? {} : { topPeer: top.peer }),
    ...(top?.process === undefined ? {} : { topProcess: top.process }),
    closeWait: {
      count: closeWait,
      ...(growthPerMinute === undefined ? {} : { perMinute: signed(growthPerMinute) }),
      ...(oldestSinceMs === undefined ? {} : { oldestSince: apiTime(oldestSinceMs) }),
    },
    timeWait: { count: timeWait, perSecond: rateText(timeWait / TIME_WAIT_SECONDS) },
    pods: [...(holding?.pods ?? [])]
      .map(([name, { node, closeWait, timeWait }]) => ({ name, node, timeWait, closeWait }))
      .sort((a, b) => b.closeWait - a.closeWait || b.timeWait - a.timeWait || (a.name < b.name ? -1 : 1))
      .slice(0, TCP_REPORT_LIMITS.pods),
    groups: listed,
    foldedConnections: Math.max(0, closeWait + timeWait - listed.reduce((sum, { count }) => sum + count, 0)),
    conditions,
  };
}

const VERDICTS: Readonly<Record<string, string>> = {
  CloseWaitPilesUp: 'CLOSE_WAIT piles up',
  ManyTimeWait: 'many TIME_WAIT',
};

function conditionsOf(
  { holding, policy, before, nowMs }: TcpReportInput,
  top: TcpReportGroup | undefined,
  oldestSinceMs: number | undefined,
): StatusCondition[] {
  const closeWait = holding?.closeWait ?? 0;
  const timeWait = holding?.timeWait ?? 0;
  const ageMs = oldestSinceMs === undefined ? 0 : nowMs - oldestSinceMs;
  const piles = closeWait >= policy.closeWait.problemCount && ageMs >= policy.closeWait.problemAgeMs;
  const many = timeWait >= policy.timeWait.noticeCount;
  const since = oldestSinceMs === undefined ? '' : `, the oldest since ${apiTime(oldestSinceMs)}`;
  const held = `${closeWait} connections closed by the peer wait for the workload to close them${since}`;
  return [
    nextCondition(
      before?.conditions,
      {
        type: 'ClosesConnections',
        status: piles ? 'False' : 'True',
        reason: piles ? 'CloseWaitPilesUp' : closeWait > 0 ? 'BelowThreshold' : 'NoneWaits',
        message: piles
          ? `${held}${holderText(top)}: the program does not close what it no longer needs; the peer's side is done`
          : closeWait > 0
            ? `${held}; it is a problem from ${policy.closeWait.problemCount} on that are ${spanText(policy.closeWait.problemAgeMs)} old`
            : 'no connection waits for the workload to close it',
      },
      nowMs,
    ),
    nextCondition(
      before?.conditions,
      {
        type: 'TimeWaitModerate',
        status: many ? 'False' : 'True',
        reason: many ? 'ManyTimeWait' : 'BelowThreshold',
        message: many
          ? `${timeWait} connections in TIME_WAIT: the workload opens and closes about ${rateText(timeWait / TIME_WAIT_SECONDS)} connections per second; no fault by itself, but ports towards one peer may run out: keep connections open and use them again`
          : `${timeWait} connections in TIME_WAIT, which is no fault`,
      },
      nowMs,
    ),
  ];
}

function holderText(top: TcpReportGroup | undefined): string {
  if (top === undefined || top.state !== 'CLOSE_WAIT') return '';
  const who = top.process === undefined ? '' : `, most by ${top.process}`;
  const where = top.container === undefined ? '' : ` in container ${top.container}`;
  return `${who}${where} towards ${top.peer}`;
}

function reportGroup(group: HoldingGroup): TcpReportGroup {
  const { state, count, direction, port, process, container } = group;
  const host = group.peer.includes(':') ? `[${group.peer}]` : group.peer;
  return {
    state: state === 'CLOSE-WAIT' ? 'CLOSE_WAIT' : 'TIME_WAIT',
    count,
    direction,
    peer: bounded(direction === 'outbound' ? `${host}:${port}` : group.peer, TCP_REPORT_LIMITS.peer),
    port,
    ...(process === undefined ? {} : { process: bounded(process, TCP_REPORT_LIMITS.process) }),
    ...(container === undefined ? {} : { container }),
  };
}

/** The time written before, when the new reading means the same. */
function steady(ms: number | undefined, written: string | undefined): number | undefined {
  const before = written === undefined ? Number.NaN : Date.parse(written);
  return ms !== undefined && Math.abs(ms - before) <= SAME_AGE_MS ? before : ms;
}

function signed(perMinute: number): string {
  const text = rateText(Math.abs(perMinute));
  return text === '0' ? '0' : `${perMinute < 0 ? '-' : '+'}${text}`;
}

function rateText(rate: number): string {
  return rate >= 10 ? String(Math.round(rate)) : String(Number(rate.toFixed(1)));
}
