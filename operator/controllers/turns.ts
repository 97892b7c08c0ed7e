import type { StatusCondition } from '../api/v1alpha1/condition.ts';

/** Conditions that became false, or true again. What was never judged before and is well is no turn. */
export function turnsOf(
  before: readonly StatusCondition[] | undefined,
  now: readonly StatusCondition[],
): StatusCondition[] {
  return now.filter(({ type, status }) => {
    const previous = before?.find((condition) => condition.type === type)?.status ?? 'True';
    return (status === 'False' || previous === 'False') && status !== previous;
  });
}
