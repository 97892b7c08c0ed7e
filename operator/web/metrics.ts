/** What the operator tells Prometheus: its own health, and the states of the nodes that report. */

import type { MetricFamily, Sample } from '#base/prom-text.ts';
import type { NodeView, Overview } from '../fleet/view.ts';

/** The overview as metric families; docs/metrics.md lists them. A stale node keeps only its age. */
export function metricFamilies(overview: Overview): MetricFamily[] {
  return [...operatorFamilies(overview), ...nodeFamilies(overview), ...processFamilies()];
}

function operatorFamilies({ operator, nodes }: Overview): MetricFamily[] {
  const { telemetry, counters } = operator;
  const staleCount = nodes.filter((node) => node.stale).length;
  return [
    gauge('finwait_operator_build_info', 'Always 1; the version is a label.', [
      { labels: { version: operator.version }, value: 1 },
    ]),
    gauge(
      'finwait_operator_leader',
      'Of several replicas 1 for the one that takes reports, 0 for the others.',
      operator.leadership === undefined ? [] : [{ value: operator.leadership.leads ? 1 : 0 }],
    ),
    gauge('finwait_operator_nodes', 'Nodes that have reported, by whether they still do.', [
      { labels: { state: 'reporting' }, value: nodes.length - staleCount },
      { labels: { state: 'stale' }, value: staleCount },
    ]),
    counter(
      'finwait_operator_events_total',
      'What happened since start, by name: requests accepted or refused, handshakes failed, nodes evicted.',
      Object.entries(counters).map(([event, value]) => ({ labels: { event }, value })),
    ),
    gauge(
      'finwait_operator_objects',
      'Objects of the API server that are held in memory, by kind.',
      Object.entries(operator.objects ?? {}).map(([resource, value]) => ({ labels: { resource }, value })),
    ),
    gauge('finwait_operator_traces_waiting', 'Probe traces the collector has not accepted yet.', [
      { value: telemetry.waiting },
    ]),
    counter('finwait_operator_traces_total', 'Probe traces that are done with, by what became of them.', [
      { labels: { delivery: 'accepted' }, value: telemetry.accepted },
      { labels: { delivery: 'lost' }, value: telemetry.lost },
    ]),
    gauge(
      'finwait_operator_condition',
      'One series of value 1 for each standing fault of the operator.',
      operator.conditions.map(({ code }) => ({ labels: { code }, value: 1 })),
    ),
  ];
}

function nodeFamilies({ nodes, generatedAtMs }: Overview): MetricFamily[] {
  const fresh = nodes.filter((node) => !node.stale);
  const perNode = (value: (node: NodeView) => number | undefined): Sample[] =>
    fresh.flatMap((node) => {
      const number = value(node);
      return number === undefined ? [] : [{ labels: { node: node.name }, value: number }];
    });
  return [
    gauge(
      'finwait_node_report_age_seconds',
      'Time since the last report of the node arrived.',
      nodes.map((node) => ({
        labels: { node: node.name },
        value: (generatedAtMs - node.lastReportMs) / 1000,
      })),
    ),
    counter(
      'finwait_node_reports_total',
      'Reports of the node, by what became of them; missing ones are numbers that never came.',
      nodes.flatMap(({ name, reports }) =>
        (['applied', 'duplicates'] as const).map((outcome) => ({
          labels: { node: name, outcome },
          value: reports[outcome],
        })),
      ),
    ),
    gauge(
      'finwait_node_reports_missing',
      'Report numbers skipped by the node and not come late.',
      nodes.map(({ name, reports }) => ({ labels: { node: name }, value: reports.missing })),
    ),
    gauge(
      'finwait_node_connections',
      'TCP sockets of the node by RFC 9293 state and address family.',
      fresh.flatMap((node) =>
        (node.sockets?.states ?? []).map(({ state, family, count }) => ({
          labels: { node: node.name, state, family: `ipv${family}` },
          value: count,
        })),
      ),
    ),
    gauge(
      'finwait_node_conntrack_entries',
      'Entries in the conntrack table of the node.',
      perNode((node) => node.conntrack?.count),
    ),
    gauge(
      'finwait_node_conntrack_entries_limit',
      'Size of the conntrack table of the node.',
      perNode((node) => node.conntrack?.max),
    ),
    gauge(
      'finwait_node_probe_targets',
      'Targets of the node by the verdict of their last probe.',
      fresh.flatMap((node) => {
        const byVerdict = Map.groupBy(node.probes, (result) => result.verdict);
        return [...byVerdict].map(([verdict, results]) => ({
          labels: { node: node.name, verdict },
          value: results.length,
        }));
      }),
    ),
    gauge(
      'finwait_node_condition',
      'One series of value 1 for each standing fault of the node.',
      fresh.flatMap((node) =>
        [...new Set(node.conditions.map(({ code }) => code))].map((code) => ({
          labels: { node: node.name, code },
          value: 1,
        })),
      ),
    ),
  ];
}

/** The process metrics every Prometheus client library exports under these names. */
function processFamilies(): MetricFamily[] {
  const { user, system } = process.cpuUsage();
  const startedSeconds = (performance.timeOrigin / 1000).toFixed(3);
  return [
    counter('process_cpu_seconds_total', 'Processor time used.', [{ value: (user + system) / 1e6 }]),
    gauge('process_resident_memory_bytes', 'Memory resident.', [{ value: process.memoryUsage.rss() }]),
    gauge('process_start_time_seconds', 'Unix time of the start.', [{ value: Number(startedSeconds) }]),
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'gauge', help, samples };
}

function counter(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'counter', help, samples };
}
