/** What the NodeTCPReport says of ports that run out, and of sockets and conntrack that do not tell the same. Pure. */

import { hostPortText } from '#base/host-port.ts';
import type { Divergence, DivergentState } from '#contract';
import { spanText } from '../../api/v1alpha1/duration.ts';
import type { NodeTcpReportStatus } from '../../api/v1alpha1/node-tcp-report.ts';
import { NODE_REPORT_LIMITS } from '../../api/v1alpha1/node-tcp-report.ts';
import type { NodeView } from '../../fleet/view.ts';

type Ports = NonNullable<NodeTcpReportStatus['ports']>;
type Comparison = NonNullable<NodeTcpReportStatus['comparison']>;

/** Destinations below this part of their ports are not listed. */
const LISTED_PART = 0.1;
const DAY_MS = 86_400_000;

const STATES: Readonly<Record<NonNullable<Divergence['disbelief']>, Comparison['state']>> = {
  'conntrack-idle': 'ConntrackIdle',
  'conntrack-incomplete': 'ConntrackIncomplete',
  'sockets-incomplete': 'SocketsIncomplete',
};

interface Use {
  readonly used: number;
  readonly usable: number;
  readonly exhaustedInMs?: number;
}

/** @param podName `namespace/name` of a pod on this node; undefined for one that is not known */
export function portsOf(
  { sockets, conntrack }: NodeView,
  podName: (uid: string) => string | undefined,
): Ports | undefined {
  const own = sockets?.ports?.destinations ?? [];
  const masqueraded = conntrack?.sourceNat?.destinations ?? [];
  const all: Use[] = [...own, ...masqueraded];
  if (all.length === 0) return undefined;
  const soonestMs = all.reduce((soonest, use) => Math.min(soonest, use.exhaustedInMs ?? DAY_MS), DAY_MS);
  return {
    fill: `${Math.round(100 * Math.max(...all.map(part)))}%`,
    ...(soonestMs === DAY_MS ? {} : { exhaustedIn: spanText(soonestMs) }),
    destinations: listed(own).map(({ pod, netns, source, destination, timeWait, ...use }) => {
      const name = pod === undefined ? undefined : podName(pod.uid);
      return {
        ...(name === undefined ? {} : { pod: name }),
        ...(netns === undefined ? {} : { netns }),
        source,
        destination: hostPortText(destination.address, destination.port),
        timeWait,
        ...figures(use),
      };
    }),
    masqueraded: listed(masqueraded).map(({ address, destination, consumers, ...use }) => ({
      address,
      destination: hostPortText(destination.address, destination.port),
      ...figures(use),
      consumers: consumers.slice(0, NODE_REPORT_LIMITS.consumers).map(({ source, count, pod }) => {
        const name = pod === undefined ? undefined : podName(pod.uid);
        return { source, count, ...(name === undefined ? {} : { pod: name }) };
      }),
    })),
  };
}

export function comparisonOf({ conntrack }: NodeView): Comparison | undefined {
  const divergence = conntrack?.divergence;
  if (divergence === undefined) return undefined;
  const { disbelief, socketsWithoutFlow, flowsWithoutSocket } = divergence;
  if (disbelief !== undefined) return { state: STATES[disbelief] };
  return {
    state: 'Compared',
    socketsWithoutFlow: sum(socketsWithoutFlow, ({ count }) => count),
    flowsWithoutSocket: sum(flowsWithoutSocket, ({ count }) => count),
    flowsKeptLong: sum(flowsWithoutSocket, ({ keptLong = 0 }) => keptLong),
  };
}

function listed<U extends Use>(uses: readonly U[]): U[] {
  return uses.filter((use) => part(use) >= LISTED_PART).slice(0, NODE_REPORT_LIMITS.destinations);
}

function figures({ used, usable, exhaustedInMs }: Use) {
  const soon = exhaustedInMs !== undefined && exhaustedInMs < DAY_MS;
  return { used, usable, ...(soon ? { exhaustedIn: spanText(exhaustedInMs) } : {}) };
}

function part({ used, usable }: Use): number {
  return usable === 0 ? 0 : used / usable;
}

function sum(states: readonly DivergentState[], of: (state: DivergentState) => number): number {
  return states.reduce((total, state) => total + of(state), 0);
}
