/**
 * Which reports are not yet done with, in the order they were cut, and within a bound. Pure: the bodies are
 * elsewhere (spool.ts).
 *
 *   waiting --push answered--> delivered --acknowledged--> gone
 *      ^                           |
 *      +-- another run of the operator, or no acknowledgement for long
 */

/** How long a delivered report may stay unacknowledged before it is sent again. */
const RESEND_MS = 30_000;

/** Where a report's body is kept. */
export type Keeping = 'disk' | 'memory';

export interface SpoolEntry {
  /** UUID of the agent's run that cut it, which need not be this one. */
  readonly boot: string;
  readonly seq: number;
  /** Probe results in it: what is lost when it is. */
  readonly results: number;
  readonly bytes: number;
  readonly keeping: Keeping;
}

interface Tracked {
  readonly entry: SpoolEntry;
  delivered?: { readonly instance: string; readonly atMs: number };
}

export type SpoolLimits = Readonly<Record<Keeping, number>>;

export class SpoolIndex {
  readonly #limits: SpoolLimits;
  #tracked: Tracked[] = [];
  /** The run of the operator that answered last. */
  #instance: string | undefined;

  /** @param limits most bytes on disk and in memory */
  constructor(limits: SpoolLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#tracked.length;
  }

  /** Probe results in all entries that are kept there. */
  results(keeping: Keeping): number {
    return this.#tracked.reduce((sum, { entry }) => sum + (entry.keeping === keeping ? entry.results : 0), 0);
  }

  bytes(keeping: Keeping): number {
    return this.#tracked.reduce((sum, { entry }) => sum + (entry.keeping === keeping ? entry.bytes : 0), 0);
  }

  /** Adds the newest entry; answers the oldest ones, which no longer fit and are gone from the index. */
  add(entry: SpoolEntry): SpoolEntry[] {
    this.#tracked.push({ entry });
    let over = this.bytes(entry.keeping) - this.#limits[entry.keeping];
    const [kept, evicted] = partition(this.#tracked, (tracked) => {
      if (over <= 0 || tracked.entry.keeping !== entry.keeping || tracked.entry === entry) return true;
      over -= tracked.entry.bytes;
      return false;
    });
    this.#tracked = kept;
    return evicted;
  }

  /** The entry to push next: the oldest that waits, or one that has been unacknowledged for too long. */
  next(nowMs: number): SpoolEntry | undefined {
    const waiting = this.#tracked.find(
      ({ delivered }) => delivered?.instance !== this.#instance || !delivered,
    );
    const due = this.#tracked.find(({ delivered }) => delivered && nowMs - delivered.atMs >= RESEND_MS);
    return (waiting ?? due)?.entry;
  }

  /**
   * A run of the operator answered to `entry` that it holds this boot's reports up to and including `seq`.
   * @returns the entries that are done with, now gone from the index
   */
  answered(entry: SpoolEntry, instance: string, seq: number, nowMs: number): SpoolEntry[] {
    this.#instance = instance;
    for (const tracked of this.#tracked) {
      if (tracked.entry === entry) tracked.delivered = { instance, atMs: nowMs };
    }
    const [kept, done] = partition(this.#tracked, ({ entry: other, delivered }) => {
      // What holds no results is worth nothing once a newer report can follow.
      if (other === entry && other.results === 0) return false;
      return other.boot !== entry.boot || other.seq > seq || delivered?.instance !== instance;
    });
    this.#tracked = kept;
    return done;
  }

  /** Forgets an entry that will never be acknowledged. */
  remove(entry: SpoolEntry): void {
    this.#tracked = this.#tracked.filter((tracked) => tracked.entry !== entry);
  }
}

function partition(all: readonly Tracked[], keep: (tracked: Tracked) => boolean): [Tracked[], SpoolEntry[]] {
  const kept: Tracked[] = [];
  const gone: SpoolEntry[] = [];
  for (const tracked of all) {
    if (keep(tracked)) kept.push(tracked);
    else gone.push(tracked.entry);
  }
  return [kept, gone];
}
