/**
 * Whether a network namespace has to be asked for its sockets at all: any such question walks the table of the whole
 * machine. What its files in /proc count says whether anything can have changed.
 */

import type { Segments } from './namespace-counters.ts';
import type { Sockstat } from './sockstat.ts';

/** One that has nothing but listeners and does not change is read this seldom all the same: they may be others by now. */
const QUIET_SWEEPS = 30;
/** And is asked this seldom whether it retransmits. */
const RETRANSMITS_MS = 4_000;
/** One with connections on which nothing moves, this seldom: a program may read what came, or write what cannot go. */
const STILL_SWEEPS = 5;

type Counts = Pick<Sockstat, 'inUse' | 'timeWait'>;

/** What one sweep finds of a namespace. */
export interface Look {
  readonly counts: Counts;
  /** Whether it had nothing but listeners, or nothing at all, when it was last read. */
  readonly onlyListens: boolean;
  readonly segments: () => Segments | undefined;
  readonly nowMs: number;
}

export class NamespaceGate {
  #counts: Counts | undefined = { inUse: 0, timeWait: 0 };
  #segments: Segments | undefined;
  #segmentsMs = Number.NEGATIVE_INFINITY;
  #spared = 0;

  /** Whether the sockets need not be read; where they need, they are expected to be read now. */
  spares(look: Look): boolean {
    const { inUse, timeWait } = look.counts;
    const changed = inUse !== this.#counts?.inUse || timeWait !== this.#counts.timeWait;
    // What came and went is looked at first: what comes meanwhile is seen the next time.
    const moved = look.onlyListens ? !changed && this.#retransmits(look) : this.#moves(look);
    const most = look.onlyListens ? QUIET_SWEEPS : STILL_SWEEPS;
    if (!changed && !moved && this.#spared < most) {
      this.#spared++;
      return true;
    }
    this.#counts = look.counts;
    this.#spared = 0;
    return false;
  }

  /** The reading broke off: it is to be made the next time. */
  reopen(): void {
    this.#counts = undefined;
  }

  #moves({ segments, nowMs }: Look): boolean {
    const before = this.#segments;
    this.#segments = segments();
    this.#segmentsMs = nowMs;
    const now = this.#segments;
    return (
      before?.received !== now?.received ||
      before?.sent !== now?.sent ||
      before?.retransmitted !== now?.retransmitted
    );
  }

  /**
   * Half-open connections are in no count, but a SYN-ACK is repeated after a second. A namespace without sockets has nobody
   * who would answer a SYN; and health checks of a listener that are over by now leave nothing to see.
   */
  #retransmits({ counts: { inUse }, segments, nowMs }: Look): boolean {
    if (inUse === 0 || nowMs - this.#segmentsMs < RETRANSMITS_MS) return false;
    const before = this.#segments?.retransmitted;
    this.#segments = segments();
    this.#segmentsMs = nowMs;
    return before !== undefined && before !== this.#segments?.retransmitted;
  }
}
