/**
 * A bounded queue of bytes with random access, in one growing ring.
 *
 *        head            head + length         head + capacity
 *         |  queued bytes  |  room, or bytes put ahead  |
 *
 * Takes no memory while it is empty. Bytes can be put ahead of the end (`putAhead`) and become part of the
 * queue when `commit` says that the gap before them is filled.
 */

const SMALLEST_BYTES = 2048;
const NOTHING = new Uint8Array(0);

export class ByteRing {
  limit: number;
  #bytes = NOTHING;
  #head = 0;
  #length = 0;

  /** @param limit most bytes it will hold */
  constructor(limit: number) {
    this.limit = limit;
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
    this.#reserve(offset + count);
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
    this.#bytes = NOTHING;
    this.#head = 0;
  }

  #reserve(needed: number): void {
    const capacity = this.#bytes.length;
    if (needed <= capacity) return;
    let grown = Math.max(capacity, SMALLEST_BYTES);
    while (grown < needed) grown *= 2;
    const bytes = new Uint8Array(Math.min(grown, Math.max(this.limit, needed)));
    bytes.set(this.#bytes.subarray(this.#head), 0);
    bytes.set(this.#bytes.subarray(0, this.#head), capacity - this.#head);
    this.#bytes = bytes;
    this.#head = 0;
  }
}
