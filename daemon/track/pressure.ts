/** Port pressure as a report carries it: the worst first, with how fast it rises. */

import type { NamespaceSettings, PodRef, PortPressure, SourceNatPressure } from '#contract';
import { PRESSURE_LIMITS } from '#contract';
import type { PortUse, PressingSocket } from './port-pressure.ts';
import { portUses } from './port-pressure.ts';
import { portRulesOf } from './port-rules.ts';
import { PortTrends } from './port-trends.ts';
import type { NatRow } from './source-nat.ts';
import { sourceNatUses } from './source-nat.ts';

export interface PressedNamespace {
  readonly inode: number;
  readonly pod?: PodRef;
  readonly sockets: Iterable<PressingSocket>;
  readonly settings: NamespaceSettings;
}

/** Destinations whose rise is followed, more than are told: one that rises fast comes from behind. */
const FOLLOWED = 200;

/** Sockets gone over between two calls. */
const SOCKETS_AT_ONCE = 16_384;

export class Pressure {
  readonly #ports = new PortTrends();
  readonly #sourceNat = new PortTrends();

  /**
   * @param between is called again and again, as it may take long
   * @param nowMs the clock of the sweeps
   */
  ports(namespaces: Iterable<PressedNamespace>, between: () => void, nowMs: number): PortPressure {
    let count = 0;
    let worst: { readonly inode: number; readonly pod?: PodRef; readonly use: PortUse }[] = [];
    for (const { inode, pod, sockets, settings } of namespaces) {
      for (const use of portUses(pausing(sockets, between), portRulesOf(settings), nowMs)) {
        count++;
        worst.push({ inode, use, ...(pod === undefined ? {} : { pod }) });
      }
      worst.sort((a, b) => part(b.use) - part(a.use) || b.use.used - a.use.used);
      worst = worst.slice(0, FOLLOWED);
    }
    const followed = worst.map(({ inode, pod, use }) => {
      const { source, destination, used, usable } = use;
      const key = `${inode} ${source} ${destination.port} ${destination.address}`;
      const forecast = this.#ports.forecast(key, used, usable, nowMs);
      return { ...(pod === undefined ? {} : { pod }), ...use, ...forecast };
    });
    this.#ports.endRound();
    const destinations = followed.slice(0, PRESSURE_LIMITS.ports);
    return { destinations, folded: count - destinations.length };
  }

  /** Undefined where no flow has source NAT. @param nowMs the clock of the sweeps */
  sourceNat(
    forEachFlow: (visit: (row: NatRow) => void) => void,
    nowMs: number,
  ): SourceNatPressure | undefined {
    const { uses, folded } = sourceNatUses(forEachFlow);
    const destinations = uses.map((use) => {
      const key = `${use.address} ${use.destination.port} ${use.destination.address}`;
      return { ...use, ...this.#sourceNat.forecast(key, use.used, use.usable, nowMs) };
    });
    this.#sourceNat.endRound();
    return destinations.length === 0 ? undefined : { destinations, folded };
  }
}

function part({ used, usable }: PortUse): number {
  return usable === 0 ? 1 : used / usable;
}

function* pausing(sockets: Iterable<PressingSocket>, between: () => void): Iterable<PressingSocket> {
  let left = SOCKETS_AT_ONCE;
  for (const socket of sockets) {
    if (--left < 0) {
      between();
      left = SOCKETS_AT_ONCE;
    }
    yield socket;
  }
  between();
}
