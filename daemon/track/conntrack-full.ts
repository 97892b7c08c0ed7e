/** Whether conntrack has no room: by its fill, and by what the kernel puts out of it or refuses to take in. */

import type { Condition } from '#base/errors.ts';
import type { ConntrackStatName } from '../netlink/conntrack-stats.ts';
import type { ConntrackFill } from './kernel-numbers.ts';

/** From this part on the kernel may put out flows that are established (gc_worker of nf_conntrack_core.c). */
const FULL_PART = 0.95;
/** So long what was put out or refused is told, that a person who looks now and then sees it. */
const TOLD_MS = 60_000;
export class ConntrackFull {
  #earlyDrop = 0;
  #drop = 0;
  /** Put out and refused since it began to be told. */
  #lost = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  /** @param statistics totals since the first look, all processors together */
  look(
    { count, max }: ConntrackFill,
    statistics: readonly { readonly name: string; readonly total: number }[],
    nowMs: number,
  ): Condition | undefined {
    const totalOf = (wanted: ConntrackStatName) => statistics.find(({ name }) => name === wanted)?.total ?? 0;
    // With a maximum of 0 the table has no bound.
    const full = max > 0 && count >= FULL_PART * max;
    const [earlyDrop, drop] = [totalOf('earlyDrop'), totalOf('drop')];
    // Packets are also dropped of a flow that another processor is just ending, however much room there is.
    const lost = earlyDrop - this.#earlyDrop + (full ? drop - this.#drop : 0);
    [this.#earlyDrop, this.#drop] = [earlyDrop, drop];
    if (nowMs - this.#lastMs > TOLD_MS) this.#lost = 0;
    if (lost > 0) this.#lastMs = nowMs;
    this.#lost += lost;
    if (!full && this.#lost === 0) return undefined;
    const fill = max > 0 ? `holds ${count} of at most ${max} entries` : `holds ${count} entries`;
    const told =
      this.#lost === 0 ? '' : `, flows put out and packets dropped for want of room: ${this.#lost}`;
    return {
      code: 'CONNTRACK_FULL',
      message: `conntrack ${fill}${told}: connections fail to open, or are forgotten while they live`,
      hint: 'sysctl -w net.netfilter.nf_conntrack_max=... for more room; who takes it: finwait conntrack --by source',
    };
  }
}
