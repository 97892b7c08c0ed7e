/** What was found of a probe: results as they are kept, and whether they are as expected. Pure. */

import { hostPortText } from '#base/host-port.ts';
import { latency } from '#base/latency.ts';
import type { ProbeResult, Verdict } from '#contract';
import { apiTime, bounded } from '../../api/v1alpha1/condition.ts';
import type { ExpectedVerdict, HandshakeResult } from '../../api/v1alpha1/handshake-probe.ts';
import { HANDSHAKE_PROBE_LIMITS } from '../../api/v1alpha1/handshake-probe.ts';
import { severityOf } from '../../fleet/severity.ts';

/** There may be a million of them: what can be made of the rest is made when it is written. */
export interface Found {
  /** Name of the target in the probe. */
  readonly target: string;
  readonly node: string;
  /** `ADDRESS:PORT`; undefined where a name did not resolve. */
  readonly address: string | undefined;
  readonly verdict: Verdict;
  readonly asExpected: boolean;
  /** Of a handshake that succeeded. */
  readonly handshakeUs: number | undefined;
  readonly closeUs: number | undefined;
  readonly retransmits: number;
  readonly tainted: string | undefined;
  readonly traceId: string | undefined;
  readonly message: string;
  /** `HOST:PORT` that was asked for; undefined of a result that an operator before this one wrote into the status. */
  readonly asked: string | undefined;
  /** When it was measured, as its agent says: clocks of nodes may be wrong, so this orders its own results and no more. */
  readonly saidMs: number;
  /** When it came, by the clock of the operator: from then on it ages. */
  readonly receivedMs: number;
}

/** Of which target, from which node and when a result came. */
export interface Origin {
  /** Name of the target in the probe. */
  readonly target: string;
  readonly node: string;
  readonly receivedMs: number;
}

export interface Expectation {
  readonly verdict: ExpectedVerdict;
  readonly handshakeWithinUs: number | undefined;
}

export function foundOf(
  result: ProbeResult,
  { target, node, receivedMs }: Origin,
  expectation: Expectation,
): Found {
  const { verdict, remote, retransmits, tainted, id, sentence } = result;
  const handshakeUs = durationUs(result, 'handshake');
  const resolved = remote.address !== '0.0.0.0';
  const address = bounded(hostPortText(remote.address, remote.port), HANDSHAKE_PROBE_LIMITS.address);
  return {
    target,
    node,
    address: resolved ? address : undefined,
    verdict,
    asExpected: asExpected(verdict, handshakeUs, expectation),
    handshakeUs,
    closeUs: durationUs(result, 'close'),
    retransmits: retransmits.syn + retransmits.data + retransmits.fin,
    tainted: tainted === undefined ? undefined : bounded(tainted, HANDSHAKE_PROBE_LIMITS.tainted),
    traceId: id,
    message: bounded(sentence, HANDSHAKE_PROBE_LIMITS.message),
    asked: hostPortText(result.target.host, result.target.port),
    saidMs: Math.floor(result.startUs / 1000),
    receivedMs,
  };
}

/** A result as the operator before this one wrote it, who received it at `receivedMs` or before. */
export function foundBefore(result: HandshakeResult, receivedMs: number): Found {
  const { target, node, address, asExpected, handshakeMicroseconds, closeMicroseconds } = result;
  return {
    target,
    node,
    address,
    verdict: result.verdict as Verdict,
    asExpected,
    handshakeUs: handshakeMicroseconds,
    closeUs: closeMicroseconds,
    retransmits: result.retransmits ?? 0,
    tainted: result.tainted,
    traceId: result.traceId,
    message: result.message ?? '',
    asked: undefined,
    saidMs: Date.parse(result.time ?? '') || 0,
    receivedMs,
  };
}

/** As it goes into the status. */
export function written(found: Found): HandshakeResult {
  const { target, node, address, verdict, asExpected, handshakeUs, closeUs, tainted, traceId } = found;
  return {
    target,
    node,
    ...(address === undefined ? {} : { address }),
    verdict,
    asExpected,
    ...(handshakeUs === undefined
      ? {}
      : { handshake: latency(handshakeUs), handshakeMicroseconds: Math.round(handshakeUs) }),
    ...(closeUs === undefined ? {} : { close: latency(closeUs), closeMicroseconds: Math.round(closeUs) }),
    retransmits: found.retransmits,
    ...(tainted === undefined ? {} : { tainted }),
    time: apiTime(found.saidMs),
    ...(traceId === undefined ? {} : { traceId }),
    message: found.message,
  };
}

/** What is not as expected first, then by verdict, then the slower handshake. */
export function worstFirst(a: Found, b: Found): number {
  return (
    Number(a.asExpected) - Number(b.asExpected) ||
    severityOf(a.verdict) - severityOf(b.verdict) ||
    (b.handshakeUs ?? 0) - (a.handshakeUs ?? 0) ||
    inOrder(a.target, b.target) ||
    inOrder(a.node, b.node) ||
    inOrder(a.address ?? '', b.address ?? '')
  );
}

function inOrder(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const DENIED: Readonly<Record<Exclude<ExpectedVerdict, 'Open'>, readonly Verdict[]>> = {
  Denied: ['refused', 'filtered', 'rejected'],
  Refused: ['refused'],
  Filtered: ['filtered'],
  Rejected: ['rejected'],
};

function asExpected(verdict: Verdict, handshakeUs: number | undefined, expectation: Expectation): boolean {
  if (expectation.verdict !== 'Open') return DENIED[expectation.verdict].includes(verdict);
  const { handshakeWithinUs = Number.POSITIVE_INFINITY } = expectation;
  return verdict === 'open' && (handshakeUs ?? 0) <= handshakeWithinUs;
}

function durationUs({ phases }: ProbeResult, name: 'handshake' | 'close'): number | undefined {
  const phase = phases.find((each) => each.name === name);
  return phase?.ok === true ? Math.max(0, phase.toUs - phase.fromUs) : undefined;
}
