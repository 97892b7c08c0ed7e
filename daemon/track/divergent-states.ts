/** What diverges, counted by state and age as it is found, with the oldest of each state: nothing else of it is kept. */

import type { DivergentAges, DivergentSample, DivergentState } from '#contract';
import { PRESSURE_LIMITS } from '#contract';

const MINUTE_MS = 60_000;
const KEPT_LONG_MS = 10 * MINUTE_MS;

interface Counted {
  count: number;
  readonly ages: { -readonly [Age in keyof DivergentAges]: number };
  /** Undefined of what has no timeout. */
  keptLong: number | undefined;
  /** The oldest first. */
  readonly samples: DivergentSample[];
}

export class DivergentStates {
  count = 0;
  readonly #states = new Map<string, Counted>();

  /** @param ends is asked for only of what becomes a sample */
  add(
    state: string,
    times: Pick<DivergentSample, 'ageMs' | 'ageBasis' | 'timeoutMs'>,
    ends: () => Pick<DivergentSample, 'local' | 'peer'>,
  ): void {
    const { ageMs, timeoutMs } = times;
    const counted = this.#of(state);
    this.count++;
    counted.count++;
    counted.ages[ageOf(times)]++;
    if (timeoutMs !== undefined) {
      counted.keptLong = (counted.keptLong ?? 0) + (timeoutMs > KEPT_LONG_MS ? 1 : 0);
    }
    const { samples } = counted;
    const younger = samples.findIndex((sample) => sample.ageMs < ageMs);
    const at = younger < 0 ? samples.length : younger;
    if (at >= PRESSURE_LIMITS.divergentSamples) return;
    samples.splice(at, 0, { ...ends(), ...times });
    samples.length = Math.min(samples.length, PRESSURE_LIMITS.divergentSamples);
  }

  /** The state with most first. */
  told(): DivergentState[] {
    return [...this.#states]
      .sort(([, a], [, b]) => b.count - a.count)
      .map(([state, { keptLong, ...counted }]) => ({
        state,
        ...counted,
        ...(keptLong === undefined ? {} : { keptLong }),
      }));
  }

  #of(state: string): Counted {
    let counted = this.#states.get(state);
    if (counted === undefined) {
      const ages = { underMinute: 0, underTenMinutes: 0, underHour: 0, older: 0, unknown: 0 };
      counted = { count: 0, ages, keptLong: undefined, samples: [] };
      this.#states.set(state, counted);
    }
    return counted;
  }
}

function ageOf({ ageMs, ageBasis }: Pick<DivergentSample, 'ageMs' | 'ageBasis'>): keyof DivergentAges {
  if (ageMs >= 60 * MINUTE_MS) return 'older';
  if (ageBasis === 'at-least') return 'unknown';
  if (ageMs < MINUTE_MS) return 'underMinute';
  return ageMs < 10 * MINUTE_MS ? 'underTenMinutes' : 'underHour';
}
