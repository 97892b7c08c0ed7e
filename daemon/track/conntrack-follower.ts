/**
 * Follows conntrack: events as they come, a dump to begin with, one whenever events were lost, and one now and then,
 * because the kernel tells nothing of flows that began before anybody listened. Listens before it dumps.
 */

import type { OnDatagram } from '../kernel/netlink-events.ts';
import { IPCTNL, IPPROTO_TCP, NFNL_SUBSYS_CTNETLINK } from '../netlink/ctnetlink-attributes.ts';
import { FlowRecord } from '../netlink/flow-record.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from '../netlink/message.ts';
import type { FlowTable } from './flow-table.ts';

const NLMSG_HEADER = 16;
/** One turn of reading, so that whoever waits for the thread gets it. */
const MOST_EVENTS = 100_000;
/** A dump walks the flows of the whole machine: what it costs decides how long the next one waits. */
const DUMP_PAUSE_FACTOR = 200;
const LONGEST_PAUSE_MS = 120_000;
/** Without events dumps are all there is. */
const BLIND_PAUSE_FACTOR = 20;
/** After lost events: the first dump at once, further ones later and later while they go on being lost. */
const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 30_000;
const CALM_MS = 60_000;

/** Where events come from. `gap`: listening broke off, or has begun anew. */
export interface EventSource {
  read(onDatagram: OnDatagram, most: number): 'empty' | 'more' | 'overflowed' | 'gap';
}

/** Hands over each row of a dump, and calls `between` before each wait for more of them. */
export type DumpFlows = (onFlow: OnDatagram, between: () => void) => void;

export interface FollowerOptions {
  readonly table: FlowTable;
  readonly events: EventSource;
  /** Whether events are listened to, and the kernel sends them at all. */
  readonly hasEvents: () => boolean;
  readonly dump: DumpFlows;
  /** A clock that never steps back, in milliseconds. */
  readonly clock: () => number;
}

export interface FollowerCounters {
  begun: number;
  changed: number;
  ended: number;
  /** Messages that are no event of a flow, or cannot be read. */
  undecodable: number;
  /** Times the kernel had no room for events; how many were lost it does not tell. */
  overflows: number;
  dumps: number;
  /** Dumps that were needed because events were lost, or not listened to. */
  resyncs: number;
}

export class ConntrackFollower {
  readonly counters: FollowerCounters = {
    begun: 0,
    changed: 0,
    ended: 0,
    undecodable: 0,
    overflows: 0,
    dumps: 0,
    resyncs: 0,
  };
  /** Flows of other protocols in the last dump. */
  others = 0;
  readonly #options: FollowerOptions;
  readonly #record = new FlowRecord();
  #nowMs = 0;
  /** Whether the last reading of events brought any, or the loss of some. */
  #came = false;
  #nextDumpMs = Number.NEGATIVE_INFINITY;
  #lastOverflowMs = Number.NEGATIVE_INFINITY;
  /** The same, or listening broke off. */
  #lastLossMs = Number.NEGATIVE_INFINITY;
  /** Dumps still wanted because events were lost: what is missing is believed to be gone when two do not have it. */
  #resyncsWanted = 0;
  #backoffMs = FIRST_BACKOFF_MS;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** Whether events were lost a short time ago, so that the table may lack what began and ended since. */
  get lossy(): boolean {
    return this.#options.clock() - this.#lastLossMs < CALM_MS;
  }

  /** Whether they were lost because they came faster than they were read. */
  get overflowing(): boolean {
    return this.#options.clock() - this.#lastOverflowMs < CALM_MS;
  }

  /** Reads the events that wait. @returns whether there was anything */
  drain(): boolean {
    this.#came = false;
    const { events, clock } = this.#options;
    this.#nowMs = clock();
    for (let turns = 0; turns < 2; turns++) {
      // What still waits in a queue that was full has to be read before the kernel puts anything into it.
      const answer = events.read(this.#onEvents, MOST_EVENTS);
      if (answer !== 'overflowed' && answer !== 'gap') break;
      this.#came = true;
      this.#lost();
      if (answer === 'gap') continue;
      this.counters.overflows++;
      this.#lastOverflowMs = this.#nowMs;
    }
    return this.#came;
  }

  /** Lets the next sweep read the whole table. */
  readAnew(): void {
    this.#nextDumpMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Reads the events, and the whole table when it is time.
   * @throws NetlinkError, FinwaitError when the dump is refused
   */
  sweep(): 'swept' {
    this.drain();
    if (this.#options.clock() >= this.#nextDumpMs) this.#dump();
    return 'swept';
  }

  /** What a sweep does when the kernel has just said that there is no flow, without the cost of a dump. */
  sweepEmpty(): void {
    const { table, clock } = this.#options;
    this.#resyncsWanted = 0;
    table.beginDump(clock());
    // A flow may have begun since.
    this.drain();
    table.endEmptyDump();
    this.others = 0;
  }

  readonly #onEvents: OnDatagram = (view, from, to) => {
    this.#came = true;
    let at = from;
    while (at + NLMSG_HEADER <= to) {
      const length = view.getUint32(at, true);
      if (length < NLMSG_HEADER || length > to - at) break;
      this.#event(view, at, at + length);
      at += (length + 3) & ~3;
    }
    if (at < to) this.counters.undecodable++;
  };

  #event(view: DataView, from: number, to: number): void {
    const type = view.getUint16(from + 4, true);
    const operation = type & 0xff;
    const known = operation === IPCTNL.new || operation === IPCTNL.delete;
    if (type >> 8 !== NFNL_SUBSYS_CTNETLINK || !known) {
      this.counters.undecodable++;
      return;
    }
    const record = this.#record;
    if (record.read(view, from + NLMSG_HEADER, to) !== undefined) {
      this.counters.undecodable++;
      return;
    }
    if (record.original.protocol !== IPPROTO_TCP) return;
    const { table } = this.#options;
    if (operation === IPCTNL.delete) {
      this.counters.ended++;
      table.ended(view, record, this.#nowMs);
    } else if ((view.getUint16(from + 6, true) & (NLM_F_CREATE | NLM_F_EXCL)) !== 0) {
      this.counters.begun++;
      table.begun(view, record, this.#nowMs);
    } else {
      this.counters.changed++;
      table.changed(view, record, this.#nowMs);
    }
  }

  #lost(): void {
    const nowMs = this.#nowMs;
    if (nowMs - this.#lastLossMs > CALM_MS) this.#backoffMs = FIRST_BACKOFF_MS;
    this.#lastLossMs = nowMs;
    if (this.#resyncsWanted === 0) this.#nextDumpMs = Math.min(this.#nextDumpMs, nowMs);
    this.#resyncsWanted = 2;
  }

  #dump(): void {
    const { table, dump, clock, hasEvents } = this.#options;
    const startMs = clock();
    const forLoss = this.#resyncsWanted > 0;
    if (forLoss) {
      this.#resyncsWanted--;
      this.counters.resyncs++;
    }
    this.counters.dumps++;
    this.others = 0;
    table.beginDump(startMs);
    let whole = false;
    try {
      dump(
        (view, from, to) => this.#dumped(view, from, to),
        () => this.drain(),
      );
      this.drain();
      whole = true;
    } finally {
      table.endDump(whole);
      const tookMs = clock() - startMs;
      const factor = hasEvents() ? DUMP_PAUSE_FACTOR : BLIND_PAUSE_FACTOR;
      const pauseMs = Math.min(tookMs * factor, LONGEST_PAUSE_MS);
      this.#nextDumpMs = clock() + (this.#resyncsWanted > 0 ? Math.max(this.#backoffMs, tookMs) : pauseMs);
      if (forLoss) this.#backoffMs = Math.min(2 * this.#backoffMs, LONGEST_BACKOFF_MS);
    }
  }

  #dumped(view: DataView, from: number, to: number): void {
    const record = this.#record;
    if (record.read(view, from, to) !== undefined) this.counters.undecodable++;
    else if (record.original.protocol !== IPPROTO_TCP) this.others++;
    else this.#options.table.dumped(view, record, this.#nowMs);
  }
}
