/** A row of the flow table as it is shown to who walks it. */

import type { FlowColumns } from './flow-columns.ts';

/** What the bits of the column `flags` mean. */
export const FLAG = {
  /** The flow has ended; the row stays until the dump that runs can no longer bring it back. */
  dead: 1,
  /** The change to its state was seen. */
  sinceEvent: 2,
  /** It has been in its state at least since then, as the time left tells. */
  sinceKernel: 4,
  /** Who sent the first FIN. */
  sourceClosed: 8,
  destinationClosed: 16,
  /** Its begin was seen. */
  bornSeen: 32,
  /** The last dump that had it told no state; the one known before is kept. */
  offloaded: 64,
} as const;

/** `event`: the change was seen. `kernel`: at least since then, by the time left. `seen`: found in it then, by a dump. */
export type SinceBasis = 'event' | 'kernel' | 'seen';

/** One flow. The object and its bytes are used again for the next. */
export interface FlowRow {
  readonly family: 4 | 6;
  /** Addresses of 4 or 16 bytes, as the first packet had them. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** What answers carry: the same with ends exchanged, unless NAT changes it. */
  readonly replySource: Uint8Array;
  readonly replyDestination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly replySourcePort: number;
  readonly replyDestinationPort: number;
  /** Of the original direction. */
  readonly zone: number;
  /** Index into CONNTRACK_TCP_STATES. */
  readonly state: number;
  readonly mark: number;
  /** STATUS.* of ctnetlink, the low 16 bits. */
  readonly status: number;
  /** Since when it is in its state, on the clock of who feeds the table. */
  readonly sinceMs: number;
  readonly sinceBasis: SinceBasis;
  readonly closedFirst: 'source' | 'destination' | null;
  /** When the kernel forgets it, by its last word; a packet since then makes it later. Within a second. */
  readonly expiresMs: number;
}

export class FlowCursor implements FlowRow {
  readonly family: 4 | 6;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly replySource: Uint8Array;
  readonly replyDestination: Uint8Array;
  readonly #columns: FlowColumns;
  readonly #bytes: DataView;
  #row = 0;

  constructor(columns: FlowColumns) {
    this.#columns = columns;
    const length = 4 * columns.words;
    const bytes = new Uint8Array(4 * length);
    this.family = columns.words === 1 ? 4 : 6;
    this.source = bytes.subarray(0, length);
    this.destination = bytes.subarray(length, 2 * length);
    this.replySource = bytes.subarray(2 * length, 3 * length);
    this.replyDestination = bytes.subarray(3 * length);
    this.#bytes = new DataView(bytes.buffer);
  }

  moveTo(row: number): void {
    this.#row = row;
    const width = 4 * this.#columns.words;
    for (let word = 0; word < width; word++) {
      this.#bytes.setUint32(4 * word, this.#columns.addresses[row * width + word] as number);
    }
  }

  get sourcePort(): number {
    return this.#columns.ports[4 * this.#row] as number;
  }
  get destinationPort(): number {
    return this.#columns.ports[4 * this.#row + 1] as number;
  }
  get replySourcePort(): number {
    return this.#columns.ports[4 * this.#row + 2] as number;
  }
  get replyDestinationPort(): number {
    return this.#columns.ports[4 * this.#row + 3] as number;
  }
  get zone(): number {
    return this.#columns.zones[this.#row] as number;
  }
  get state(): number {
    return this.#columns.states[this.#row] as number;
  }
  get mark(): number {
    return this.#columns.marks[this.#row] as number;
  }
  get status(): number {
    return this.#columns.status[this.#row] as number;
  }
  get sinceMs(): number {
    return this.#columns.sinceMs[this.#row] as number;
  }
  get sinceBasis(): SinceBasis {
    const flags = this.#columns.flags[this.#row] as number;
    if ((flags & FLAG.sinceEvent) !== 0) return 'event';
    return (flags & FLAG.sinceKernel) !== 0 ? 'kernel' : 'seen';
  }
  get closedFirst(): 'source' | 'destination' | null {
    const flags = this.#columns.flags[this.#row] as number;
    if ((flags & FLAG.sourceClosed) !== 0) return 'source';
    return (flags & FLAG.destinationClosed) !== 0 ? 'destination' : null;
  }
  get expiresMs(): number {
    return (this.#columns.expiresS[this.#row] as number) * 1000;
  }
}
