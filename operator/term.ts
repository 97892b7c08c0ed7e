/** What runs while this replica leads, and only then: the controllers, and what they read of the cluster. */

import { randomUUID } from 'node:crypto';
import type { AddressPolicy } from '#base/address-policy.ts';
import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { ProbeTarget, Report } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { createHandshakeProbeController } from './controllers/handshake-probe/controller.ts';
import { createReportsController } from './controllers/reports/controller.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { KubeClient } from './kube/client.ts';
import { createEventRecorder } from './kube/event-recorder.ts';
import { untilAborted } from './kube/until-aborted.ts';
import { createInventory } from './workloads/inventory.ts';

/** How long requests under way are given when the term ends; then they are cut off, whether or not they were done. */
const LAST_WRITES_MS = 700;

export interface TermOptions {
  readonly client: KubeClient;
  readonly fleet: Fleet;
  readonly targets: readonly ProbeTarget[];
  /** What the agents may not probe. */
  readonly policy: AddressPolicy;
  /** Name of this replica. */
  readonly identity: string;
  readonly log: Logger;
}

export interface Term {
  /** `Acknowledgement.instance` of the reports taken in it. */
  readonly id: string;
  /** Undefined until all probes are known. */
  assignmentOf(node: string): readonly ProbeTarget[] | undefined;
  onReport(node: string, report: Report): void;
  conditions(): readonly Condition[];
  counters(): Readonly<Record<string, number>>;
  sizes(): Readonly<Record<string, number>>;
  /** Settles within a second, whether or not the API server answers. */
  stop(): Promise<void>;
}

/** How often it is looked for nodes that are gone, so that a cluster whose nodes come and go is not remembered whole. */
const FORGET_EVERY_MS = 10_000;

export function startTerm(options: TermOptions): Term {
  const { fleet, targets, policy, identity, log } = options;
  const ending = new AbortController();
  const client = untilAborted(options.client, ending.signal);
  const inventory = createInventory({ client, log });
  const recorder = createEventRecorder({ client, instance: identity, log });
  const reports = createReportsController({ client, inventory, fleet, recorder, log });
  const probes = createHandshakeProbeController({ client, inventory, fleet, recorder, policy, log });
  inventory.start();
  reports.start();
  probes.start();
  let nodesKnown = false;
  let nodesForgotten = 0;
  inventory.synced.then(() => {
    nodesKnown = true;
  });
  const forgetting = setInterval(() => {
    if (!nodesKnown) return;
    nodesForgotten += fleet.forgetGone((name) => inventory.nodes.get(name) === undefined, Date.now());
  }, FORGET_EVERY_MS);
  return {
    id: randomUUID(),
    assignmentOf(node) {
      const assigned = probes.assignmentOf(node);
      return assigned && [...targets, ...assigned].slice(0, CONTRACT_LIMITS.targets);
    },
    onReport(node, report) {
      for (const result of report.probes) probes.onResult(node, result);
    },
    conditions: () => [...inventory.conditions(), ...reports.conditions(), ...probes.conditions()],
    counters: () => ({
      nodesForgotten,
      ...named('inventory', inventory.counters()),
      ...named('reports', reports.counters()),
      ...named('handshakeProbes', probes.counters()),
      ...named('events', recorder.counters),
    }),
    sizes: () => ({ ...inventory.sizes(), ...reports.sizes(), ...probes.sizes() }),
    async stop() {
      clearInterval(forgetting);
      const patience = setTimeout(() => ending.abort(), LAST_WRITES_MS);
      await Promise.all([reports.stop(), probes.stop()]);
      await Promise.all([recorder.stop(), inventory.stop()]);
      clearTimeout(patience);
    },
  };
}

function named(part: string, counters: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).map(([name, value]) => [`${part}.${name}`, value]));
}
