/** Reads conntrack's flows for `finwait conntrack`: what is not shown is counted and let go as it comes. */

import type { Condition } from '#base/errors.ts';
import { FOOTPRINT_MARK } from '../daemon/kernel/host-tun.ts';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import type { Flow } from '../daemon/track/conntrack-flows.ts';
import { eachFlow } from '../daemon/track/conntrack-flows.ts';
import { ConntrackGrowth, timeToFullMs } from '../daemon/track/conntrack-rates.ts';
import { dumpFlows } from '../daemon/track/dumps.ts';
import type { ConntrackFill } from '../daemon/track/kernel-numbers.ts';
import { readConntrackFill } from '../daemon/track/kernel-numbers.ts';
import type { FlowGroup } from './conntrack-groups.ts';
import { FlowGroups, flowGroupName, sortFlowGroups } from './conntrack-groups.ts';
import type { FlowRow } from './conntrack-rows.ts';
import { flowFilter, sortFlows } from './conntrack-rows.ts';
import type { ConntrackSettings } from './conntrack-settings.ts';
import { FlowOwners } from './flow-owners.ts';
import { GroupChanges } from './group-changes.ts';
import { inside, podUnknown } from './place.ts';
import { TopRows } from './top-rows.ts';

/** How full the table is, and how fast it fills: from the second reading on. */
export interface WatchedFill extends ConntrackFill {
  /** As of about the last minute. */
  readonly growthPerS?: number;
  /** When it is full at this growth; absent where that is no time to speak of. */
  readonly toFullMs?: number;
}

/** How many flows there are. */
export interface FlowTotals {
  /** Of TCP; those that pass the filters; of these finwait's own. */
  readonly all: number;
  readonly selected: number;
  readonly own: number;
  /** Flows of other protocols. */
  readonly others: number;
  readonly fill: WatchedFill;
}

export interface FlowsRead {
  readonly totals: FlowTotals;
  /** At most as many as are wanted, in order. */
  readonly rows: readonly FlowRow[];
  /** With `--by`, in place of rows. */
  readonly groups: readonly FlowGroup[];
  /** Messages of the kernel that are in no number. */
  readonly dropped: number;
  readonly conditions: readonly Condition[];
}

const NOBODY = { opener: null, acceptor: null } as const;

export class FlowsReader {
  readonly #settings: ConntrackSettings;
  readonly #owners: FlowOwners | undefined;
  readonly #changes: GroupChanges<FlowGroup>;
  readonly #growth = new ConntrackGrowth();

  constructor(settings: ConntrackSettings) {
    this.#settings = settings;
    this.#changes = new GroupChanges(flowGroupName(settings.by));
    this.#owners = asksForOwners(settings) ? new FlowOwners(settings.netns) : undefined;
  }

  /** Of its namespace. @throws FinwaitError CONNTRACK_MISSING, and those of `inside` */
  fill(): WatchedFill {
    const fill = inside(this.#settings.netns, readConntrackFill);
    const growthPerS = this.#growth.perS(fill.count, performance.now());
    const toFullMs = timeToFullMs(fill, growthPerS);
    return {
      ...fill,
      ...(growthPerS === undefined ? {} : { growthPerS }),
      ...(toFullMs === undefined ? {} : { toFullMs }),
    };
  }

  /** @throws FinwaitError CONNTRACK_DENIED, CONNTRACK_MISSING, NETLINK_FAILED, and those of `inside` */
  read(fill: WatchedFill): FlowsRead {
    const { by, sort, reverse, limit, netns } = this.#settings;
    const owners = this.#owners?.read();
    const isSelected = flowFilter(this.#settings);
    const isPossible = flowFilter({ ...this.#settings, process: [], pod: [] });
    // These two are refused without --by.
    const key = sort === 'count' || sort === 'change' ? undefined : sort;
    const top = new TopRows<FlowRow>(limit, (rows) => sortFlows(rows, key, reverse));
    const groups = by === undefined ? undefined : new FlowGroups(by);
    const counts = { all: 0, selected: 0, own: 0 };
    let someHidden = false;
    const faults = noNetlinkFaults();
    const show = (flow: Flow): void => {
      counts.all++;
      const row = { ...flow, own: flow.mark === FOOTPRINT_MARK, ...(owners?.holders.of(flow) ?? NOBODY) };
      // Whose end is hidden may be who is asked for.
      someHidden ||= owners?.holders.hasHidden(row) === true && isPossible(row);
      if (!isSelected(row)) return;
      counts.selected++;
      if (row.own) counts.own++;
      (groups ?? top).add(row);
    };
    const { others, undecodable } = inside(netns, () =>
      eachFlow((onFlow) => dumpFlows(onFlow, faults), show, Date.now()),
    );
    return {
      totals: { ...counts, others, fill },
      rows: top.first(),
      groups:
        groups === undefined
          ? []
          : sortFlowGroups(this.#changes.compared([...groups.groups()]), sort, reverse).slice(0, limit),
      dropped: faults.truncated + faults.undecodable + undecodable,
      conditions: [
        owners?.conditions ?? [],
        (someHidden && owners?.processes) || [],
        this.#settings.pod.filter((filter) => owners?.namesPod(filter) === false).map(podUnknown),
      ].flat(),
    };
  }
}

/** The sockets of the whole machine are read only where they are wanted. */
export function asksForOwners({ owners, process, pod, by, sort }: ConntrackSettings): boolean {
  const named = by === 'process' || by === 'pod' || sort === 'process' || sort === 'pod';
  return owners || named || process.length > 0 || pod.length > 0;
}
