/**
 * The TCP flows of a network namespace's conntrack, kept up by events and by dumps. What an event said while a dump
 * runs is newer than what the dump says of it; absence from a dump is believed when it is seen twice, because a dump
 * is not of one moment. Times are on the clock of the caller.
 */

import type { ConntrackTcpState } from '../netlink/ctnetlink-attributes.ts';
import { CONNTRACK_TCP_STATES, STATUS } from '../netlink/ctnetlink-attributes.ts';
import type { FlowRecord } from '../netlink/flow-record.ts';
import type { IdleClock } from './conntrack-flows.ts';
import { FlowColumns } from './flow-columns.ts';
import type { FlowEnds } from './flow-ends.ts';
import type { FlowRow } from './flow-row.ts';
import { CLOSER, closerOf, FLAG, FlowCursor, OF_FLOW } from './flow-row.ts';

/** They take some tens of milliseconds, in which the queue of events does not fill. */
const ROWS_AT_ONCE = 16_384;

export interface FlowTableOptions {
  /** Flows of both families; those over it are counted without being known. */
  readonly maxFlows: number;
  /** Secret of the hash. */
  readonly seed: number;
  /** The mark of finwait's own flows. */
  readonly ownMark: number;
  readonly ends: FlowEnds;
  /** Asked for at each dump, because the kernel's timeouts may be set anew. */
  readonly idleClock: () => IdleClock;
  /** Unix time in milliseconds, in which the kernel stamps flows, less the time of the caller's clock. */
  readonly unixOffsetMs: () => number;
}

export interface FlowTableCounters {
  /** Flows that found no room: told by an event or by a dump. */
  untracked: number;
  /** Flows that a dump no longer had, twice, and whose end was not told. */
  vanished: number;
  /** Flows that ended while the table did not know them. */
  unknownEnds: number;
  /** Times that a flow was found offloaded: a dump told no state of it, and the one before did, or did not have it. */
  offloaded: number;
}

export interface StateOfFlows {
  count: number;
  /** Age of the oldest in this state, as far back as is known. */
  oldestMs: number;
}

export interface SummaryOfFlows {
  readonly states: ReadonlyMap<ConntrackTcpState, StateOfFlows>;
  readonly own: number;
  /** Age of the oldest flow with a time stamp of the kernel's. */
  readonly oldestFlowMs?: number;
}

export class FlowTable {
  readonly counters: FlowTableCounters = { untracked: 0, vanished: 0, unknownEnds: 0, offloaded: 0 };
  readonly #options: FlowTableOptions;
  readonly #v4: FlowColumns;
  readonly #v6: FlowColumns;
  /** Rows of flows that have ended, kept until the dump ends. */
  #dead = 0;
  #dumping = false;
  /** Never used twice, so that what a dump that broke off had touched is read anew by the next. */
  #dump = 1;
  #dumpMs = Number.NEGATIVE_INFINITY;
  /** The last dump that was read to its end, and when it began. */
  #lastWhole = 1;
  #wholeMs = Number.NEGATIVE_INFINITY;
  #idleMs: IdleClock = () => null;
  #unixOffsetMs: number;
  /** Flows by state that the last dump had and the table has no room for. */
  readonly #outside = new Uint32Array(CONNTRACK_TCP_STATES.length);

  constructor(options: FlowTableOptions) {
    this.#options = options;
    this.#unixOffsetMs = options.unixOffsetMs();
    this.#v4 = new FlowColumns(1, options.seed);
    this.#v6 = new FlowColumns(4, options.seed);
  }

  get size(): number {
    return this.#v4.size + this.#v6.size - this.#dead;
  }

  /** Bytes of its columns. */
  get bytes(): number {
    return this.#v4.bytes + this.#v6.bytes;
  }

  /** When the last dump began that was read to its end: whatever flow there was then is known. */
  get wholeMs(): number {
    return this.#wholeMs;
  }

  /** A flow has begun: whatever had its name before is over. */
  begun(view: DataView, record: FlowRecord, nowMs: number): void {
    if (record.tcpState < 0) return;
    const columns = this.#columnsOf(record);
    const found = columns.locate(view, record);
    this.#options.ends.begun(columns);
    // A dump that was read between may have brought it already.
    if (this.#isAlive(columns, found) && !isSame(columns, found, record)) this.#vanished();
    const row = this.#take(columns, found, view, record);
    if (row < 0) return;
    columns.flags[row] = closerOf(record) | FLAG.sinceEvent | FLAG.bornSeen | FLAG.followed;
    columns.sinceMs[row] = nowMs;
    columns.bornMs[row] = nowMs;
    this.#write(columns, row, record, nowMs);
  }

  /** A flow has changed: its state, or something else. */
  changed(view: DataView, record: FlowRecord, nowMs: number): void {
    const columns = this.#columnsOf(record);
    const found = columns.locate(view, record);
    const known = this.#isAlive(columns, found);
    // Without a state it is of no use here, and the next dump brings it whole.
    if (!known && record.tcpState < 0) return;
    const row = known ? found : this.#take(columns, found, view, record);
    if (row < 0) return;
    const flags = columns.flags[row] as number;
    if (!known) {
      columns.flags[row] = closerOf(record);
      columns.sinceMs[row] = nowMs;
      columns.bornMs[row] = nowMs;
    } else if (record.tcpState >= 0) {
      const other = columns.states[row] !== record.tcpState;
      if (other) columns.sinceMs[row] = nowMs;
      const basis = other ? FLAG.sinceEvent : flags & (FLAG.sinceEvent | FLAG.sinceKernel);
      columns.flags[row] = basis | (flags & OF_FLOW) | (closerOf(record) || flags & CLOSER);
    }
    columns.flags[row] = (columns.flags[row] as number) | FLAG.followed;
    this.#write(columns, row, record, nowMs);
  }

  /** A flow of TCP has ended. */
  ended(view: DataView, record: FlowRecord, nowMs: number): void {
    const columns = this.#columnsOf(record);
    const found = columns.locate(view, record);
    const known = this.#isAlive(columns, found);
    // The same name, but another flow, which a dump has brought already: that its predecessor is over is counted.
    if (known && !isSame(columns, found, record)) return;
    this.#countEnd(columns, known ? found : -1, record, nowMs);
    if (!this.#dumping) {
      if (known) columns.remove(found);
      return;
    }
    // The dump may have read it before it ended: the row stays to tell, where there is room for one.
    if (found < 0 && this.#isFull) return;
    const row = known ? found : this.#take(columns, found, view, record);
    columns.flags[row] = FLAG.dead;
    this.#dead++;
  }

  /** From here to `endDump` come the rows of a dump, and events in between. */
  beginDump(nowMs: number): void {
    this.#dumping = true;
    this.#dump++;
    this.#dumpMs = nowMs;
    this.#idleMs = this.#options.idleClock();
    this.#unixOffsetMs = this.#options.unixOffsetMs();
    this.#outside.fill(0);
  }

  /** A row of the dump. Of a flow that is offloaded the kernel tells neither state nor time left. */
  dumped(view: DataView, record: FlowRecord, nowMs: number): void {
    const columns = this.#columnsOf(record);
    const found = columns.locateInOrder(view, record);
    // Ended, spoken of by an event, or double.
    if (found >= 0 && (columns.dumps[found] === this.#dump || !this.#isAlive(columns, found))) return;
    const same = found >= 0 && isSame(columns, found, record);
    if (found >= 0 && !same) this.#vanished();
    const row = this.#take(columns, found, view, record);
    if (row < 0) {
      const state = Math.max(0, record.tcpState);
      this.#outside[state] = (this.#outside[state] as number) + 1;
      return;
    }
    if (record.tcpState < 0) this.#dumpedWithoutState(columns, row, same, nowMs);
    else this.#dumpedWithState(columns, row, same, record, nowMs);
    this.#write(columns, row, record, nowMs);
  }

  #dumpedWithoutState(columns: FlowColumns, row: number, same: boolean, nowMs: number): void {
    if (!same) {
      columns.states[row] = 0;
      columns.flags[row] = 0;
      columns.sinceMs[row] = nowMs;
      columns.bornMs[row] = nowMs;
      columns.expiresS[row] = nowMs / 1000;
    }
    const flags = columns.flags[row] as number;
    if ((flags & FLAG.offloaded) === 0) this.counters.offloaded++;
    columns.flags[row] = flags | FLAG.offloaded;
  }

  #dumpedWithState(
    columns: FlowColumns,
    row: number,
    same: boolean,
    record: FlowRecord,
    nowMs: number,
  ): void {
    if (!same) {
      const idle = this.#idleMs(stateName(record.tcpState), record.timeoutS);
      columns.flags[row] = closerOf(record) | (idle === null ? 0 : FLAG.sinceKernel);
      // Nothing is older than the flow itself.
      columns.sinceMs[row] = Math.max(nowMs - (idle ?? 0), this.#stampMs(record));
      columns.bornMs[row] = nowMs;
    } else {
      const other = columns.states[row] !== record.tcpState;
      if (other) columns.sinceMs[row] = nowMs;
      const kept = other ? OF_FLOW : ~(CLOSER | FLAG.offloaded);
      columns.flags[row] = ((columns.flags[row] as number) & kept) | closerOf(record);
    }
  }

  /** @param whole whether the dump was read to its end; if not, absence from it means nothing */
  endDump(whole: boolean): void {
    this.#endDump(whole, this.#lastWhole);
  }

  /** Ends a dump in whose place the kernel said that there is no flow: what no event spoke of since is gone. */
  endEmptyDump(): void {
    this.#endDump(true, this.#dump);
  }

  /** @param before a flow that neither this dump had nor a later one is gone */
  #endDump(whole: boolean, before: number): void {
    this.#dumping = false;
    if (whole) {
      this.#lastWhole = this.#dump;
      this.#wholeMs = this.#dumpMs;
    }
    for (const columns of [this.#v4, this.#v6]) {
      let counted = 0;
      // From the end: the row that takes the place of one that goes has been looked at.
      for (let row = columns.size - 1; row >= 0; row--) {
        if (!this.#isAlive(columns, row)) columns.remove(row);
        else if (whole && (columns.dumps[row] as number) < before) {
          this.#vanished();
          columns.remove(row);
        } else counted |= columns.flags[row] as number;
      }
      if ((counted & FLAG.counted) === 0) columns.counts = undefined;
    }
    this.#dead = 0;
  }

  /**
   * From the last row to the first: the row that takes the place of one that goes has been shown.
   * @param visit gets an object that the next flow uses again; the table may not be changed by it
   * @param between is called every so many rows and may change the table: what begins by it may be left out, and what
   * was shown may be shown again
   */
  forEachFlow(visit: (row: FlowRow) => void, between?: () => void): void {
    let left = ROWS_AT_ONCE;
    const toldMs = (dump: number) => (dump === this.#lastWhole ? this.#wholeMs : Number.NEGATIVE_INFINITY);
    for (const columns of [this.#v4, this.#v6]) {
      const cursor = new FlowCursor(columns, toldMs);
      for (let row = columns.size - 1; row >= 0; row--) {
        if (between !== undefined && --left < 0) {
          between();
          left = ROWS_AT_ONCE;
          // So many have gone that this row is no more: what it held has a lower number.
          row = Math.min(row, columns.size - 1);
          if (row < 0) break;
        }
        if (!this.#isAlive(columns, row)) continue;
        cursor.moveTo(row);
        visit(cursor);
      }
    }
  }

  /** Flows by state, with those that a dump had and the table has no room for; and how many are finwait's own. */
  summary(nowMs: number): SummaryOfFlows {
    const counts = Float64Array.from(this.#outside);
    const oldest = new Float64Array(counts.length).fill(nowMs);
    let own = 0;
    let firstMs = Number.POSITIVE_INFINITY;
    for (const columns of [this.#v4, this.#v6]) {
      for (let row = 0; row < columns.size; row++) {
        const flags = columns.flags[row] as number;
        if ((flags & FLAG.dead) !== 0) continue;
        if ((flags & FLAG.bornKernel) !== 0) firstMs = Math.min(firstMs, columns.bornMs[row] as number);
        const state = columns.states[row] as number;
        const sinceMs = columns.sinceMs[row] as number;
        counts[state] = (counts[state] as number) + 1;
        if (sinceMs < (oldest[state] as number)) oldest[state] = sinceMs;
        if (columns.marks[row] === this.#options.ownMark) own++;
      }
    }
    const states = new Map<ConntrackTcpState, StateOfFlows>();
    for (const [state, name] of CONNTRACK_TCP_STATES.entries()) {
      const count = counts[state] as number;
      if (count > 0) states.set(name, { count, oldestMs: nowMs - (oldest[state] as number) });
    }
    const oldestFlowMs = Math.max(0, Math.round(nowMs - firstMs));
    return { states, own, ...(firstMs === Number.POSITIVE_INFINITY ? {} : { oldestFlowMs }) };
  }

  #columnsOf({ addressBytes }: FlowRecord): FlowColumns {
    return addressBytes === 4 ? this.#v4 : this.#v6;
  }

  #isAlive(columns: FlowColumns, row: number): boolean {
    return row >= 0 && ((columns.flags[row] as number) & FLAG.dead) === 0;
  }

  get #isFull(): boolean {
    return this.#v4.size + this.#v6.size >= this.#options.maxFlows;
  }

  /** The row that was found, alive again, or a new one; -1 when there is no room. */
  #take(columns: FlowColumns, found: number, view: DataView, record: FlowRecord): number {
    if (found >= 0) {
      if (!this.#isAlive(columns, found)) this.#dead--;
      columns.setReply(found, view, record);
      return found;
    }
    if (this.#isFull) {
      this.counters.untracked++;
      return -1;
    }
    return columns.append(view, record);
  }

  /** What the message says beyond name and age of the state. */
  #write(columns: FlowColumns, row: number, record: FlowRecord, nowMs: number): void {
    if (record.tcpState >= 0) columns.states[row] = record.tcpState;
    columns.status[row] = record.status;
    columns.marks[row] = record.mark;
    columns.ids[row] = record.id;
    if (record.tcpState >= 0 || record.timeoutS > 0) {
      columns.expiresS[row] = nowMs / 1000 + record.timeoutS;
    }
    columns.dumps[row] = this.#dump;
    if (record.startMs > 0) {
      columns.bornMs[row] = this.#stampMs(record);
      columns.flags[row] = (columns.flags[row] as number) | FLAG.bornKernel;
    }
    if (record.originalCounters.present && record.replyCounters.present) {
      columns.setCounts(row, record);
      columns.flags[row] = (columns.flags[row] as number) | FLAG.counted;
    }
  }

  /** When the flow began by the kernel's stamp, on the clock of the caller; long ago without one. */
  #stampMs({ startMs }: FlowRecord): number {
    return startMs > 0 ? startMs - this.#unixOffsetMs : Number.NEGATIVE_INFINITY;
  }

  #vanished(): void {
    this.counters.vanished++;
    this.#options.ends.ended('unseen');
  }

  /** @param row -1 when the table does not know the flow */
  #countEnd(columns: FlowColumns, row: number, record: FlowRecord, nowMs: number): void {
    const { ends } = this.#options;
    if (row < 0) this.counters.unknownEnds++;
    // An older kernel does not tell the state of what has ended.
    const state = record.tcpState >= 0 ? record.tcpState : row >= 0 ? (columns.states[row] as number) : 0;
    const replied = (record.status & STATUS.seenReply) !== 0;
    ends.told({ state, replied, timeoutS: record.timeoutS }, columns, nowMs);
    const flags = row < 0 ? 0 : (columns.flags[row] as number);
    if (record.startMs > 0 && record.stopMs >= record.startMs) {
      ends.lived(record.stopMs - record.startMs, 'kernel');
    } else if ((flags & FLAG.bornKernel) !== 0) {
      ends.lived(Math.max(0, nowMs - (columns.bornMs[row] as number)), 'kernel');
    } else if ((flags & FLAG.bornSeen) !== 0) ends.lived(nowMs - (columns.bornMs[row] as number), 'seen');
    else ends.unknownLifetimes++;
  }
}

/** Ids are hashes and prove nothing by being equal; of flows of one name that is enough. */
function isSame(columns: FlowColumns, row: number, { id }: FlowRecord): boolean {
  return columns.ids[row] === id || columns.ids[row] === 0 || id === 0;
}

function stateName(state: number): ConntrackTcpState {
  return CONNTRACK_TCP_STATES[state] ?? 'NONE';
}
