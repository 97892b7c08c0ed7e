/** Numbers by keys that are hashes already: a hundred thousand of them take little memory, and nothing to collect. */

const LEAST_SLOTS = 1_024;

export class NumbersByKey {
  size = 0;
  /** Key + 1, 0 where there is none. At most half full. */
  #keys = new Float64Array(LEAST_SLOTS);
  #values = new Float64Array(LEAST_SLOTS);

  has(key: number): boolean {
    return this.#keys[this.#slotOf(key)] !== 0;
  }

  get(key: number): number | undefined {
    const slot = this.#slotOf(key);
    return this.#keys[slot] === 0 ? undefined : this.#values[slot];
  }

  /** @param key whole, from 0 to Number.MAX_SAFE_INTEGER */
  set(key: number, value: number): void {
    let slot = this.#slotOf(key);
    if (this.#keys[slot] === 0) {
      if (2 * this.size >= this.#keys.length) {
        this.#grow();
        slot = this.#slotOf(key);
      }
      this.size++;
      this.#keys[slot] = key + 1;
    }
    this.#values[slot] = value;
  }

  /** The slot of the key, or the free one in which it belongs. */
  #slotOf(key: number): number {
    const mask = this.#keys.length - 1;
    let slot = (key >>> 0) & mask;
    for (;;) {
      const found = this.#keys[slot];
      if (found === 0 || found === key + 1) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values];
    this.#keys = new Float64Array(2 * keys.length);
    this.#values = new Float64Array(2 * keys.length);
    for (let from = 0; from < keys.length; from++) {
      if (keys[from] === 0) continue;
      const slot = this.#slotOf((keys[from] as number) - 1);
      this.#keys[slot] = keys[from] as number;
      this.#values[slot] = values[from] as number;
    }
  }
}
