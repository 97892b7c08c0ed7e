/** Memory that strangers decide on: what all receive buffers of a stack take together is bounded. */
export class MemoryBudget {
  used = 0;
  readonly limit: number;

  /** @param limit bytes */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Takes `bytes` more; false when they would be too many. */
  take(bytes: number): boolean {
    if (this.used + bytes > this.limit) return false;
    this.used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.used -= bytes;
  }
}
