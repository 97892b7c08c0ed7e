/** What the status of a HandshakeProbe says. Pure. */

import { latency } from '#base/latency.ts';
import type { Verdict } from '#contract';
import type { StatusCondition } from '../../api/v1alpha1/condition.ts';
import { apiTime, bounded, nextCondition } from '../../api/v1alpha1/condition.ts';
import { spanText } from '../../api/v1alpha1/duration.ts';
import type { HandshakeProbeStatus, HandshakeTarget } from '../../api/v1alpha1/handshake-probe.ts';
import { HANDSHAKE_PROBE_LIMITS } from '../../api/v1alpha1/handshake-probe.ts';
import { firstBy } from './first-by.ts';
import type { Found } from './found.ts';
import { worstFirst, written } from './found.ts';
import type { Fault } from './places.ts';
import type { ProbeRecord } from './probe-record.ts';

export interface Observed {
  readonly probe: ProbeRecord;
  readonly faults: readonly Fault[];
  /** How many nodes are to probe. */
  readonly nodes: number;
  /** Places and nodes that are to answer. */
  readonly wanted: number;
  /** Names of the nodes that have not answered for all places. */
  readonly missing: readonly string[];
  readonly whyMissing: (node: string) => string;
  readonly found: readonly Found[];
  /** Targets that nodes have no room for. */
  readonly leftOut: number;
  /** Since when this generation runs. */
  readonly sinceMs: number;
  readonly before: HandshakeProbeStatus | undefined;
  readonly nowMs: number;
}

/** After the limits of a probe there is so much time more for reports to come. */
const GRACE_MS = 30_000;

/** When a probe is no longer waited for. Milliseconds since its run began. */
export function patienceMs({ limits, intervalMs, once }: ProbeRecord): number {
  const { connectMs, exchangeMs, closeMs } = limits;
  return connectMs + exchangeMs + closeMs + GRACE_MS + (once ? 0 : intervalMs);
}

export function probeStatus(observed: Observed): HandshakeProbeStatus {
  const { probe, nodes, wanted, nowMs } = observed;
  const { found } = observed;
  const listed = firstBy(found, HANDSHAKE_PROBE_LIMITS.results, worstFirst);
  const newestMs = found.reduce((newest, { receivedMs }) => Math.max(newest, receivedMs), 0);
  const handshake = median(found.map(({ handshakeUs }) => handshakeUs));
  const close = median(found.map(({ closeUs }) => closeUs));
  const judgements = judge(observed);
  const conditions = judgements.map((judgement) =>
    nextCondition(observed.before?.conditions, { ...judgement, observedGeneration: probe.generation }, nowMs),
  );
  return {
    observedGeneration: probe.generation,
    targets: targetsText(probe.targets),
    result: resultText(observed),
    expected: `${found.reduce((sum, { asExpected }) => sum + Number(asExpected), 0)}/${Math.max(wanted, found.length)}`,
    ...(handshake === undefined ? {} : { handshake: latency(handshake) }),
    ...(close === undefined ? {} : { close: latency(close) }),
    retransmits: found.reduce((sum, { retransmits }) => sum + retransmits, 0),
    nodes,
    ...(newestMs === 0 ? {} : { lastProbeTime: apiTime(newestMs) }),
    message: bounded(
      judgements.find(({ status }) => status !== 'True')?.message ?? judgements.at(-1)?.message ?? '',
    ),
    results: listed.map(written),
    foldedResults: found.length - listed.length,
    conditions,
  };
}

type Judgement = Pick<StatusCondition, 'type' | 'status' | 'reason' | 'message'>;

function judge(observed: Observed): Judgement[] {
  const accepted = acceptance(observed);
  if (!observed.probe.once) return [accepted, readiness(observed)];
  return [accepted, ...outcome(observed)];
}

function acceptance({ faults, nodes, leftOut, probe }: Observed): Judgement {
  const is = (status: 'True' | 'False', reason: string, message: string) => ({
    type: 'Accepted',
    status,
    reason,
    message,
  });
  const [first] = faults;
  if (first !== undefined) {
    const more = faults.length === 1 ? '' : ` (and ${faults.length - 1} more)`;
    return is('False', first.reason, `${first.message}${more}`);
  }
  if (nodes === 0) return is('False', 'NoNodes', 'no node of the cluster is chosen by spec.nodes');
  if (leftOut > 0) {
    const many = `${leftOut} targets are left out: their nodes have as many as they can probe`;
    return is('False', 'TooManyTargets', `${many}; use fewer probes, targets or nodes`);
  }
  if (probe.suspend) return is('True', 'Suspended', 'the probe can run and is suspended');
  return is('True', 'Running', 'the nodes are told to probe');
}

function readiness(observed: Observed): Judgement {
  const { probe, found, missing, nowMs, sinceMs } = observed;
  const is = (status: StatusCondition['status'], reason: string, message: string) => ({
    type: 'Ready',
    status,
    reason,
    message,
  });
  if (probe.suspend)
    return is('Unknown', 'Suspended', 'the probe is suspended: set spec.suspend to false to go on');
  const unexpected = firstUnexpected(found);
  if (unexpected !== undefined) return is('False', 'UnexpectedResult', resultSentence(unexpected));
  const impatient = nowMs - sinceMs > patienceMs(probe);
  if (missing.length > 0 && impatient) return is('False', 'NoAnswer', missingText(observed));
  if (missing.length > 0 || found.length === 0) return is('Unknown', 'Waiting', missingText(observed));
  return is('True', 'AsExpected', `all ${found.length} results are as expected`);
}

/** Of a probe that runs once. */
function outcome(observed: Observed): Judgement[] {
  const { probe, found, missing, faults, nowMs, sinceMs } = observed;
  const complete = (status: 'True' | 'False', reason: string, message: string) => ({
    type: 'Complete',
    status,
    reason,
    message,
  });
  const succeeded = (status: StatusCondition['status'], reason: string, message: string) => ({
    type: 'Succeeded',
    status,
    reason,
    message,
  });
  const open = missing.length > 0 || faults.length > 0 || found.length === 0;
  if (probe.suspend && open) {
    const text = 'the probe is suspended: set spec.suspend to false to run it';
    return [complete('False', 'Suspended', text), succeeded('Unknown', 'Suspended', text)];
  }
  const late = nowMs - sinceMs > patienceMs(probe);
  if (open && !late) {
    const text = missingText(observed);
    return [complete('False', 'Running', text), succeeded('Unknown', 'Running', text)];
  }
  const done = open
    ? complete('True', 'DeadlineExceeded', `not all had answered after ${spanText(patienceMs(probe))}`)
    : complete('True', 'AllAnswered', `all ${found.length} results are there`);
  const unexpected = firstUnexpected(found);
  if (unexpected !== undefined)
    return [done, succeeded('False', 'UnexpectedResult', resultSentence(unexpected))];
  const [fault] = faults;
  if (fault !== undefined) return [done, succeeded('False', fault.reason, fault.message)];
  if (open) return [done, succeeded('False', 'NoAnswer', missingText(observed))];
  return [done, succeeded('True', 'AsExpected', `all ${found.length} results are as expected`)];
}

/** A tainted sample accuses nobody. */
function firstUnexpected(found: readonly Found[]): Found | undefined {
  const accusing = found.filter(({ asExpected, tainted }) => !asExpected && tainted === undefined);
  return firstBy(accusing, 1, worstFirst)[0];
}

function resultSentence({ node, target, message }: Found): string {
  return `from ${node}, target ${target}: ${message}`;
}

const NAMED = 3;

function missingText({ missing, whyMissing }: Observed): string {
  if (missing.length === 0) return 'no result has come yet';
  const first = firstBy(missing, NAMED, (a, b) => (a < b ? -1 : 1));
  const named = first.map((node) => `${node} (${whyMissing(node)})`);
  const more = missing.length > NAMED ? ` and ${missing.length - NAMED} more` : '';
  return `no answer yet from ${named.join(', ')}${more}`;
}

function resultText(observed: Observed): string {
  const counts = new Map<Verdict, { worst: Found; count: number }>();
  for (const each of observed.found) {
    const of = counts.get(each.verdict);
    if (of === undefined) {
      counts.set(each.verdict, { worst: each, count: 1 });
      continue;
    }
    of.count++;
    if (!each.asExpected && of.worst.asExpected) of.worst = each;
  }
  const [first] = observed.faults;
  const words = [...counts]
    .sort(([, a], [, b]) => worstFirst(a.worst, b.worst))
    .map(([verdict, { count }]) => (counts.size === 1 ? verdict : `${count} ${verdict}`));
  if (words.length > 0) return bounded(words.join(', '), HANDSHAKE_PROBE_LIMITS.resultText);
  return observed.probe.suspend ? 'Suspended' : (first?.reason ?? 'Waiting');
}

function targetsText(targets: readonly HandshakeTarget[]): string {
  const [first] = targets;
  if (first === undefined) return '';
  const { address, host, service, port } = first;
  const place = address === undefined ? (host ?? `svc/${service?.name ?? ''}`) : address;
  const text = `${place.includes(':') ? `[${place}]` : place}:${port}`;
  return bounded(
    targets.length === 1 ? text : `${text} +${targets.length - 1}`,
    HANDSHAKE_PROBE_LIMITS.targetsText,
  );
}

function median(values: readonly (number | undefined)[]): number | undefined {
  const sorted = Float64Array.from(values.filter((value) => value !== undefined)).sort();
  return sorted[Math.floor(sorted.length / 2)];
}
