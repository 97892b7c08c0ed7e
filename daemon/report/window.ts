/**
 * What happened since the last report was cut: the results of probes, all of them, and the newest reading of
 * the kernel's tables.
 */

import type { ConntrackSummary, ProbeResult, SocketSummary } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { boundConntrack, boundProbe, boundSockets } from './bounds.ts';

/** Room in a report's body for results; the rest is for tables, health and conditions, which are smaller. */
const RESULT_BYTES = CONTRACT_LIMITS.bodyBytes / 2;
/** Results that may wait to be cut into reports; only a stalled disk lets so many gather. */
const WAITING_RESULTS = 10 * CONTRACT_LIMITS.probes;

/** The part of a report that a window knows. */
export interface WindowContent {
  readonly fromMs: number;
  readonly toMs: number;
  readonly sockets?: SocketSummary;
  readonly conntrack?: ConntrackSummary;
  readonly probes: readonly ProbeResult[];
}

/** A reading of the kernel's tables; a table that could not be read is absent. */
export interface Tables {
  readonly sockets?: SocketSummary;
  readonly conntrack?: ConntrackSummary;
}

export class ReportWindow {
  /** Results dropped since start because too many waited. */
  dropped = 0;
  #fromMs: number;
  #tables: Tables = {};
  #waiting: { readonly result: ProbeResult; readonly bytes: number }[] = [];
  #waitingBytes = 0;

  constructor(unixMs: number) {
    this.#fromMs = unixMs;
  }

  /** How many results wait. */
  get results(): number {
    return this.#waiting.length;
  }

  /** Whether as many results wait as one report takes. */
  get full(): boolean {
    return this.#waiting.length >= CONTRACT_LIMITS.probes || this.#waitingBytes >= RESULT_BYTES;
  }

  setTables(tables: Tables): void {
    this.#tables = tables;
  }

  addResult(result: ProbeResult): void {
    const bounded = boundProbe(result);
    const bytes = Buffer.byteLength(JSON.stringify(bounded));
    this.#waiting.push({ result: bounded, bytes });
    this.#waitingBytes += bytes;
    if (this.#waiting.length > WAITING_RESULTS) {
      this.#waitingBytes -= this.#waiting.shift()?.bytes ?? 0;
      this.dropped++;
    }
  }

  /** Takes what fits into one report, the oldest results first, and opens the next window. */
  cut(unixMs: number): WindowContent {
    const probes = this.#takeResults();
    const { sockets, conntrack } = this.#tables;
    const fromMs = this.#fromMs;
    // A clock that was set back must not make a window that ends before it began.
    const toMs = Math.max(fromMs, unixMs);
    this.#fromMs = unixMs;
    return {
      fromMs,
      toMs,
      ...(sockets === undefined ? {} : { sockets: boundSockets(sockets) }),
      ...(conntrack === undefined ? {} : { conntrack: boundConntrack(conntrack) }),
      probes,
    };
  }

  #takeResults(): ProbeResult[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#waiting) {
      if (count === CONTRACT_LIMITS.probes || (count > 0 && bytes + waiting.bytes > RESULT_BYTES)) break;
      bytes += waiting.bytes;
      count++;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count).map(({ result }) => result);
  }
}
