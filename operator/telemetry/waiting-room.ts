/**
 * Traces on their way to the collector: kept until it has accepted them, one batch in flight at a time, tried
 * again with growing pauses. Bounded: when there is no more room the oldest is given up, and counted.
 */

export type Attempt = 'accepted' | 'failed' | 'refused';

export interface WaitingRoomOptions<Item> {
  /**
   * Sends a batch of traces. `failed`: the collector is away, to be tried again; `refused`: it will never take
   * these. Never rejects.
   */
  readonly send: (traces: readonly (readonly Item[])[]) => Promise<Attempt>;
  readonly maxTraces: number;
  readonly maxBatchItems: number;
  /** Time to wait for company before a batch leaves. */
  readonly lingerMs: number;
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
  /** From [0, 1), to spread the pauses. */
  readonly random: () => number;
}

interface Waiting<Item> {
  readonly items: readonly Item[];
  readonly settle: (delivery: 'accepted' | 'lost') => void;
}

export class WaitingRoom<Item> {
  readonly #options: WaitingRoomOptions<Item>;
  /** Oldest first; those of the batch in flight are still here. */
  #waiting: Waiting<Item>[] = [];
  #inFlight: ReadonlySet<Waiting<Item>> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = 0;
  /** Halved when a batch is refused, so that the trace at fault ends up alone; restored step by step. */
  #batchTraces = Number.POSITIVE_INFINITY;
  #emptied: (() => void) | undefined;
  #closed = false;
  accepted = 0;
  lost = 0;

  constructor(options: WaitingRoomOptions<Item>) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** Takes the spans of one trace; settles when the collector has them or they are given up. */
  add(items: readonly Item[]): Promise<'accepted' | 'lost'> {
    const { promise, resolve } = Promise.withResolvers<'accepted' | 'lost'>();
    this.#waiting.push({ items, settle: resolve });
    if (this.#closed) this.#settle(this.#waiting, 'lost');
    else {
      if (this.#waiting.length > this.#options.maxTraces) this.#giveUpOldest();
      this.#wake(this.#pauseMs > 0 ? undefined : this.#options.lingerMs);
    }
    return promise;
  }

  /** Sends what waits, without pauses, until all is settled or the time is over; then gives up the rest. */
  async close(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#emptied = resolve;
    const deadline = setTimeout(resolve, timeoutMs);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0) resolve();
    else this.#wake(0);
    await promise;
    clearTimeout(deadline);
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#settle(this.#waiting, 'lost');
  }

  #wake(afterMs: number | undefined): void {
    if (afterMs === undefined || this.#timer !== undefined || this.#inFlight.size > 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#sendBatch();
    }, afterMs);
  }

  async #sendBatch(): Promise<void> {
    const batch = this.#nextBatch();
    if (batch.length === 0) return;
    this.#inFlight = new Set(batch);
    const attempt = await this.#options.send(batch.map(({ items }) => items));
    this.#inFlight = new Set();
    if (this.#closed) return;
    if (attempt === 'failed') {
      this.#pauseMs = Math.min(this.#options.maxPauseMs, this.#pauseMs * 2 || this.#options.firstPauseMs);
      return this.#wake(this.#pauseMs * (0.8 + 0.4 * this.#options.random()));
    }
    this.#pauseMs = 0;
    if (attempt === 'accepted') {
      this.#settle(batch, 'accepted');
      this.#batchTraces *= 2;
    } else if (batch.length === 1) this.#settle(batch, 'lost');
    else this.#batchTraces = Math.floor(batch.length / 2);
    this.#wake(this.#waiting.length > 0 ? 0 : undefined);
  }

  #nextBatch(): Waiting<Item>[] {
    let items = 0;
    const end = this.#waiting.findIndex((waiting, index) => {
      items += waiting.items.length;
      return index > 0 && (items > this.#options.maxBatchItems || index >= this.#batchTraces);
    });
    return this.#waiting.slice(0, end === -1 ? undefined : end);
  }

  /** The oldest that is not just now being sent. */
  #giveUpOldest(): void {
    const oldest = this.#waiting.find((waiting) => !this.#inFlight.has(waiting));
    if (oldest !== undefined) this.#settle([oldest], 'lost');
  }

  #settle(settled: readonly Waiting<Item>[], delivery: 'accepted' | 'lost'): void {
    const gone = new Set(settled);
    this.#waiting = this.#waiting.filter((waiting) => !gone.has(waiting));
    this[delivery] += gone.size;
    for (const { settle } of gone) settle(delivery);
    if (this.#waiting.length === 0) this.#emptied?.();
  }
}
