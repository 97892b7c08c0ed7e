/**
 * What all HandshakeProbes together ask for. It follows each change of a probe, a Service or a node by the work of what
 * changed; what one node is to probe is put together when it is asked for. Nothing is kept for each node and probe.
 */

import { hostPortText } from '#base/host-port.ts';
import type { ProbeTarget } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import type { NodeRecord } from '../../workloads/inventory.ts';
import { shareRoom, targetsOf } from './assignment.ts';
import type { Directory, Located, Place } from './places.ts';
import { locate, servicesOf } from './places.ts';
import type { ProbeRecord } from './probe-record.ts';
import type { RunState } from './run-state.ts';
import type { Selection } from './selection.ts';
import { Selections } from './selection.ts';

export interface PlanOptions {
  readonly stateOf: (probe: ProbeRecord) => Pick<RunState, 'answered' | 'complete'>;
  readonly directory: Directory;
  /** Of the leader that plans. */
  readonly term: string;
}

export interface PlannedProbe extends Located {
  /** Names of the chosen nodes, also while the probe does not run. */
  readonly nodes: ReadonlySet<string>;
}

interface Entry extends Located {
  readonly probe: ProbeRecord;
  readonly selection: Selection;
  readonly asked: ReadonlySet<string>;
  /** One for each place; none while the probe does not run. */
  readonly targets: readonly ProbeTarget[];
}

const NOTHING: PlannedProbe = { places: [], faults: [], nodes: new Set() };

export class Plan {
  readonly #options: PlanOptions;
  /** By `namespace/name`, as they came. */
  readonly #probes = new Map<string, Entry>();
  readonly #selections = new Selections();
  /** Keys of the probes that go to a Service, by its key. */
  readonly #byService = new Map<string, Set<string>>();
  /** Targets that nodes have no room for, by key of the probe; undefined until somebody asks again. */
  #leftOut: ReadonlyMap<string, number> | undefined;

  constructor(options: PlanOptions) {
    this.#options = options;
  }

  /** A probe is there, was changed, has come to its end, or goes to a Service that was changed. */
  set(key: string, probe: ProbeRecord): void {
    const { directory, stateOf, term } = this.#options;
    const selection = this.#selections.take(probe);
    this.#leave(key);
    const located = locate(probe.targets, probe.namespace, directory);
    const runs = !probe.suspend && !stateOf(probe).complete;
    this.#probes.set(key, {
      ...located,
      probe,
      selection,
      asked: new Set(located.places.map(placeKey)),
      targets: runs ? targetsOf(probe, located.places, term) : [],
    });
    for (const service of servicesOf(probe)) {
      const keys = this.#byService.get(service) ?? new Set();
      this.#byService.set(service, keys.add(key));
    }
  }

  remove(key: string): void {
    this.#leave(key);
    this.#probes.delete(key);
  }

  /**
   * A node is there, has other labels, or is gone.
   * @returns the keys of the probes that run from it now and did not, or the other way round
   */
  setNode(name: string, node: NodeRecord | undefined): string[] {
    const changed = this.#selections.set(name, node);
    if (changed.size === 0) return [];
    this.#leftOut = undefined;
    return [...this.#probes].filter(([, { selection }]) => changed.has(selection)).map(([key]) => key);
  }

  /** The probes that go to a Service, by key; @param service `namespace/name` */
  usersOf(service: string): readonly string[] {
    return [...(this.#byService.get(service) ?? [])];
  }

  of(key: string): PlannedProbe {
    const entry = this.#probes.get(key);
    return entry === undefined ? NOTHING : { ...entry, nodes: entry.selection.nodes };
  }

  /** Whether a node is to probe a place for a probe, or was before it was suspended. */
  asks(key: string, node: string, place: Place): boolean {
    const entry = this.#probes.get(key);
    return entry?.selection.nodes.has(node) === true && entry.asked.has(placeKey(place));
  }

  assignmentOf(node: string): readonly ProbeTarget[] {
    const wanted: (readonly ProbeTarget[])[] = [];
    for (const { probe, places, targets, selection } of this.#probes.values()) {
      if (targets.length === 0 || !selection.nodes.has(node)) continue;
      const state = probe.once ? this.#options.stateOf(probe) : undefined;
      const open = (_: unknown, i: number): boolean => !state?.answered(node, places[i] as Place);
      wanted.push(state === undefined ? targets : targets.filter(open));
    }
    return shareRoom(wanted);
  }

  /** Targets of a probe that nodes have no room for, were none of those that are probed once answered yet. */
  leftOut(key: string): number {
    this.#leftOut ??= this.#countLeftOut();
    return this.#leftOut.get(key) ?? 0;
  }

  #countLeftOut(): ReadonlyMap<string, number> {
    const leftOut = new Map<string, number>();
    const running = [...this.#probes].filter(([, { targets }]) => targets.length > 0);
    const all = running.reduce((sum, [, { targets }]) => sum + targets.length, 0);
    if (all <= CONTRACT_LIMITS.targets) return leftOut;
    for (const { example, count } of this.#selections.alike()) {
      const here = running.filter(([, { selection }]) => selection.nodes.has(example));
      const taken = new Map<string, number>();
      for (const key of shareRoom(here.map(([key, { targets }]) => targets.map(() => key)))) {
        taken.set(key, (taken.get(key) ?? 0) + 1);
      }
      for (const [key, { targets }] of here) {
        const over = (targets.length - (taken.get(key) ?? 0)) * count;
        leftOut.set(key, (leftOut.get(key) ?? 0) + over);
      }
    }
    return leftOut;
  }

  #leave(key: string): void {
    this.#leftOut = undefined;
    const entry = this.#probes.get(key);
    if (entry === undefined) return;
    this.#selections.giveBack(entry.probe);
    for (const service of servicesOf(entry.probe)) {
      const keys = this.#byService.get(service);
      if (keys?.delete(key) && keys.size === 0) this.#byService.delete(service);
    }
  }
}

function placeKey({ target, host, port }: Place): string {
  return `${target} ${hostPortText(host, port)}`;
}
