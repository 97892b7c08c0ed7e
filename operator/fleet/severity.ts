/** Which probe results a person wants to see first. */

import type { ProbeResult, Verdict } from '#contract';

/** Worst first: no answer and wrong answers before slow and odd ones; a plain refusal is often meant. */
const WORST_FIRST: Readonly<Record<Verdict, number>> = {
  filtered: 0,
  'accept-queue-full': 1,
  'wrong-source': 2,
  'stale-time-wait': 3,
  rejected: 4,
  'reset-in-exchange': 5,
  'closed-in-exchange': 6,
  'exchange-timeout': 7,
  'close-unanswered': 8,
  'half-closed': 9,
  'reset-on-close': 10,
  unreachable: 11,
  refused: 12,
  forbidden: 13,
  aborted: 14,
  open: 15,
};

/** Smaller is worse; a word that is no verdict is as bad as the worst. */
export function severityOf(verdict: string): number {
  return WORST_FIRST[verdict as Verdict] ?? 0;
}

/** Orders by verdict, then the slower handshake first, then by name, so that equals keep their place. */
export function worstFirst(a: ProbeResult, b: ProbeResult): number {
  return (
    WORST_FIRST[a.verdict] - WORST_FIRST[b.verdict] ||
    (handshakeDurationUs(b) ?? 0) - (handshakeDurationUs(a) ?? 0) ||
    (a.target.name < b.target.name ? -1 : a.target.name > b.target.name ? 1 : 0)
  );
}

/** How long the handshake took, or how long it was waited for; undefined when no SYN was sent. */
export function handshakeDurationUs(result: ProbeResult): number | undefined {
  const phase = result.phases.find(({ name }) => name === 'handshake');
  return phase === undefined ? undefined : Math.max(0, phase.toUs - phase.fromUs);
}
