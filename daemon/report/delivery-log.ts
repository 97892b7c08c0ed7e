/** How pushes go, told once and not each time: log lines at the turns, counters, and the condition that stands. */

import type { Condition } from '#base/errors.ts';
import type { Logger, LogLevel } from '#base/log.ts';
import type { PushOutcome } from './push.ts';
import type { SpoolEntry } from './spool-index.ts';

/** While the same fault stands it is told again so often, and another fault no sooner than that. */
const REMIND_MS = 5 * 60_000;
const CHANGE_MS = 30_000;
/** How long a loss stays among the conditions after it happened. */
const LOSS_STANDS_MS = 10 * 60_000;

export class DeliveryLog {
  /** Totals since start. */
  readonly pushes: Record<PushOutcome['kind'], number> = {
    acknowledged: 0,
    unreachable: 0,
    unavailable: 0,
    unauthorized: 0,
    invalid: 0,
  };
  /** What the operator will never take, since start. */
  readonly refused = { reports: 0, results: 0 };
  readonly #log: Logger;
  #failing:
    | { readonly condition: Condition; readonly sinceMs: number; toldMs: number; attempts: number }
    | undefined;
  #invalid: { readonly condition: Condition; readonly atMs: number } | undefined;
  #loss: { reports: number; results: number; atMs: number } = { reports: 0, results: 0, atMs: 0 };

  constructor(log: Logger) {
    this.#log = log;
  }

  ended(outcome: PushOutcome, entry: SpoolEntry, nowMs: number): void {
    this.pushes[outcome.kind]++;
    this.#tell('debug', `push ended: ${outcome.kind}`, { seq: entry.seq, results: entry.results });
    if (outcome.kind === 'acknowledged') this.#recovered(nowMs);
    else if (outcome.kind === 'invalid') this.#dropped(outcome.condition, entry, nowMs);
    else this.#failed(outcome.condition, nowMs);
  }

  /** @param lost reports and results lost to bounds since start */
  conditions(lost: { readonly reports: number; readonly results: number }, nowMs: number): Condition[] {
    const conditions: Condition[] = [];
    if (this.#failing !== undefined) conditions.push(this.#failing.condition);
    if (this.#invalid !== undefined && nowMs - this.#invalid.atMs < LOSS_STANDS_MS) {
      conditions.push(this.#invalid.condition);
    }
    if (lost.reports > this.#loss.reports || lost.results > this.#loss.results) {
      this.#loss = { ...lost, atMs: nowMs };
    }
    if (this.#loss.atMs > 0 && nowMs - this.#loss.atMs < LOSS_STANDS_MS) {
      conditions.push({
        code: 'REPORTS_DROPPED',
        message: `${lost.reports} reports with ${lost.results} probe results were dropped since the agent started, because more waited for the operator than may be kept`,
        hint: 'bring the operator back, or raise --spool-limit (with --state-dir)',
      });
    }
    return conditions;
  }

  #recovered(nowMs: number): void {
    if (this.#failing === undefined) return;
    const { sinceMs, attempts } = this.#failing;
    this.#failing = undefined;
    this.#tell('info', 'reports reach the operator again', {
      afterSeconds: Math.round((nowMs - sinceMs) / 1000),
      failedPushes: attempts,
    });
  }

  #failed(condition: Condition, nowMs: number): void {
    const before = this.#failing;
    const changed =
      before?.condition.code !== condition.code || before.condition.message !== condition.message;
    const tell = before === undefined || nowMs - before.toldMs >= (changed ? CHANGE_MS : REMIND_MS);
    this.#failing = {
      condition,
      sinceMs: before?.sinceMs ?? nowMs,
      toldMs: tell ? nowMs : before.toldMs,
      attempts: (before?.attempts ?? 0) + 1,
    };
    if (tell) this.#tell('warn', condition.message, { code: condition.code, hint: condition.hint });
  }

  #dropped(condition: Condition, entry: SpoolEntry, nowMs: number): void {
    this.refused.reports++;
    this.refused.results += entry.results;
    const fresh = this.#invalid === undefined || nowMs - this.#invalid.atMs >= REMIND_MS;
    this.#invalid = { condition, atMs: nowMs };
    if (fresh) {
      const fields = { code: condition.code, seq: entry.seq, results: entry.results, hint: condition.hint };
      this.#tell('error', condition.message, fields);
    }
  }

  #tell(level: LogLevel, message: string, fields: Record<string, unknown>): void {
    this.#log.log(level, message, fields);
  }
}
