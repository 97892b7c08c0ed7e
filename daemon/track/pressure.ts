/** Port pressure as a report carries it: the worst first, with how fast it rises. */

import type {
  PodRef,
  PortPressure,
  PortUse as ReportedPortUse,
  SourceNatPressure,
  SourceNatUse,
} from '#contract';
import { PRESSURE_LIMITS } from '#contract';
import { Largest } from './largest.ts';
import type { NamespaceNumbers } from './namespace-numbers.ts';
import type { PressingSockets } from './port-pressure.ts';
import { PortGroups } from './port-pressure.ts';
import { portRulesOf } from './port-rules.ts';
import { PortTrends } from './port-trends.ts';
import type { NatRow } from './source-nat.ts';
import { sourceNatUses } from './source-nat.ts';

export interface PressedNamespace {
  readonly inode: number;
  /** It is the one finwait itself is in. */
  readonly own?: boolean;
  readonly pod?: PodRef;
  readonly sockets: PressingSockets;
  /** Those without settings are passed over. */
  readonly numbers: Pick<NamespaceNumbers, 'settings' | 'pressed'>;
}

/** Destinations whose rise is followed, more than are told: one that rises fast comes from behind. */
const FOLLOWED = 200;
/** With so large a part used somebody may look for a remedy among the settings. */
const PRESSED_PART = 0.7;

export class Pressure {
  readonly #ports = new PortTrends();
  readonly #sourceNat = new PortTrends();

  /** The pods whose namespaces have these addresses, as of the last look at the ports; undefined when there are several. */
  readonly #pods = new Map<string, PodRef | undefined>();

  /**
   * @param between is called after each namespace
   * @param nowMs the clock of the sweeps
   */
  ports(namespaces: Iterable<PressedNamespace>, between: () => void, nowMs: number): PortPressure {
    let count = 0;
    const worst = new Largest<Followed>(FOLLOWED);
    this.#pods.clear();
    for (const { inode, own, pod, sockets, numbers } of namespaces) {
      if (numbers.settings === undefined) continue;
      numbers.pressed = false;
      const groups = new PortGroups(sockets, portRulesOf(numbers.settings), nowMs);
      count += groups.size;
      for (let group = 0; group < groups.size; group++) {
        const [used, usable] = [groups.used(group), groups.usable(group)];
        const part = usable === 0 ? 1 : used / usable;
        numbers.pressed ||= part >= PRESSED_PART;
        if (pod !== undefined) this.#notePod(groups.source(group), pod);
        worst.offer(part, used, () => {
          const where = own === true ? {} : pod === undefined ? { netns: inode } : { pod };
          return { inode, use: { ...where, ...groups.use(group) } };
        });
      }
      between();
    }
    const followed = worst.all.map(({ inode, use }) => {
      const { source, destination, used, usable } = use;
      const key = `${inode} ${source} ${destination.port} ${destination.address}`;
      const forecast = this.#ports.forecast(key, used, usable, nowMs);
      return { ...use, ...forecast };
    });
    this.#ports.endRound();
    const destinations = followed.slice(0, PRESSURE_LIMITS.ports);
    return { destinations, folded: count - destinations.length };
  }

  #notePod(address: string, pod: PodRef): void {
    const known = this.#pods.get(address);
    if (known === undefined && !this.#pods.has(address)) this.#pods.set(address, pod);
    else if (known !== undefined && known.uid !== pod.uid) this.#pods.set(address, undefined);
  }

  /** Undefined where no flow has source NAT. @param nowMs the clock of the sweeps */
  sourceNat(
    forEachFlow: (visit: (row: NatRow) => void) => void,
    nowMs: number,
  ): SourceNatPressure | undefined {
    const { uses, folded } = sourceNatUses(forEachFlow);
    const destinations = uses.map((use) => {
      const key = `${use.address} ${use.destination.port} ${use.destination.address}`;
      const consumers = use.consumers.map((consumer) => this.#withPod(consumer));
      return { ...use, consumers, ...this.#sourceNat.forecast(key, use.used, use.usable, nowMs) };
    });
    this.#sourceNat.endRound();
    return destinations.length === 0 ? undefined : { destinations, folded };
  }

  #withPod(consumer: SourceNatUse['consumers'][number]): SourceNatUse['consumers'][number] {
    const pod = this.#pods.get(consumer.source);
    return pod === undefined ? consumer : { ...consumer, pod };
  }
}

interface Followed {
  readonly inode: number;
  readonly use: ReportedPortUse;
}
