/** Tells the log when a fault begins to stand and when it is over, however often it is looked at. */

import type { Condition, ErrorCode } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';

/** A fault that comes and goes is told no more often. */
const QUIET_MS = 5 * 60_000;

export class ConditionLog {
  readonly #log: Logger;
  /** When each code was last told. Bounded by the number of codes. */
  readonly #toldMs = new Map<ErrorCode, number>();
  /** The codes told and not yet told to be over. */
  readonly #standing = new Set<ErrorCode>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param conditions all that stand now */
  look(conditions: readonly Condition[], nowMs: number): void {
    const standing = new Set(conditions.map(({ code }) => code));
    for (const { code, message, hint } of conditions) {
      if (this.#standing.has(code) || !this.#mayTell(code, nowMs)) continue;
      this.#standing.add(code);
      this.#toldMs.set(code, nowMs);
      this.#log.log('warn', message, { code, hint });
    }
    for (const code of this.#standing) {
      if (standing.has(code)) continue;
      this.#standing.delete(code);
      this.#log.log('info', `${code} is over`);
    }
  }

  #mayTell(code: ErrorCode, nowMs: number): boolean {
    return nowMs - (this.#toldMs.get(code) ?? Number.NEGATIVE_INFINITY) >= QUIET_MS;
  }
}
