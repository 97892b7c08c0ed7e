/** Of very many the largest few, the largest first: nothing is made of the others. */
export class Largest<T> {
  readonly #room: number;
  readonly #kept: { readonly size: number; readonly second: number; readonly made: T }[] = [];

  constructor(room: number) {
    this.#room = room;
  }

  /**
   * @param second decides between two of the same size
   * @param make is called for one that has a place
   */
  offer(size: number, second: number, make: () => T): void {
    const kept = this.#kept;
    let from = 0;
    for (let to = kept.length; from < to; ) {
      const middle = (from + to) >> 1;
      const other = kept[middle] as (typeof kept)[number];
      if (size > other.size || (size === other.size && second > other.second)) to = middle;
      else from = middle + 1;
    }
    if (from >= this.#room) return;
    kept.splice(from, 0, { size, second, made: make() });
    if (kept.length > this.#room) kept.pop();
  }

  get all(): T[] {
    return this.#kept.map(({ made }) => made);
  }
}
