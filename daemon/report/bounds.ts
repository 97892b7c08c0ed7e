/**
 * Holds what goes into a report within CONTRACT_LIMITS. What is left out is folded into the sums the contract
 * has for it, or counted.
 */

import type { Condition } from '#base/errors.ts';
import type { ConntrackSummary, Holder, ProbeResult, SocketSummary } from '#contract';
import { CONTRACT_LIMITS, TCP_STATES } from '#contract';

const ELLIPSIS = '…';

/** Cuts text that is over the contract's length, and shows that it was cut. */
export function boundText(text: string): string {
  return text.length <= CONTRACT_LIMITS.text ? text : text.slice(0, CONTRACT_LIMITS.text - 1) + ELLIPSIS;
}

/** Folds the groups and listeners that do not fit. */
export function boundSockets(sockets: SocketSummary): SocketSummary {
  const { holders, listeners } = sockets;
  if (holders.length <= CONTRACT_LIMITS.holders && listeners.length <= CONTRACT_LIMITS.listeners) {
    return sockets;
  }
  return {
    ...sockets,
    holders: holders.slice(0, CONTRACT_LIMITS.holders),
    folded: foldHolders(sockets.folded, holders.slice(CONTRACT_LIMITS.holders)),
    listeners: listeners.slice(0, CONTRACT_LIMITS.listeners),
    listenersFolded: sockets.listenersFolded + Math.max(0, listeners.length - CONTRACT_LIMITS.listeners),
  };
}

function foldHolders(folded: SocketSummary['folded'], over: readonly Holder[]): SocketSummary['folded'] {
  return TCP_STATES.flatMap((state) => {
    const before = folded.find((entry) => entry.state === state);
    const added = over.filter((holder) => holder.state === state);
    const groups = (before?.groups ?? 0) + added.length;
    const sockets = added.reduce((sum, holder) => sum + holder.count, before?.sockets ?? 0);
    return groups === 0 ? [] : [{ state, groups, sockets }];
  });
}

/** Sums the states that do not fit as `OTHER`. */
export function boundConntrack(conntrack: ConntrackSummary): ConntrackSummary {
  const { states } = conntrack;
  if (states.length <= CONTRACT_LIMITS.conntrackStates) return conntrack;
  const kept = states.slice(0, CONTRACT_LIMITS.conntrackStates - 1);
  const other = states.slice(kept.length).reduce((sum, { count }) => sum + count, 0);
  return { ...conntrack, states: [...kept, { state: 'OTHER', count: other }] };
}

/** Keeps the first segments and counts the others in `segmentsFolded`. */
export function boundProbe(result: ProbeResult): ProbeResult {
  const over = Math.max(0, result.segments.length - CONTRACT_LIMITS.segments);
  return {
    ...result,
    sentence: boundText(result.sentence),
    segments: over === 0 ? result.segments : result.segments.slice(0, CONTRACT_LIMITS.segments),
    segmentsFolded: result.segmentsFolded + over,
  };
}

/** The conditions that hold, each once, the first that fit. */
export function boundConditions(conditions: readonly Condition[]): Condition[] {
  const bounded = new Map<string, Condition>();
  for (const { code, message, hint } of conditions) {
    if (bounded.size === CONTRACT_LIMITS.conditions) break;
    bounded.set(`${code} ${message}`, { code, message: boundText(message), hint: boundText(hint) });
  }
  return [...bounded.values()];
}

/** The counters that fit; the number of those that do not is the last one. */
export function boundCounters(counters: Readonly<Record<string, number>>): Record<string, number> {
  const entries = Object.entries(counters);
  if (entries.length <= CONTRACT_LIMITS.counters) return { ...counters };
  const kept = entries.slice(0, CONTRACT_LIMITS.counters - 1);
  return { ...Object.fromEntries(kept), 'report.counters-folded': entries.length - kept.length };
}
