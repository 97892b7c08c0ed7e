/** Conditions in the status of custom resources, as metav1.Condition has them. */

export interface StatusCondition {
  /** PascalCase, of positive polarity: True is well. */
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  /** CamelCase, for programs. */
  readonly reason: string;
  readonly message: string;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
  /** Generation of the spec that this is about; absent for objects without a spec of the user's. */
  readonly observedGeneration?: number;
}

/** Longest message the schemas allow. */
const MESSAGE_LENGTH = 1024;

/** Shortens text to what a schema allows, with an ellipsis for what is missing. Halves of characters become U+FFFD. */
export function bounded(text: string, length: number = MESSAGE_LENGTH): string {
  return (text.length <= length ? text : `${text.slice(0, length - 1)}…`).toWellFormed();
}

/**
 * The condition as it follows on `before`: the time of transition moves only when the status does.
 * @param before the object's conditions until now
 */
export function nextCondition(
  before: readonly StatusCondition[] | undefined,
  next: Omit<StatusCondition, 'lastTransitionTime'>,
  nowMs: number,
): StatusCondition {
  const previous = before?.find(({ type }) => type === next.type);
  const same = previous?.status === next.status;
  return {
    ...next,
    message: bounded(next.message),
    lastTransitionTime: same ? previous.lastTransitionTime : apiTime(nowMs),
  };
}

/** The last second of the year 9999: RFC 3339 has no later ones. */
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59);

/** A time as metav1.Time has it: RFC 3339 in whole seconds. What a clock or an age cannot be is cut off. */
export function apiTime(ms: number): string {
  return `${new Date(Math.min(Math.max(0, ms), LAST_MS)).toISOString().slice(0, 19)}Z`;
}
