/** What the agent tells Prometheus of conntrack beyond its fill: how flows end and how long they live. */

import type { MetricFamily, Sample } from '#base/prom-text.ts';
import type { ConntrackActivity } from '#contract';

export function conntrackFamilies(activity: ConntrackActivity | undefined): MetricFamily[] {
  const { ends = [], statistics = [], toFullMs, lifetimes = [], lifetimeBoundsMs = [] } = activity ?? {};
  return [
    {
      name: 'finwait_agent_conntrack_flows_ended_total',
      type: 'counter',
      help: 'TCP flows of conntrack that ended, by reason.',
      samples: ends.map(({ reason, count }) => ({ labels: { reason }, value: count })),
    },
    {
      name: 'finwait_agent_conntrack_flow_lifetime_seconds',
      type: 'histogram',
      help: 'Time that TCP flows of conntrack lived, by how that is known.',
      samples: lifetimes.flatMap((each) => histogram(each, lifetimeBoundsMs)),
    },
    {
      name: 'finwait_agent_conntrack_statistics_total',
      type: 'counter',
      help: 'What all processors count of conntrack since the agent started, by name.',
      samples: statistics.map(({ name, total }) => ({ labels: { counter: name }, value: total })),
    },
    {
      name: 'finwait_agent_conntrack_full_seconds',
      type: 'gauge',
      help: 'Time until the conntrack table is full, if it goes on growing as in the last minute.',
      samples: toFullMs === undefined ? [] : [{ value: toFullMs / 1000 }],
    },
  ];
}

function histogram(
  { basis, counts, sumMs }: ConntrackActivity['lifetimes'][number],
  boundsMs: readonly number[],
): Sample[] {
  let sum = 0;
  const buckets = counts.map((count, at): Sample => {
    sum += count;
    const bound = boundsMs[at];
    const le = bound === undefined ? '+Inf' : String(bound / 1000);
    return { suffix: '_bucket', labels: { basis, le }, value: sum };
  });
  return [
    ...buckets,
    { suffix: '_sum', labels: { basis }, value: sumMs / 1000 },
    { suffix: '_count', labels: { basis }, value: sum },
  ];
}
