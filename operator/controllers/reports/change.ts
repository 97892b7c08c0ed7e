/** Whether a report changed so that a reader would notice, and so is worth a write. Pure. */

import type { StatusCondition } from '../../api/v1alpha1/condition.ts';

/** A figure is noticed when it moved by so much, in parts of what was written, and by more than a few. */
const NOTICED_SHARE = 0.1;
const NOTICED_COUNT = 2;
/** Figures are written at most so often; */
const FIGURES_EVERY_MS = 10_000;
/** what nobody would notice, so often. */
const TRIFLES_EVERY_MS = 120_000;

export interface ReportStatus {
  readonly observedAt: string;
  readonly conditions: readonly StatusCondition[];
}

/**
 * Whether `next` is to be written over `before`: a changed judgement at once, figures soon, trifles now and then.
 * @param figures the numbers of a status that a reader looks at, always the same ones in the same order
 */
export function worthWriting<S extends ReportStatus>(
  before: S | undefined,
  next: S,
  figures: (status: S) => readonly (number | undefined)[],
  nowMs: number,
): boolean {
  if (before === undefined || judgement(before) !== judgement(next)) return true;
  const ageMs = nowMs - Date.parse(before.observedAt);
  // A time in the future is of another operator's clock: it must not silence this one.
  if (ageMs >= 0 && ageMs < FIGURES_EVERY_MS) return false;
  const written = figures(before);
  if (figures(next).some((figure, i) => noticed(written[i], figure))) return true;
  return (ageMs < 0 || ageMs >= TRIFLES_EVERY_MS) && content(before) !== content(next);
}

function judgement({ conditions }: ReportStatus): string {
  return conditions.map(({ type, status, reason }) => `${type}=${status}/${reason}`).join(' ');
}

function noticed(before: number | undefined, now: number | undefined): boolean {
  if (before === undefined || now === undefined) return before !== now;
  if ((before === 0) !== (now === 0)) return true;
  return Math.abs(now - before) > Math.max(NOTICED_COUNT, NOTICED_SHARE * before);
}

/** Everything but the time of writing, whatever the order of fields in which the API server gives it back. */
function content(status: ReportStatus): string {
  return JSON.stringify({ ...status, observedAt: '' }, (_, value: unknown) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
