/** What the agent tells Prometheus of ports that run out, and of sockets and conntrack that do not tell the same. */

import type { MetricFamily, Sample } from '#base/prom-text.ts';
import type { PortUse } from '#contract';
import type { TablesSweep } from './threads/tables-client.ts';

type Used = Pick<PortUse, 'used' | 'usable' | 'exhaustedInMs'>;

/** Of destinations the worst alone is told: their number has no bound, and the report names them. */
export function findingFamilies({ sockets, conntrack }: Partial<TablesSweep> = {}): MetricFamily[] {
  const uses = {
    local: sockets?.ports?.destinations ?? [],
    masqueraded: conntrack?.sourceNat?.destinations ?? [],
  };
  const missing = {
    flow: conntrack?.divergence?.socketsWithoutFlow ?? [],
    socket: conntrack?.divergence?.flowsWithoutSocket ?? [],
  };
  const ofWorst = (value: (use: Used) => number | undefined, worse: typeof Math.max): Sample[] =>
    Object.entries(uses).flatMap(([ports, all]) => {
      const values = all.map(value).filter((each) => each !== undefined);
      return values.length === 0 ? [] : [{ labels: { ports }, value: worse(...values) }];
    });
  return [
    {
      name: 'finwait_agent_ports_used_ratio',
      type: 'gauge',
      help: 'Ports in use of those that may be, towards the destination with the largest part.',
      samples: ofWorst(({ used, usable }) => (usable === 0 ? 0 : used / usable), Math.max),
    },
    {
      name: 'finwait_agent_ports_exhausted_seconds',
      type: 'gauge',
      help: 'Time until the first destination has no port left, if its use goes on rising.',
      samples: ofWorst(
        ({ exhaustedInMs }) => (exhaustedInMs === undefined ? undefined : exhaustedInMs / 1000),
        Math.min,
      ),
    },
    {
      name: 'finwait_agent_divergent',
      type: 'gauge',
      help: 'Sockets and conntrack flows whose counterpart is missing, by what is missing and by state.',
      samples: Object.entries(missing).flatMap(([what, states]) =>
        states.map(({ state, count }) => ({ labels: { missing: what, state }, value: count })),
      ),
    },
  ];
}
