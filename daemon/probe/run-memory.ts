/** Which runs of targets that are probed once have been: each is for one value of `once`. */

import type { ProbeTarget } from '#contract';

/** An assignment that comes again after so many others would be run again. */
const RUNS_REMEMBERED = 4096;

export class RunMemory {
  /** The oldest first. */
  readonly #runs = new Set<string>();

  /** Of a target without a run there is nothing to remember. */
  add(target: Pick<ProbeTarget, 'name' | 'once'>): void {
    if (target.once === undefined) return;
    this.#runs.add(runOf(target));
    const [oldest] = this.#runs;
    if (this.#runs.size > RUNS_REMEMBERED && oldest !== undefined) this.#runs.delete(oldest);
  }

  has(target: Pick<ProbeTarget, 'name' | 'once'>): boolean {
    return target.once !== undefined && this.#runs.has(runOf(target));
  }
}

function runOf({ name, once }: Pick<ProbeTarget, 'name' | 'once'>): string {
  return `${name} ${once}`;
}
