/** What diverges, counted by state and age, with the oldest of each state. */

import type { DivergentAges, DivergentSample, DivergentState } from '#contract';
import { PRESSURE_LIMITS } from '#contract';

export interface Divergent extends DivergentSample {
  readonly state: string;
}

const MINUTE_MS = 60_000;
const KEPT_LONG_MS = 10 * MINUTE_MS;

/** The state with most first. */
export function divergentStates(all: readonly Divergent[]): DivergentState[] {
  const states = new Map<string, Divergent[]>();
  for (const divergent of all) {
    const others = states.get(divergent.state);
    if (others === undefined) states.set(divergent.state, [divergent]);
    else others.push(divergent);
  }
  return [...states]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([state, members]) => ({
      state,
      count: members.length,
      ages: agesOf(members),
      ...keptLong(members),
      samples: members
        .sort((a, b) => b.ageMs - a.ageMs)
        .slice(0, PRESSURE_LIMITS.divergentSamples)
        .map(({ state: _, ...sample }) => sample),
    }));
}

function agesOf(members: readonly Divergent[]): DivergentAges {
  const ages = { underMinute: 0, underTenMinutes: 0, underHour: 0, older: 0 };
  for (const { ageMs } of members) {
    if (ageMs < MINUTE_MS) ages.underMinute++;
    else if (ageMs < 10 * MINUTE_MS) ages.underTenMinutes++;
    else if (ageMs < 60 * MINUTE_MS) ages.underHour++;
    else ages.older++;
  }
  return ages;
}

function keptLong(members: readonly Divergent[]): { keptLong?: number } {
  if (members[0]?.timeoutMs === undefined) return {};
  return { keptLong: members.filter(({ timeoutMs = 0 }) => timeoutMs > KEPT_LONG_MS).length };
}
