/** What a target's `ref` says to the operator: which HandshakeProbe, in which generation, asked for it. */

import type { ProbeResult, ProbeTarget } from '#contract';

export interface ProbeRef {
  readonly namespace: string;
  readonly name: string;
  /** Name of the target in the probe. */
  readonly target: string;
  readonly uid: string;
  readonly generation: number;
}

export function refText({
  namespace,
  name,
  target,
  uid,
  generation,
}: ProbeRef): NonNullable<ProbeTarget['ref']> {
  return [namespace, name, target, uid, generation].join('/');
}

/** Undefined where a target has no reference, or none of this kind: agents hand back what they were given, or what they like. */
export function probeRefOf({ ref }: ProbeResult['target']): ProbeRef | undefined {
  const parts = ref?.split('/') ?? [];
  const [namespace = '', name = '', target = '', uid = '', generation = ''] = parts;
  if (parts.length !== 5 || !/^\d{1,15}$/.test(generation)) return undefined;
  return { namespace, name, target, uid, generation: Number(generation) };
}
