/** What all HandshakeProbes together ask for, for as long as they and the cluster stay as they are. */

import { hostPortText } from '#base/host-port.ts';
import type { ProbeTarget } from '#contract';
import type { NodeRecord } from '../../workloads/inventory.ts';
import type { Assignment, Planned } from './assignment.ts';
import { assignTo, chosenNodes } from './assignment.ts';
import type { Directory, Located, Place } from './places.ts';
import { locate } from './places.ts';
import type { ProbeRecord } from './probe-record.ts';
import type { RunState } from './run-state.ts';

export interface PlanInput {
  readonly probes: Iterable<ProbeRecord>;
  readonly nodes: readonly NodeRecord[];
  readonly stateOf: (probe: ProbeRecord) => Pick<RunState, 'answered' | 'complete'>;
  readonly directory: Directory;
  /** Of the leader that plans. */
  readonly term: string;
}

export interface PlannedProbe extends Located {
  /** Names of the chosen nodes, also while the probe does not run. */
  readonly nodes: ReadonlySet<string>;
}

const NOTHING: PlannedProbe = { places: [], faults: [], nodes: new Set() };

/** Work of a result is that of one node, whatever the size of the cluster. */
export class Plan {
  /** By `namespace/name`. */
  readonly #probes = new Map<string, PlannedProbe & { readonly asked: ReadonlySet<string> }>();
  /** The probes that run, by name of the node. */
  readonly #byNode = new Map<string, Planned[]>();
  readonly #assignments = new Map<string, Assignment>();
  readonly #leftOut = new Map<string, number>();
  readonly #term: string;

  constructor({ probes, nodes: all, stateOf, directory, term }: PlanInput) {
    this.#term = term;
    for (const probe of probes) {
      const state = stateOf(probe);
      const located = locate(probe.targets, probe.namespace, directory);
      const nodes = new Set(chosenNodes(probe, all));
      const asked = new Set(located.places.map(placeKey));
      this.#probes.set(`${probe.namespace}/${probe.name}`, { ...located, nodes, asked });
      if (probe.suspend || state.complete || located.places.length === 0) continue;
      const planned: Planned = {
        probe,
        places: located.places,
        answered: (node, place) => state.answered(node, place),
      };
      for (const node of nodes) {
        const list = this.#byNode.get(node);
        if (list === undefined) this.#byNode.set(node, [planned]);
        else list.push(planned);
      }
    }
    for (const node of this.#byNode.keys()) this.#assign(node);
  }

  /** @param key `namespace/name` */
  of(key: string): PlannedProbe {
    return this.#probes.get(key) ?? NOTHING;
  }

  /** Whether a node is to probe a place for a probe, or was before it was suspended. */
  asks(key: string, node: string, place: Place): boolean {
    const probe = this.#probes.get(key);
    return probe?.nodes.has(node) === true && probe.asked.has(placeKey(place));
  }

  assignmentOf(node: string): readonly ProbeTarget[] {
    return this.#assignments.get(node)?.targets ?? [];
  }

  /** Targets of a probe that nodes have no room for. */
  leftOut(key: string): number {
    return this.#leftOut.get(key) ?? 0;
  }

  /** A node has answered for something that is probed once: it has room for something else. */
  again(node: string): void {
    if (this.#byNode.has(node)) this.#assign(node);
  }

  #assign(node: string): void {
    for (const [key, count] of this.#assignments.get(node)?.leftOut ?? []) this.#leave(key, -count);
    const assignment = assignTo(node, this.#byNode.get(node) ?? [], this.#term);
    this.#assignments.set(node, assignment);
    for (const [key, count] of assignment.leftOut) this.#leave(key, count);
  }

  #leave(key: string, count: number): void {
    this.#leftOut.set(key, this.leftOut(key) + count);
  }
}

function placeKey({ target, host, port }: Place): string {
  return `${target} ${hostPortText(host, port)}`;
}
