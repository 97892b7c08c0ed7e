/** All connections by when they need the clock next: a binary heap that knows each one's place. */

export interface Timed {
  /** When it needs the clock; Infinity when it does not. */
  deadlineUs: number;
  /** Its place in the heap, -1 when it is not in it. Owned by the heap. */
  heapIndex: number;
}

export class Deadlines<T extends Timed> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** When the first one is due. */
  get nextUs(): number {
    return this.#heap[0]?.deadlineUs ?? Number.POSITIVE_INFINITY;
  }

  get first(): T | undefined {
    return this.#heap[0];
  }

  /** Gives `item` its new deadline; Infinity takes it out. */
  set(item: T, deadlineUs: number): void {
    if (deadlineUs === Number.POSITIVE_INFINITY) {
      this.#remove(item);
      item.deadlineUs = deadlineUs;
      return;
    }
    if (item.heapIndex < 0) {
      item.heapIndex = this.#heap.length;
      this.#heap.push(item);
    } else if (item.deadlineUs === deadlineUs) return;
    item.deadlineUs = deadlineUs;
    this.#sift(item);
  }

  #remove(item: T): void {
    const at = item.heapIndex;
    if (at < 0) return;
    item.heapIndex = -1;
    const last = this.#heap.pop() as T;
    if (last === item) return;
    this.#place(last, at);
    this.#sift(last);
  }

  #place(item: T, at: number): void {
    this.#heap[at] = item;
    item.heapIndex = at;
  }

  #sift(item: T): void {
    let at = item.heapIndex;
    while (at > 0) {
      const parent = this.#heap[(at - 1) >> 1] as T;
      if (parent.deadlineUs <= item.deadlineUs) break;
      this.#place(parent, at);
      at = (at - 1) >> 1;
    }
    for (;;) {
      const left = this.#heap[2 * at + 1];
      const right = this.#heap[2 * at + 2];
      const child = left && right && right.deadlineUs < left.deadlineUs ? right : left;
      if (child === undefined || child.deadlineUs >= item.deadlineUs) break;
      const from = child.heapIndex;
      this.#place(child, at);
      at = from;
    }
    this.#place(item, at);
  }
}
