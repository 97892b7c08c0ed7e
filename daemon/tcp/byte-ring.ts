/**
 * A bounded queue of bytes with random access, in one growing ring.
 *
 *        head            head + length         head + capacity
 *         |  queued bytes  |  room, or bytes put ahead  |
 *
 * Takes no memory while it is empty. Bytes can be put ahead of the end (`putAhead`) and become part of the
 * queue when `commit` says that the gap before them is filled.
 */

import type { MemoryBudget } from './memory-budget.ts';

const SMALLEST_BYTES = 2048;
const NOTHING = new Uint8Array(0);

export class ByteRing {
  limit: number;
  readonly #memory: MemoryBudget | undefined;
  #bytes = NOTHING;
  #head = 0;
  #length = 0;

  /**
   * @param limit most bytes it will hold
   * @param memory what it shares with others, beyond its first two kilobytes
   */
  constructor(limit: number, memory?: MemoryBudget) {
    this.limit = limit;
    this.#memory = memory;
  }

  get length(): number {
    return this.#length;
  }

  /** Bytes of memory it takes now. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** Appends what fits of `source[start, end)` and answers how many bytes that was. */
  append(source: Uint8Array, start: number, end: number): number {
    const count = Math.max(Math.min(end - start, this.limit - this.#length), 0);
    this.putAhead(this.#length, source, start, start + count);
    this.#length += count;
    return count;
  }

  /** Puts bytes at `offset` from the head, at or after the end of the queue. They must fit below the limit. */
  putAhead(offset: number, source: Uint8Array, start: number, end: number): void {
    const count = end - start;
    if (count <= 0) return;
    this.reserve(offset + count);
    const capacity = this.#bytes.length;
    const at = (this.#head + offset) % capacity;
    const first = Math.min(count, capacity - at);
    this.#bytes.set(source.subarray(start, start + first), at);
    if (first < count) this.#bytes.set(source.subarray(start + first, end), 0);
  }

  /** Makes `count` bytes that were put ahead part of the queue. */
  commit(count: number): void {
    this.#length += count;
  }

  /** Copies `length` queued bytes from `offset` on into `target`. */
  copy(offset: number, length: number, target: Uint8Array, targetOffset: number): void {
    if (length === 0) return;
    const capacity = this.#bytes.length;
    const at = (this.#head + offset) % capacity;
    const first = Math.min(length, capacity - at);
    target.set(this.#bytes.subarray(at, at + first), targetOffset);
    if (first < length) target.set(this.#bytes.subarray(0, length - first), targetOffset + first);
  }

  /** Removes `count` queued bytes from the head. */
  drop(count: number): void {
    this.#length -= count;
    if (this.#bytes.length > 0) this.#head = (this.#head + count) % this.#bytes.length;
  }

  /** Gives the memory back. Only for an empty queue with nothing put ahead. */
  release(): void {
    this.#memory?.give(Math.max(this.#bytes.length - SMALLEST_BYTES, 0));
    this.#bytes = NOTHING;
    this.#head = 0;
  }

  /** Sees to it that `needed` bytes from the head on fit; false when there is no memory for them. */
  reserve(needed: number): boolean {
    const capacity = this.#bytes.length;
    if (needed <= capacity) return true;
    let grown = Math.max(capacity, SMALLEST_BYTES);
    while (grown < needed) grown *= 2;
    const size = Math.min(grown, Math.max(this.limit, needed));
    const shared = Math.max(size, SMALLEST_BYTES) - Math.max(capacity, SMALLEST_BYTES);
    if (this.#memory?.take(shared) === false) return false;
    const bytes = new Uint8Array(size);
    bytes.set(this.#bytes.subarray(this.#head), 0);
    bytes.set(this.#bytes.subarray(0, this.#head), capacity - this.#head);
    this.#bytes = bytes;
    this.#head = 0;
    return true;
  }
}
