/** The nodes that probes are to run from. Probes that say the same share them. Pure. */

import { selects } from '../../api/v1alpha1/diagnosis-policy.ts';
import type { NodeRecord } from '../../workloads/inventory.ts';
import type { ProbeRecord } from './probe-record.ts';

/** Which nodes are chosen, and how many probes say so. */
export interface Selection {
  readonly chooses: (node: NodeRecord) => boolean;
  /** Names of the nodes. */
  readonly nodes: ReadonlySet<string>;
}

interface Kept extends Selection {
  readonly nodes: Set<string>;
  users: number;
}

export class Selections {
  readonly #nodes = new Map<string, NodeRecord>();
  /** By what probes say. */
  readonly #kept = new Map<string, Kept>();

  /** The one that a probe shares from now on, until it is given back. */
  take({ nodes }: ProbeRecord): Selection {
    const key = JSON.stringify(nodes);
    const kept = this.#kept.get(key) ?? this.#make(nodes);
    this.#kept.set(key, kept);
    kept.users++;
    return kept;
  }

  giveBack({ nodes }: ProbeRecord): void {
    const key = JSON.stringify(nodes);
    const kept = this.#kept.get(key);
    if (kept !== undefined && --kept.users === 0) this.#kept.delete(key);
  }

  /**
   * A node is there, has other labels, or is gone.
   * @returns the selections that it came into or left
   */
  set(name: string, node: NodeRecord | undefined): ReadonlySet<Selection> {
    if (node === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, node);
    const changed = new Set<Selection>();
    for (const kept of this.#kept.values()) {
      const chosen = node !== undefined && kept.chooses(node);
      if (chosen === kept.nodes.has(name)) continue;
      if (chosen) kept.nodes.add(name);
      else kept.nodes.delete(name);
      changed.add(kept);
    }
    return changed;
  }

  /** The nodes that the same selections choose are alike: how many there are of each kind, and an example. */
  alike(): { readonly example: string; readonly count: number }[] {
    const kinds = new Map<string, { example: string; count: number }>();
    const all = [...this.#kept.values()];
    for (const name of this.#nodes.keys()) {
      const key = all.map(({ nodes }) => (nodes.has(name) ? '1' : '0')).join('');
      const kind = kinds.get(key);
      if (kind === undefined) kinds.set(key, { example: name, count: 1 });
      else kind.count++;
    }
    return [...kinds.values()];
  }

  #make({ names, selector }: ProbeRecord['nodes']): Kept {
    const named = names === undefined ? undefined : new Set(names);
    const chooses = ({ name, labels }: NodeRecord): boolean =>
      named?.has(name) !== false && selects(selector ?? {}, labels);
    const chosen = [...this.#nodes.values()].filter(chooses);
    return { chooses, nodes: new Set(chosen.map(({ name }) => name)), users: 0 };
  }
}
