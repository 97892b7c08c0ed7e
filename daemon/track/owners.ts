/** Who sockets belong to, each kept once and known by a number: thousands of sockets have the same owner. */

import type { Holder, PodRef, ProcessRef } from '#contract';

export interface Owner {
  readonly process: ProcessRef | null;
  /** The pod of the process, where it is one of a pod. */
  readonly pod: PodRef | undefined;
  readonly podBy: Exclude<Holder['podBy'], 'namespace'>;
}

export const NOBODY: Owner = { process: null, pod: undefined, podBy: undefined };

const SWEEP_FROM = 1_024;

export class Owners {
  #owners: Owner[] = [NOBODY];
  #numbers = new Map<string, number>();
  #cleanAt = SWEEP_FROM;

  /** 0 is nobody. */
  get(number: number): Owner {
    return this.#owners[number] ?? NOBODY;
  }

  numberOf(owner: Owner): number {
    const { process, pod, podBy } = owner;
    if (process === null && pod === undefined) return 0;
    const key = `${process?.pid} ${pod?.uid} ${pod?.containerId} ${podBy} ${process?.name}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) {
      // The newest object of its kind, so that one look tells that a socket's owner is the same as before.
      this.#owners[known] = owner;
      return known;
    }
    this.#numbers.set(key, this.#owners.length);
    return this.#owners.push(owner) - 1;
  }

  /** Whether there are so many by now that those nobody uses should be let go. */
  get crowded(): boolean {
    return this.#owners.length > this.#cleanAt;
  }

  /** Starts anew; every number in use is to be handed in once, and becomes the one answered. */
  renumber(): (number: number) => number {
    const before = this.#owners;
    this.#owners = [NOBODY];
    this.#numbers = new Map();
    return (number) => {
      const renumbered = this.numberOf(before[number] ?? NOBODY);
      this.#cleanAt = Math.max(SWEEP_FROM, 2 * this.#owners.length);
      return renumbered;
    };
  }
}
