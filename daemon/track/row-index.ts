/** Numbers of rows by the hash of what tells them apart: open addressing, at most three quarters full. */

const LEAST_SLOTS = 32;

export class RowIndex {
  readonly #hashOf: (row: number) => number;
  /** Row + 1, 0 for none. */
  #slots = new Uint32Array(LEAST_SLOTS);
  #size = 0;

  /** @param hashOf a row that is in it, of 32 bits */
  constructor(hashOf: (row: number) => number) {
    this.#hashOf = hashOf;
  }

  /** The row with this hash that is the one looked for, or -1. */
  find(hash: number, isIt: (row: number) => boolean): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const row = (slots[slot] as number) - 1;
      if (row < 0 || isIt(row)) return row;
    }
  }

  enter(row: number, hash: number): void {
    this.#size++;
    if (4 * this.#size > 3 * this.#slots.length) this.#grow();
    this.#put(row, hash);
  }

  /** What follows in the same run moves up, so that no run has a gap. */
  leave(row: number, hash: number): void {
    this.#size--;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let gap = hash & mask;
    while (slots[gap] !== row + 1) gap = (gap + 1) & mask;
    for (let slot = (gap + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const entry = slots[slot] as number;
      const home = this.#hashOf(entry - 1) & mask;
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      slots[gap] = entry;
      gap = slot;
    }
    slots[gap] = 0;
  }

  /** Empties it, as long as it must be for so many rows. */
  clear(size: number): void {
    let length = LEAST_SLOTS;
    while (4 * size > 3 * length) length *= 2;
    this.#slots = new Uint32Array(length);
    this.#size = 0;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Uint32Array(2 * before.length);
    for (const entry of before) if (entry !== 0) this.#put(entry - 1, this.#hashOf(entry - 1));
  }

  #put(row: number, hash: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = row + 1;
  }
}

/** A step of a hash of several words. */
export function mixed(hash: number, word: number): number {
  let h = hash ^ Math.imul(word, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}
