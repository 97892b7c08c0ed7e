/** How fast ports of `finwait ports --watch` come into use, and when none is left: as the agent tells it. */

import { PortTrends } from '../daemon/track/port-trends.ts';
import type { Trend, Use } from './ports-view.ts';

export class UseTrends {
  readonly #trends = new PortTrends();

  /**
   * The uses of one reading with their trends.
   * @param from the address whose ports they are
   * @param nowMs the clock of the readings
   */
  followed<U extends Use & { readonly netns: number }>(
    uses: readonly U[],
    from: (use: U) => string,
    nowMs: number,
  ): (U & Trend)[] {
    const followed = uses.map((use) => {
      const { netns, destination, used, usable } = use;
      const key = `${netns} ${from(use)} ${destination.port} ${destination.address}`;
      const { perMinute = null, exhaustedInMs = null } = this.#trends.forecast(key, used, usable, nowMs);
      return { ...use, perMinute, exhaustedInMs };
    });
    this.#trends.endRound();
    return followed;
  }
}
