/** What each node is to probe for all HandshakeProbes together. Pure. */

import { createHash } from 'node:crypto';
import { hostPortText } from '#base/host-port.ts';
import type { ProbeTarget } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { selects } from '../../api/v1alpha1/diagnosis-policy.ts';
import { refText } from '../../probe-ref.ts';
import type { NodeRecord } from '../../workloads/inventory.ts';
import type { Place } from './places.ts';
import type { ProbeRecord } from './probe-record.ts';

/** A probe that runs, with where it goes and from where. */
export interface Planned {
  readonly probe: ProbeRecord;
  readonly places: readonly Place[];
  /** Of a probe that runs once: whether this place was answered for from this node. */
  readonly answered: (node: string, place: Place) => boolean;
}

/** What one node is to probe. */
export interface Assignment {
  readonly targets: readonly ProbeTarget[];
  /** Targets it has no room for, by `namespace/name` of the probe. */
  readonly leftOut: ReadonlyMap<string, number>;
}

const NAME_LENGTH = CONTRACT_LIMITS.text;

/** The nodes that a probe is to run from, by name. */
export function chosenNodes({ nodes }: ProbeRecord, all: Iterable<NodeRecord>): string[] {
  const named = nodes.names === undefined ? undefined : new Set(nodes.names);
  return [...all]
    .filter(({ name, labels }) => named?.has(name) !== false && selects(nodes.selector ?? {}, labels))
    .map(({ name }) => name)
    .sort();
}

/**
 * Shares the room of a node fairly: one target of each probe, then the second of each, and so on.
 * @param planned the probes that run from the node
 * @param term of the leader that assigns
 */
export function assignTo(node: string, planned: readonly Planned[], term: string): Assignment {
  const shares = planned.map(({ probe, places, answered }) => ({
    probe,
    places: places.filter((place) => !probe.once || !answered(node, place)),
  }));
  const targets: ProbeTarget[] = [];
  const leftOut = new Map<string, number>();
  const longest = shares.reduce((most, { places }) => Math.max(most, places.length), 0);
  for (let round = 0; round < longest; round++) {
    for (const { probe, places } of shares) {
      const place = places[round];
      if (place === undefined) continue;
      const key = `${probe.namespace}/${probe.name}`;
      if (targets.length < CONTRACT_LIMITS.targets) targets.push(targetOf(probe, place, term));
      else leftOut.set(key, (leftOut.get(key) ?? 0) + 1);
    }
  }
  return { targets, leftOut };
}

/**
 * Names one run of a probe that runs once. A change of the spec makes another; so does a new leader, for the one before
 * it may have had the answer and not yet written it down.
 */
function runOf({ uid, generation }: ProbeRecord, term: string): string {
  return `${uid}/${generation}/${term}`;
}

function targetOf(probe: ProbeRecord, { target, host, port }: Place, term: string): ProbeTarget {
  const { namespace, name, uid, generation, intervalMs, limits, send } = probe;
  return {
    name: shortened(`${namespace}/${name}/${target} ${hostPortText(host, port)}`),
    host,
    port,
    origin: 'user',
    intervalMs,
    limits,
    ref: refText({ namespace, name, target, uid, generation }),
    ...(probe.once ? { once: runOf(probe, term) } : {}),
    ...(send === undefined ? {} : { send }),
  };
}

function shortened(name: string): string {
  if (name.length <= NAME_LENGTH) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return `${name.slice(0, NAME_LENGTH - 17)} ${hash}`;
}
