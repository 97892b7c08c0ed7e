/** Metrics of what the nodes reported last, read when they are sent. A stale node keeps only its age. */

import type { Attributes, Meter, ObservableResult } from '@opentelemetry/api';
import type { Holder } from '#contract';
import type { NodeView } from '../fleet/view.ts';
import { ATTR, connectionState, METRIC } from './semconv.ts';

/** Groups of sockets that get a series of their own on each node; the rest is summed in one of `folded`. */
const HOLDERS_PER_NODE = 10;

export function observeNodes(meter: Meter, nodes: () => readonly NodeView[]): void {
  const fresh = (): NodeView[] => nodes().filter((node) => !node.stale);
  const upDown = (name: string, unit: string, description: string, read: (to: ObservableResult) => void) =>
    meter.createObservableUpDownCounter(name, { unit, description }).addCallback(read);
  const gauge = (name: string, unit: string, description: string, read: (to: ObservableResult) => void) =>
    meter.createObservableGauge(name, { unit, description }).addCallback(read);

  upDown(METRIC.connections, '{connection}', 'TCP sockets by state', (to) => {
    for (const node of fresh()) {
      for (const { state, family, count } of node.sockets?.states ?? []) {
        to.observe(count, {
          [ATTR.node]: node.name,
          [ATTR.connectionState]: connectionState(state),
          [ATTR.transport]: 'tcp',
          [ATTR.networkType]: `ipv${family}`,
        });
      }
    }
  });
  upDown(METRIC.holders, '{connection}', 'TIME_WAIT and CLOSE_WAIT sockets by who holds them', (to) => {
    for (const node of fresh()) observeHolders(node, to);
  });
  upDown(METRIC.conntrackEntries, '{entry}', 'Entries in the conntrack table', (to) => {
    for (const { name, conntrack } of fresh()) {
      if (conntrack !== undefined) to.observe(conntrack.count, { [ATTR.node]: name });
    }
  });
  upDown(METRIC.conntrackLimit, '{entry}', 'Size of the conntrack table', (to) => {
    for (const { name, conntrack } of fresh()) {
      if (conntrack !== undefined) to.observe(conntrack.max, { [ATTR.node]: name });
    }
  });
  gauge(METRIC.conntrackUtilization, '1', 'Share of the conntrack table in use', (to) => {
    for (const { name, conntrack } of fresh()) {
      if (conntrack !== undefined && conntrack.max > 0) {
        to.observe(conntrack.count / conntrack.max, { [ATTR.node]: name });
      }
    }
  });
  gauge(METRIC.reportAge, 's', 'Time since the last report of the node', (to) => {
    for (const node of nodes()) {
      to.observe((Date.now() - node.lastReportMs) / 1000, { [ATTR.node]: node.name });
    }
  });
}

function observeHolders(node: NodeView, to: ObservableResult): void {
  const { holders = [], folded = [] } = node.sockets ?? {};
  const largest = [...holders].sort((a, b) => b.count - a.count);
  for (const holder of largest.slice(0, HOLDERS_PER_NODE)) {
    to.observe(holder.count, holderAttributes(node.name, holder));
  }
  for (const state of ['TIME-WAIT', 'CLOSE-WAIT'] as const) {
    const small = largest.slice(HOLDERS_PER_NODE).filter((holder) => holder.state === state);
    const beyond = folded.filter((group) => group.state === state);
    const rest = [...small.map(({ count }) => count), ...beyond.map(({ sockets }) => sockets)];
    if (rest.length === 0) continue;
    to.observe(
      rest.reduce((sum, count) => sum + count, 0),
      { [ATTR.node]: node.name, [ATTR.connectionState]: connectionState(state), [ATTR.holderFolded]: true },
    );
  }
}

function holderAttributes(node: string, holder: Holder): Attributes {
  return {
    [ATTR.node]: node,
    [ATTR.connectionState]: connectionState(holder.state),
    [ATTR.holderDirection]: holder.direction,
    [ATTR.processName]: holder.process?.name ?? 'unknown',
    [ATTR.peerAddress]: holder.peer,
    [ATTR.serverPort]: holder.port,
    [ATTR.holderFolded]: false,
  };
}
