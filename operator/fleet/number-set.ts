/**
 * A set of positive whole numbers that mostly come in order, kept as its gaps-free ranges.
 * Bounded: when there are too many ranges, the two lowest become one, and the numbers between them count as held.
 */
export class NumberSet {
  /** Disjoint, not touching, ascending; each is [from, to], both included. */
  readonly #ranges: [from: number, to: number][] = [];
  readonly #maxRanges: number;

  constructor(maxRanges: number) {
    this.#maxRanges = maxRanges;
  }

  has(number: number): boolean {
    return this.#ranges.some(([from, to]) => from <= number && number <= to);
  }

  add(number: number): void {
    if (this.has(number)) return;
    // Nearly always the last range grows, so the search starts there.
    let after = this.#ranges.length;
    while (after > 0 && (this.#ranges[after - 1]?.[0] ?? 0) > number) after--;
    const [before, next] = [this.#ranges[after - 1], this.#ranges[after]];
    const [joinsBefore, joinsNext] = [before?.[1] === number - 1, next?.[0] === number + 1];
    if (before !== undefined && next !== undefined && joinsBefore && joinsNext) {
      before[1] = next[1];
      this.#ranges.splice(after, 1);
    } else if (before !== undefined && joinsBefore) before[1] = number;
    else if (next !== undefined && joinsNext) next[0] = number;
    else this.#ranges.splice(after, 0, [number, number]);
    this.#foldLowest();
  }

  /** The highest number held; 0 when there is none. */
  get highest(): number {
    return this.#ranges.at(-1)?.[1] ?? 0;
  }

  /** How many numbers between the lowest and the highest are not held. */
  get missing(): number {
    let missing = 0;
    for (const [index, [from]] of this.#ranges.entries()) {
      if (index > 0) missing += from - (this.#ranges[index - 1]?.[1] ?? from) - 1;
    }
    return missing;
  }

  #foldLowest(): void {
    const [lowest, second] = this.#ranges;
    if (this.#ranges.length <= this.#maxRanges || lowest === undefined || second === undefined) return;
    lowest[1] = second[1];
    this.#ranges.splice(1, 1);
  }
}
