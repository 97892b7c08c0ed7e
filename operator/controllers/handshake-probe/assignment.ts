/** What a node is to probe for all HandshakeProbes together, and how its room is shared. Pure. */

import { createHash } from 'node:crypto';
import { hostPortText } from '#base/host-port.ts';
import type { ProbeTarget } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { refText } from '../../probe-ref.ts';
import type { Place } from './places.ts';
import type { ProbeRecord } from './probe-record.ts';

const NAME_LENGTH = CONTRACT_LIMITS.text;

/**
 * Shares the room of a node fairly: one target of each probe, then the second of each, and so on.
 * @param wanted what each probe has for the node
 * @returns what there is room for
 */
export function shareRoom<T>(wanted: readonly (readonly T[])[]): T[] {
  const taken: T[] = [];
  const longest = wanted.reduce((most, { length }) => Math.max(most, length), 0);
  for (let round = 0; round < longest; round++) {
    for (const each of wanted) {
      if (taken.length === CONTRACT_LIMITS.targets) return taken;
      const next = each[round];
      if (next !== undefined) taken.push(next);
    }
  }
  return taken;
}

/** The targets of a probe as agents are told of them; @param term of the leader that assigns */
export function targetsOf(probe: ProbeRecord, places: readonly Place[], term: string): ProbeTarget[] {
  return places.map((place) => targetOf(probe, place, term));
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
