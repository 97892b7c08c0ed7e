/** A row of the flow table as it is shown to who walks it. */

import { TCP_FLAG_CLOSE_INIT } from '../netlink/ctnetlink-attributes.ts';
import type { FlowRecord } from '../netlink/flow-record.ts';
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
  /** The kernel sends its events, and so will tell its end. */
  followed: 128,
  /** The kernel stamped its begin. */
  bornKernel: 256,
  /** The kernel counts its packets and bytes. */
  counted: 512,
} as const;

/** What holds as long as the flow lives. */
export const OF_FLOW = FLAG.bornSeen | FLAG.followed | FLAG.bornKernel | FLAG.counted;
export const CLOSER = FLAG.sourceClosed | FLAG.destinationClosed;

/** The flag of who sent the first FIN, 0 when the message does not tell. */
export function closerOf({ originalFlags, replyFlags }: FlowRecord): number {
  if ((originalFlags & TCP_FLAG_CLOSE_INIT) !== 0) return FLAG.sourceClosed;
  return (replyFlags & TCP_FLAG_CLOSE_INIT) !== 0 ? FLAG.destinationClosed : 0;
}

/** `event`: the change was seen. `kernel`: at least since then, by the time left. `seen`: found in it then, by a dump. */
export type SinceBasis = 'event' | 'kernel' | 'seen';

/** `kernel`: by its time stamp. `event`: it was seen to begin. `seen`: it is as old at least. */
export type BornBasis = 'kernel' | 'event' | 'seen';

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
  /**
   * When the kernel last spoke of it; infinite where the kernel would tell its end. Of flows that began before anybody
   * listened it does not.
   */
  readonly toldMs: number;
  /** When it began. */
  readonly bornMs: number;
  readonly bornBasis: BornBasis;
  /** Whether the kernel counts its packets and bytes; 0 otherwise. As of the last dump. */
  readonly counted: boolean;
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
}

export class FlowCursor implements FlowRow {
  readonly family: 4 | 6;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly replySource: Uint8Array;
  readonly replyDestination: Uint8Array;
  readonly #columns: FlowColumns;
  readonly #bytes: DataView;
  readonly #dumpedMs: (dump: number) => number;
  #row = 0;

  /** @param dumpedMs when a dump took place, by its number */
  constructor(columns: FlowColumns, dumpedMs: (dump: number) => number) {
    this.#columns = columns;
    this.#dumpedMs = dumpedMs;
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
    if (this.#has(FLAG.sinceEvent)) return 'event';
    return this.#has(FLAG.sinceKernel) ? 'kernel' : 'seen';
  }
  get closedFirst(): 'source' | 'destination' | null {
    if (this.#has(FLAG.sourceClosed)) return 'source';
    return this.#has(FLAG.destinationClosed) ? 'destination' : null;
  }
  get expiresMs(): number {
    return (this.#columns.expiresS[this.#row] as number) * 1000;
  }
  get toldMs(): number {
    return this.#has(FLAG.followed)
      ? Number.POSITIVE_INFINITY
      : this.#dumpedMs(this.#columns.dumps[this.#row] as number);
  }
  get bornMs(): number {
    return this.#columns.bornMs[this.#row] as number;
  }
  get bornBasis(): BornBasis {
    if (this.#has(FLAG.bornKernel)) return 'kernel';
    return this.#has(FLAG.bornSeen) ? 'event' : 'seen';
  }
  get counted(): boolean {
    return this.#has(FLAG.counted);
  }
  get sentPackets(): number {
    return this.#count(0);
  }
  get sentBytes(): number {
    return this.#count(1);
  }
  get receivedPackets(): number {
    return this.#count(2);
  }
  get receivedBytes(): number {
    return this.#count(3);
  }

  #has(flag: number): boolean {
    return ((this.#columns.flags[this.#row] as number) & flag) !== 0;
  }

  #count(which: number): number {
    return this.counted ? (this.#columns.counts?.[4 * this.#row + which] ?? 0) : 0;
  }
}
