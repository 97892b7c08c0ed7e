/** Runs of many seeds, which let go of the event loop now and then. */

import { playNetlink } from './netlink.ts';
import { playSequence, type Told } from './sequence.ts';
import { playWire } from './wire.ts';

/**
 * What a seed stands for: a run of segments from an active or a passive open, or packets or netlink messages for the
 * decoders.
 */
export const KINDS = ['active', 'passive', 'wire', 'netlink'] as const;
export type Kind = (typeof KINDS)[number];

/** Inputs for the decoders that one seed makes. */
const DECODED = 1000;
const SEEDS_MAX = 2 ** 30;

export interface Campaign extends Told {
  seeds: number;
}

/**
 * Plays seeds from `first` on until `isOver`.
 *
 * @throws Error that names the seed, and how to see its run again
 */
export async function fuzz(kind: Kind, first: number, isOver: (so: Campaign) => boolean): Promise<Campaign> {
  const so: Campaign = { inputs: 0, transitions: new Map(), seeds: 0 };
  for (let seed = first % SEEDS_MAX; !isOver(so); seed += 1) {
    playOne(kind, seed, so);
    so.seeds += 1;
    if (so.seeds % 500 === 0) await new Promise(setImmediate);
  }
  return so;
}

/** @param say told of everything that happens in a run of segments */
export function playOne(kind: Kind, seed: number, told: Told, say?: (line: string) => void): void {
  try {
    const play = kind === 'wire' ? playWire : kind === 'netlink' ? playNetlink : undefined;
    if (play !== undefined) {
      play(seed, DECODED);
      told.inputs += DECODED;
    } else playSequence(kind === 'active' ? 2 * seed : 2 * seed + 1, told, say);
  } catch (error) {
    const what = error instanceof Error ? error.message : error;
    throw new Error(`${what}; to see it: node test/fuzz.ts ${kind} --replay ${seed}`, { cause: error });
  }
}
