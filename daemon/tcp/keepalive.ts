/** Keepalive: whether a silent peer is still there. RFC 9293 3.8.4 */

import type { Settings } from './settings.ts';
import type { Expiry } from './transmission.ts';

export class KeepAlive {
  /** A probe is to be sent: SEG.SEQ = SND.NXT - 1, no text (SHLD-12). */
  due = false;
  /** Probes without an answer. */
  unanswered = 0;
  readonly #settings: Settings;
  /** When the peer was heard last. */
  #heardUs = 0;
  #probedUs = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** A segment came from the peer. */
  heard(nowUs: number): void {
    this.#heardUs = nowUs;
    this.unanswered = 0;
    this.due = false;
  }

  /**
   * When to ask next.
   *
   * @param idle nothing waits for an acknowledgement (MUST-26)
   */
  deadlineUs(idle: boolean): number {
    const { keepAlive, keepIdleUs, keepIntervalUs } = this.#settings;
    if (!keepAlive || !idle) return Number.POSITIVE_INFINITY;
    return this.unanswered === 0 ? this.#heardUs + keepIdleUs : this.#probedUs + keepIntervalUs;
  }

  /** MUST-29: no single lost answer is death, `keepCount` of them are. */
  advance(idle: boolean, nowUs: number): Expiry {
    if (this.deadlineUs(idle) > nowUs) return 'nothing';
    const { userTimeoutUs, keepCount } = this.#settings;
    // Linux: with a user timeout, that decides and not the count.
    const over =
      userTimeoutUs === undefined
        ? this.unanswered >= keepCount
        : this.unanswered > 0 && nowUs - this.#heardUs >= userTimeoutUs;
    if (over) return 'give-up';
    this.unanswered += 1;
    this.#probedUs = nowUs;
    this.due = true;
    return 'send';
  }
}
