/** What the agent tells Prometheus; docs/metrics.md lists it. Read at scrape time. */

import type { Condition } from '#base/errors.ts';
import type { MetricFamily, MetricType, Sample } from '#base/prom-text.ts';
import { VERSION } from '#base/version.ts';
import type { AgentIdentity, ProbeTarget } from '#contract';
import { conntrackFamilies } from './metrics-conntrack.ts';
import { findingFamilies } from './metrics-findings.ts';
import type { ReporterStats } from './report/reporter.ts';
import type { TargetPlan } from './report/targets.ts';
import { cpuSeconds, rssBytes } from './self.ts';
import type { TablesSweep } from './threads/tables-client.ts';

/** Everything the families are made of. */
export interface AgentFigures {
  readonly mode: AgentIdentity['mode'];
  readonly sweep: TablesSweep | undefined;
  /** Whether the engine runs; undefined in a mode without one. */
  readonly engineReady: boolean | undefined;
  readonly engineCounters: Readonly<Record<string, number>>;
  readonly plan: TargetPlan;
  readonly reporter: ReporterStats;
  readonly heartbeatsMs: Readonly<Record<string, number>>;
  readonly loopLagMs: number;
  readonly conditions: readonly Condition[];
}

export function agentFamilies(figures: AgentFigures): MetricFamily[] {
  return [
    one('gauge', 'finwait_agent_build_info', 'Always 1; version and mode are labels.', [
      { labels: { version: VERSION, mode: figures.mode }, value: 1 },
    ]),
    ...tableFamilies(figures.sweep),
    ...engineFamilies(figures),
    ...reportFamilies(figures.reporter),
    ...selfFamilies(figures),
  ];
}

function tableFamilies(sweep: TablesSweep | undefined): MetricFamily[] {
  const { sockets, conntrack } = sweep ?? {};
  return [
    one(
      'gauge',
      'finwait_agent_connections',
      'TCP sockets of this machine by RFC 9293 state and address family.',
      (sockets?.states ?? []).map(({ state, family, count }) => ({
        labels: { state, family: `ipv${family}` },
        value: count,
      })),
    ),
    one('gauge', 'finwait_agent_listeners', 'TCP sockets that listen.', [
      ...(sockets === undefined ? [] : [{ value: sockets.listeners.length + sockets.listenersFolded }]),
    ]),
    one(
      'gauge',
      'finwait_agent_holder_groups_folded',
      'Groups of waiting sockets that did not fit into the report, by state.',
      (sockets?.folded ?? []).map(({ state, groups }) => ({ labels: { state }, value: groups })),
    ),
    ...kernelFamilies(sweep),
    one(
      'gauge',
      'finwait_agent_conntrack_entries',
      'Entries in the conntrack table.',
      maybe(conntrack?.count),
    ),
    one(
      'gauge',
      'finwait_agent_conntrack_entries_limit',
      'Size of the conntrack table.',
      maybe(conntrack?.max),
    ),
    one(
      'gauge',
      'finwait_agent_conntrack_flows',
      "TCP flows in conntrack by conntrack's own state.",
      (conntrack?.states ?? []).map(({ state, count }) => ({ labels: { state }, value: count })),
    ),
    one(
      'gauge',
      'finwait_agent_conntrack_own_flows',
      "Flows in conntrack that finwait's own probes made.",
      maybe(conntrack?.own),
    ),
    ...conntrackFamilies(sweep?.conntrack?.activity),
    ...findingFamilies(sweep),
    one(
      'gauge',
      'finwait_agent_sweep_timestamp_seconds',
      "Unix time of the last reading of the kernel's tables.",
      maybe(sweep === undefined ? undefined : sweep.atMs / 1000),
    ),
    one(
      'gauge',
      'finwait_agent_sweep_duration_seconds',
      'How long that reading took.',
      maybe(sweep === undefined ? undefined : sweep.durationMs / 1000),
    ),
    one(
      'counter',
      'finwait_agent_tables_events_total',
      "What the reading of the kernel's tables counts: what was missed, forgotten or undecodable, by name.",
      byLabel('event', sweep?.counters ?? {}),
    ),
  ];
}

/** What the kernel counts of TCP. */
function kernelFamilies(sweep: TablesSweep | undefined): MetricFamily[] {
  const { counters = {}, memory, namespaces } = sweep?.sockets ?? {};
  const own = namespaces?.find((namespace) => namespace.own);
  return [
    one(
      'counter',
      'finwait_agent_tcp_events_total',
      "The kernel's TCP counters by their name in /proc/net/netstat: how far those of all namespaces that are read rose.",
      byLabel(
        'event',
        Object.fromEntries(Object.entries(counters).map(([name, { total }]) => [name, total])),
      ),
    ),
    one(
      'gauge',
      'finwait_agent_tcp_memory_pages',
      'Memory of all TCP sockets of the machine.',
      maybe(memory?.pages),
    ),
    one(
      'gauge',
      'finwait_agent_tcp_memory_pressure_pages',
      'Memory of TCP from which on the kernel saves it (tcp_mem).',
      maybe(own?.settings?.memoryPages?.pressure),
    ),
    one(
      'gauge',
      'finwait_agent_tcp_orphans',
      'TCP sockets that no process holds any more, but for those in TIME-WAIT.',
      maybe(memory?.orphans),
    ),
  ];
}

/** How the engine's counters of drops begin. */
const DROPPED = 'tcp_dropped_';

function engineFamilies({ engineReady, engineCounters, plan }: AgentFigures): MetricFamily[] {
  const ofOrigin = (origin: ProbeTarget['origin']) =>
    plan.targets.filter((target) => target.origin === origin).length;
  const counted = Object.entries(engineCounters);
  return [
    one(
      'gauge',
      'finwait_agent_engine_ready',
      'Whether the TCP engine runs on its TUN device.',
      maybe(engineReady === undefined ? undefined : Number(engineReady)),
    ),
    one(
      'counter',
      'finwait_agent_engine_events_total',
      'What the TCP engine, its TUN device and its schedule count, by name.',
      byLabel('event', Object.fromEntries(counted.filter(([name]) => !name.startsWith(DROPPED)))),
    ),
    one(
      'counter',
      'finwait_agent_engine_drops_total',
      'Packets and segments the TCP engine dropped, by reason.',
      byLabel(
        'reason',
        Object.fromEntries(
          counted
            .filter(([name]) => name.startsWith(DROPPED))
            .map(([name, value]) => [name.slice(DROPPED.length), value]),
        ),
      ),
    ),
    one('gauge', 'finwait_agent_targets', 'Targets that are probed, by where they come from.', [
      ...byLabel('origin', { user: ofOrigin('user'), listener: ofOrigin('listener') }),
    ]),
    one('gauge', 'finwait_agent_targets_folded', 'Targets left out because there are too many.', [
      { value: plan.folded },
    ]),
  ];
}

function reportFamilies(stats: ReporterStats): MetricFamily[] {
  return [
    one('counter', 'finwait_agent_reports_total', 'Reports made.', [{ value: stats.cut }]),
    one(
      'counter',
      'finwait_agent_report_pushes_total',
      'Pushes of reports to the operator, by how they ended.',
      byLabel('outcome', stats.pushes),
    ),
    one(
      'gauge',
      'finwait_agent_report_acknowledged_timestamp_seconds',
      'Unix time of the last push the operator acknowledged.',
      maybe(stats.acknowledgedMs === undefined ? undefined : stats.acknowledgedMs / 1000),
    ),
    one(
      'counter',
      'finwait_agent_reports_dropped_total',
      'Reports given up before the operator had them, by reason.',
      byLabel('reason', stats.droppedReports),
    ),
    one(
      'counter',
      'finwait_agent_probe_results_dropped_total',
      'Probe results given up before the operator had them, by reason.',
      byLabel('reason', stats.droppedResults),
    ),
    one('gauge', 'finwait_agent_spool_reports', 'Reports that wait for an acknowledgement.', [
      { value: stats.spool.reports },
    ]),
    one('gauge', 'finwait_agent_spool_probe_results', 'Probe results in these reports.', [
      { value: stats.spool.results },
    ]),
    one(
      'gauge',
      'finwait_agent_spool_bytes',
      'Size of these reports, by where they are kept.',
      byLabel('kept', stats.spool.bytes),
    ),
    one(
      'counter',
      'finwait_agent_spool_file_errors_total',
      'Files of the spool that could not be written, read or removed.',
      [{ value: stats.spoolFileErrors }],
    ),
  ];
}

function selfFamilies({ heartbeatsMs, loopLagMs, conditions }: AgentFigures): MetricFamily[] {
  const codes = [...new Set(conditions.map(({ code }) => code))];
  return [
    one(
      'gauge',
      'finwait_agent_worker_heartbeat_age_seconds',
      "Time since a worker thread's last sign of life.",
      Object.entries(heartbeatsMs).map(([worker, ms]) => ({ labels: { worker }, value: ms / 1000 })),
    ),
    one(
      'gauge',
      'finwait_agent_event_loop_lag_seconds',
      'Longest delay of the main loop since the last report was made.',
      [{ value: loopLagMs / 1000 }],
    ),
    one(
      'gauge',
      'finwait_agent_condition',
      'One series of value 1 for each standing fault.',
      codes.map((code) => ({ labels: { code }, value: 1 })),
    ),
    // The names under which every Prometheus client library tells these.
    one('counter', 'process_cpu_seconds_total', 'Processor time used.', [{ value: cpuSeconds() }]),
    one('gauge', 'process_resident_memory_bytes', 'Memory resident.', [{ value: rssBytes() }]),
    one('gauge', 'process_start_time_seconds', 'Unix time of the start.', [
      { value: Math.round(performance.timeOrigin) / 1000 },
    ]),
  ];
}

function one(type: MetricType, name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type, help, samples };
}

function maybe(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ value }];
}

function byLabel(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}
