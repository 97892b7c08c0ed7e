/** Whether conntrack has no room: by its fill, and by what the kernel puts out of it or refuses to take in. */

import type { Condition } from '#base/errors.ts';
import type { ConntrackStatName } from '../netlink/conntrack-stats.ts';
import type { ConntrackFill } from './kernel-numbers.ts';

/** From this part on the kernel may put out flows that are established (gc_worker of nf_conntrack_core.c). */
const FULL_PART = 0.95;
/** So long what was put out or refused is told, that a person who looks now and then sees it. */
const TOLD_MS = 60_000;
/** What the kernel counts when it has no room: flows put out for new ones, and packets dropped. */
const NO_ROOM: readonly ConntrackStatName[] = ['earlyDrop', 'drop'];

export class ConntrackFull {
  #counted = 0;
  #since = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  /** @param statistics totals since the first look, all processors together */
  look(
    { count, max }: ConntrackFill,
    statistics: readonly { readonly name: string; readonly total: number }[],
    nowMs: number,
  ): Condition | undefined {
    const counted = statistics
      .filter(({ name }) => NO_ROOM.some((each) => each === name))
      .reduce((sum, { total }) => sum + total, 0);
    if (nowMs - this.#lastMs > TOLD_MS) this.#since = this.#counted;
    if (counted > this.#counted) this.#lastMs = nowMs;
    this.#counted = counted;
    const lost = counted - this.#since;
    // With a maximum of 0 the table has no bound.
    const full = max > 0 && count >= FULL_PART * max;
    if (!full && lost === 0) return undefined;
    const fill = max > 0 ? `holds ${count} of at most ${max} entries` : `holds ${count} entries`;
    const told = lost === 0 ? '' : `, flows put out and packets dropped for want of room: ${lost}`;
    return {
      code: 'CONNTRACK_FULL',
      message: `conntrack ${fill}${told}: connections fail to open, or are forgotten while they live`,
      hint: 'sysctl -w net.netfilter.nf_conntrack_max=... for more room; who takes it: finwait conntrack --by source',
    };
  }
}
