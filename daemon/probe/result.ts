/** A probe's result out of what was recorded of it. */

import type { Endpoint, Phase, ProbeResult, ProbeTarget, SynOptions } from '#contract';
import type { IpAddress } from '../wire/address.ts';
import type { Recorder } from './recorder.ts';
import { sentenceOf } from './sentence.ts';
import type { ProbedVerdict, ProbeFacts } from './verdict.ts';
import { exchangeFailed } from './verdict.ts';

/** One probe of one address. */
export interface Probe {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly target: ProbeTarget;
  readonly address: IpAddress;
  /** When the host's name was resolved, Unix time; absent when it is an address. */
  readonly resolved?: { readonly fromUs: number; readonly toUs: number };
}

/** What the end of a connection left. */
export interface ConnectionEnd {
  readonly local: Endpoint;
  /** Unix time of offset 0. */
  readonly startUs: number;
  readonly retransmits: ProbeResult['retransmits'];
  readonly rttUs: number | undefined;
  readonly tainted: string | undefined;
}

const NO_OPTIONS: SynOptions = { sackPermitted: false, timestamps: false };

export function probeResult(
  probe: Probe,
  verdict: ProbedVerdict,
  facts: ProbeFacts,
  recorder: Recorder,
  end: ConnectionEnd,
): ProbeResult {
  const { hops } = facts;
  return {
    ...identity(probe),
    local: end.local,
    startUs: end.startUs,
    verdict,
    sentence: sentenceOf(verdict, facts),
    phases: phasesOf(probe, facts, end.startUs),
    steps: recorder.steps,
    segments: recorder.segments,
    segmentsFolded: recorder.folded,
    options: { offered: recorder.offered ?? NO_OPTIONS, accepted: recorder.accepted ?? null },
    // The engine counts the SYN-ACK of a simultaneous open as the SYN again.
    retransmits: { ...end.retransmits, syn: Math.max(0, facts.synsSent - 1) },
    ...(end.rttUs === undefined ? {} : { rttUs: end.rttUs }),
    ...(recorder.handshakeNetUs === undefined ? {} : { handshakeNetUs: recorder.handshakeNetUs }),
    ...(hops === undefined ? {} : { hops }),
    ...(end.tainted === undefined ? {} : { tainted: end.tainted }),
  };
}

/**
 * The result of a probe that sent nothing: `unreachable`, because this machine has no way to the target,
 * `forbidden`, because the agent may not probe it, or `aborted`, because the engine could not begin.
 */
export function resultWithoutProbe(
  probe: Probe,
  verdict: 'unreachable' | 'forbidden' | 'aborted',
  sentence: string,
  startUs: number,
): ProbeResult {
  const address = probe.address.family === 4 ? '0.0.0.0' : '::';
  return {
    ...identity(probe),
    local: { address, port: 0 },
    startUs,
    verdict,
    sentence,
    phases: resolvePhase(probe, startUs),
    steps: {},
    segments: [],
    segmentsFolded: 0,
    options: { offered: NO_OPTIONS, accepted: null },
    retransmits: { syn: 0, data: 0, fin: 0 },
  };
}

function identity({ id, target, address }: Probe) {
  const { name, host, port, origin, ref, once } = target;
  return {
    id,
    target: {
      name,
      host,
      port,
      origin,
      ...(ref === undefined ? {} : { ref }),
      ...(once === undefined ? {} : { once }),
    },
    family: address.family,
    remote: { address: address.text, port },
  };
}

function resolvePhase({ resolved }: Probe, startUs: number): Phase[] {
  if (resolved === undefined) return [];
  // The two clocks are read in different threads; a phase before the start never ends after it.
  const toUs = Math.min(0, Math.round(resolved.toUs - startUs));
  return [{ name: 'resolve', fromUs: Math.min(toUs, Math.round(resolved.fromUs - startUs)), toUs, ok: true }];
}

/** The phases the probe came to. Each begins where the one before ended. */
function phasesOf(probe: Probe, facts: ProbeFacts, startUs: number): Phase[] {
  const { steps, endUs } = facts;
  const phases = resolvePhase(probe, startUs);
  const established = steps.ackSentUs;
  phases.push({ name: 'handshake', fromUs: 0, toUs: established ?? endUs, ok: established !== undefined });
  if (established === undefined) return phases;
  let closeFrom = established;
  if (facts.withRequest) {
    const ok = !exchangeFailed(facts);
    closeFrom = steps.firstByteUs ?? steps.finSentUs ?? endUs;
    phases.push({ name: 'exchange', fromUs: established, toUs: Math.max(established, closeFrom), ok });
  }
  if (steps.finSentUs === undefined) return phases;
  const done = steps.finAckedUs !== undefined && steps.lastAckSentUs !== undefined;
  const toUs = done ? Math.max(steps.finAckedUs ?? 0, steps.lastAckSentUs ?? 0) : endUs;
  phases.push({ name: 'close', fromUs: Math.min(closeFrom, toUs), toUs, ok: done });
  return phases;
}

/** Systems start with a TTL of 64, 128 or 255; what is missing to the next of them are hops. */
export function hopsOf(ttl: number): number {
  return (ttl <= 64 ? 64 : ttl <= 128 ? 128 : 255) - ttl;
}
