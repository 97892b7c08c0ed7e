/**
 * The TCP flows of this network namespace's conntrack, followed from sweep to sweep: since when each is in its
 * state. A flow is known by its original tuple and zone (its id is a hash that collides).
 */

import type { ConntrackFlow, ConntrackTcpState } from '../netlink/ctnetlink.ts';
import { decodeFlow } from '../netlink/ctnetlink.ts';
import type { OnPayload } from './dumps.ts';

interface Entry {
  state: ConntrackTcpState;
  sinceMs: number;
  sweep: number;
}

export interface ConntrackTableOptions {
  /** Hands over each message of a dump, as views that live until the next. */
  readonly dump: (onFlow: OnPayload) => void;
  /** Flows remembered; those over it are counted without an age. */
  readonly maxTracked: number;
  /** The mark of finwait's own flows. */
  readonly ownMark: number;
}

export interface ConntrackCounters {
  undecodable: number;
  /** Flows that found no room. */
  untracked: number;
}

export interface StateOfFlows {
  count: number;
  /** Age of the oldest since the table first saw it in this state. */
  oldestMs: number;
}

export class ConntrackTable {
  readonly counters: ConntrackCounters = { undecodable: 0, untracked: 0 };
  readonly #options: ConntrackTableOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #states = new Map<ConntrackTcpState, StateOfFlows>();
  #own = 0;
  #sweep = 0;

  constructor(options: ConntrackTableOptions) {
    this.#options = options;
  }

  /** TCP flows by state, as of the last sweep. */
  get states(): ReadonlyMap<ConntrackTcpState, Readonly<StateOfFlows>> {
    return this.#states;
  }

  /** Flows of finwait itself, as of the last sweep. */
  get own(): number {
    return this.#own;
  }

  /** Reads the kernel's table once. @param nowMs any clock that never steps back */
  sweep(nowMs: number): void {
    this.#sweep++;
    this.#states.clear();
    this.#own = 0;
    this.#options.dump((payload) => {
      const flow = decodeFlow(payload);
      if (!flow.ok) this.counters.undecodable++;
      else if (flow.value.tcp !== undefined) this.#see(flow.value, flow.value.tcp.state, nowMs);
    });
    // A dump is not of one moment and may miss a flow: absence is believed when it is seen twice.
    for (const [key, entry] of this.#entries) {
      if (entry.sweep < this.#sweep - 1) this.#entries.delete(key);
    }
  }

  /** What a sweep does that finds nothing, without the cost of a dump. */
  clear(): void {
    this.#entries.clear();
    this.#states.clear();
    this.#own = 0;
  }

  #see(flow: ConntrackFlow, state: ConntrackTcpState, nowMs: number): void {
    const key = keyOf(flow);
    let entry = this.#entries.get(key);
    if (entry?.sweep === this.#sweep) return;
    if (entry === undefined && this.#entries.size < this.#options.maxTracked) {
      entry = { state, sinceMs: nowMs, sweep: 0 };
      this.#entries.set(key, entry);
    }
    if (entry === undefined) {
      this.counters.untracked++;
    } else {
      if (entry.state !== state) entry.sinceMs = nowMs;
      entry.state = state;
      entry.sweep = this.#sweep;
    }
    if (flow.mark === this.#options.ownMark) this.#own++;
    const sum = this.#states.get(state) ?? { count: 0, oldestMs: 0 };
    sum.count++;
    sum.oldestMs = Math.max(sum.oldestMs, nowMs - (entry?.sinceMs ?? nowMs));
    this.#states.set(state, sum);
  }
}

function keyOf({ original, zone }: ConntrackFlow): string {
  const tuple = Buffer.prototype.latin1Slice.call(original.encoded);
  return zone === 0 ? tuple : `${tuple}${zone}`;
}
