/**
 * Who reports, and what each node said last. Bounded in nodes, runs and results; times come from outside.
 */

import type { ProbeResult, ProbeTarget, Report } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { Ledger } from './ledger.ts';
import { worstFirst } from './severity.ts';
import type { NodeView } from './view.ts';

export interface FleetOptions {
  /** Time between reports; a node silent for three of them is stale. */
  readonly reportIntervalMs: number;
  /** What a node is to probe. */
  readonly assignmentOf: (node: string) => readonly ProbeTarget[] | undefined;
  readonly maxNodes?: number;
}

export interface Fleet {
  /** The ledger of one run of a node's agent; a node or run not seen before gets one. */
  ledger(node: string, boot: string): Ledger;
  /** Takes a report that its ledger received for the first time. */
  apply(node: string, report: Report, nowMs: number): void;
  /** What is known of each node, by name. */
  view(nowMs: number): NodeView[];
  nodeView(name: string, nowMs: number): NodeView | undefined;
  /** Forgets the nodes that are silent and of which it is known that they are gone; answers how many they were. */
  forgetGone(isGone: (name: string) => boolean, nowMs: number): number;
  /** Forgets all nodes: from now on another operator takes their reports. */
  clear(): void;
  /** Nodes forgotten because there were too many. */
  readonly evicted: number;
}

interface Node {
  readonly name: string;
  /** By boot, the one that reported last at the end. */
  readonly ledgers: Map<string, Ledger>;
  bootsSeen: number;
  /** What the runs that are no longer in `ledgers` had counted. */
  readonly past: { applied: number; duplicates: number; missing: number };
  latest?: { readonly report: Report; readonly arrivedMs: number };
  /** By target and address, the one renewed last at the end. */
  readonly results: Map<string, ProbeResult>;
}

/** A late report of a run before, from the agent's spool, still finds its ledger. */
const RUNS_KEPT = 4;
const RESULTS_KEPT = 2 * CONTRACT_LIMITS.targets;
/** A result that nothing renewed for so long is of a target no longer probed. */
const RESULT_LIFE_MS = 5 * 60_000;
const MIN_STALE_MS = 5000;

export function createFleet({ reportIntervalMs, assignmentOf, maxNodes = 10_000 }: FleetOptions): Fleet {
  /** By name, the one that reported last at the end. */
  const nodes = new Map<string, Node>();
  const staleAfterMs = Math.max(MIN_STALE_MS, 3 * reportIntervalMs);
  let evicted = 0;

  const nodeOf = (name: string): Node => {
    const node = nodes.get(name) ?? {
      name,
      ledgers: new Map<string, Ledger>(),
      bootsSeen: 0,
      past: { applied: 0, duplicates: 0, missing: 0 },
      results: new Map<string, ProbeResult>(),
    };
    nodes.delete(name);
    nodes.set(name, node);
    if (nodes.size > maxNodes) {
      nodes.delete(nodes.keys().next().value ?? name);
      evicted++;
    }
    return node;
  };

  const viewOf = (node: Node, nowMs: number): NodeView | undefined => {
    if (node.latest === undefined) return undefined;
    const { report, arrivedMs } = node.latest;
    const assigned = assignmentOf(node.name) ?? [];
    const wanted = new Set(assigned.map((target) => target.name));
    const ledgers = [...node.ledgers.values()];
    const total = (name: 'applied' | 'duplicates' | 'missing'): number =>
      ledgers.reduce((sum, ledger) => sum + ledger[name], node.past[name]);
    return {
      name: node.name,
      boot: report.boot,
      seq: node.ledgers.get(report.boot)?.highest ?? report.seq,
      lastReportMs: arrivedMs,
      stale: nowMs - arrivedMs > staleAfterMs,
      reports: {
        applied: total('applied'),
        duplicates: total('duplicates'),
        missing: total('missing'),
        boots: node.bootsSeen,
      },
      agent: report.agent,
      ...(report.sockets === undefined ? {} : { sockets: report.sockets }),
      ...(report.conntrack === undefined ? {} : { conntrack: report.conntrack }),
      health: report.health,
      conditions: report.conditions,
      probes: [...node.results.values()]
        .filter((r) => wanted.has(r.target.name) || report.toMs - r.startUs / 1000 < RESULT_LIFE_MS)
        .sort(worstFirst),
      assigned,
    };
  };

  return {
    ledger(name, boot) {
      const node = nodeOf(name);
      const known = node.ledgers.get(boot);
      const ledger = known ?? new Ledger();
      node.ledgers.delete(boot);
      node.ledgers.set(boot, ledger);
      if (known === undefined) node.bootsSeen++;
      forgetOldestRun(node);
      return ledger;
    },
    apply(name, report, nowMs) {
      const node = nodeOf(name);
      const sameRun = node.latest?.report.boot === report.boot;
      const news = isNews(node.latest, report, nowMs, staleAfterMs);
      if (news) node.latest = { report, arrivedMs: nowMs };
      if (news && !sameRun) node.results.clear();
      if (news || sameRun) for (const result of report.probes) keepResult(node.results, result);
    },
    view: (nowMs) =>
      [...nodes.values()]
        .map((node) => viewOf(node, nowMs))
        .filter((view) => view !== undefined)
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    nodeView(name, nowMs) {
      const node = nodes.get(name);
      return node === undefined ? undefined : viewOf(node, nowMs);
    },
    forgetGone(isGone, nowMs) {
      let count = 0;
      for (const { name, latest } of nodes.values()) {
        if (latest === undefined || nowMs - latest.arrivedMs <= staleAfterMs || !isGone(name)) continue;
        nodes.delete(name);
        count++;
      }
      return count;
    },
    clear: () => nodes.clear(),
    get evicted() {
      return evicted;
    },
  };
}

/**
 * Whether a report tells more than the latest one. Within a run the number says so. Between runs the agent's
 * clock does, since reports of a run before may come late from the spool; unless the present run has gone
 * silent, for a clock may have been set back.
 */
function isNews(latest: Node['latest'], report: Report, nowMs: number, staleAfterMs: number): boolean {
  if (latest === undefined) return true;
  if (report.boot === latest.report.boot) return report.seq > latest.report.seq;
  return report.toMs >= latest.report.toMs || nowMs - latest.arrivedMs > staleAfterMs;
}

function keepResult(results: Map<string, ProbeResult>, result: ProbeResult): void {
  const key = `${result.target.name} ${result.remote.address}`;
  if ((results.get(key)?.startUs ?? 0) > result.startUs) return;
  results.delete(key);
  results.set(key, result);
  const [oldest] = results.keys();
  if (results.size > RESULTS_KEPT && oldest !== undefined) results.delete(oldest);
}

function forgetOldestRun(node: Node): void {
  const [oldest] = node.ledgers;
  if (node.ledgers.size <= RUNS_KEPT || oldest === undefined) return;
  const [boot, ledger] = oldest;
  node.past.applied += ledger.applied;
  node.past.duplicates += ledger.duplicates;
  node.past.missing += ledger.missing;
  node.ledgers.delete(boot);
}
