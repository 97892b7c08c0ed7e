/** What was found of a probe: results as they are kept, and whether they are as expected. Pure. */

import { hostPortText } from '#base/host-port.ts';
import { latency } from '#base/latency.ts';
import type { ProbeResult, Verdict } from '#contract';
import { apiTime, bounded } from '../../api/v1alpha1/condition.ts';
import type { ExpectedVerdict, HandshakeResult } from '../../api/v1alpha1/handshake-probe.ts';
import { HANDSHAKE_PROBE_LIMITS } from '../../api/v1alpha1/handshake-probe.ts';
import { severityOf } from '../../fleet/severity.ts';

export interface Found extends HandshakeResult {
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
  const closeUs = durationUs(result, 'close');
  const saidMs = Math.floor(result.startUs / 1000);
  const resolved = remote.address !== '0.0.0.0';
  return {
    target,
    node,
    ...(resolved
      ? { address: bounded(hostPortText(remote.address, remote.port), HANDSHAKE_PROBE_LIMITS.address) }
      : {}),
    verdict,
    asExpected: asExpected(verdict, handshakeUs, expectation),
    ...(handshakeUs === undefined
      ? {}
      : { handshake: latency(handshakeUs), handshakeMicroseconds: Math.round(handshakeUs) }),
    ...(closeUs === undefined ? {} : { close: latency(closeUs), closeMicroseconds: Math.round(closeUs) }),
    retransmits: retransmits.syn + retransmits.data + retransmits.fin,
    ...(tainted === undefined ? {} : { tainted: bounded(tainted, 32) }),
    time: apiTime(saidMs),
    traceId: id,
    message: bounded(sentence, HANDSHAKE_PROBE_LIMITS.message),
    asked: hostPortText(result.target.host, result.target.port),
    saidMs,
    receivedMs,
  };
}

/** A result as the operator before this one wrote it, who received it at `receivedMs` or before. */
export function foundBefore(written: HandshakeResult, receivedMs: number): Found {
  return { ...written, asked: undefined, saidMs: Date.parse(written.time ?? '') || 0, receivedMs };
}

/** As it goes into the status. */
export function written({ asked: _a, saidMs: _s, receivedMs: _r, ...result }: Found): HandshakeResult {
  return result;
}

/** One result is kept for each target, node and address. */
export function foundKey({
  target,
  node,
  address,
}: Pick<HandshakeResult, 'target' | 'node' | 'address'>): string {
  return `${target} ${node} ${address ?? ''}`;
}

/** What is not as expected first, then by verdict, then the slower handshake. */
export function worstFirst(a: HandshakeResult, b: HandshakeResult): number {
  return (
    Number(a.asExpected) - Number(b.asExpected) ||
    severityOf(a.verdict) - severityOf(b.verdict) ||
    (b.handshakeMicroseconds ?? 0) - (a.handshakeMicroseconds ?? 0) ||
    (foundKey(a) < foundKey(b) ? -1 : 1)
  );
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
