/** Conntrack of this network namespace as a report carries it: followed by events where the kernel sends them. */

import { randomInt } from 'node:crypto';
import type { Condition } from '#base/errors.ts';
import type { ConntrackActivity, ConntrackSummary } from '#contract';
import { CONNTRACK_ACTIVITY_LIMITS } from '#contract';
import { FOOTPRINT_MARK } from '../kernel/host-tun.ts';
import type { NetlinkCounters } from '../kernel/netlink-socket.ts';
import { ConntrackEvents } from './conntrack-events.ts';
import { idleClock } from './conntrack-flows.ts';
import { ConntrackFollower } from './conntrack-follower.ts';
import { ConntrackFull } from './conntrack-full.ts';
import { ConntrackGrowth, EventRate, StatTotals, timeToFullMs } from './conntrack-rates.ts';
import { dumpConntrackStats, dumpFlowRows } from './dumps.ts';
import type { FlowConsumers } from './flow-consumers.ts';
import { findConsumers } from './flow-consumers.ts';
import { FLOW_END_REASONS, FlowEnds, LIFETIME_BOUNDS_MS } from './flow-ends.ts';
import { FlowTable } from './flow-table.ts';
import type { ConntrackFill, ConntrackSettings } from './kernel-numbers.ts';
import { readConntrackFill, readConntrackSettings } from './kernel-numbers.ts';
import { unlessRefused } from './refusals.ts';

const MAX_FLOWS = 1_000_000;
/** Walking a million flows for their sources takes as long as a small dump. */
const CONSUMERS_PAUSE_FACTOR = 200;

export interface ConntrackOptions {
  /** Flows of TCP that are remembered; a million take up to 120 MiB, those of IPv6 151 where the kernel counts packets. */
  readonly maxFlows?: number;
  /** What netlink sockets had to drop is added here. */
  readonly faults: NetlinkCounters;
  /** A clock that never steps back, in milliseconds; that of the sweeps. */
  readonly clock?: () => number;
  readonly queueBytes?: number;
}

export class Conntrack implements Disposable {
  readonly table: FlowTable;
  readonly #maxFlows: number;
  readonly #ends = new FlowEnds();
  readonly #faults: NetlinkCounters;
  readonly #clock: () => number;
  #settings: ConntrackSettings = { events: undefined, accounting: undefined, timestamps: undefined };
  readonly #events: ConntrackEvents;
  readonly #follower: ConntrackFollower;
  #wasUsed = false;
  /** Whether the last sweep read the table as far as it had to. */
  #whole = false;
  readonly #growth = new ConntrackGrowth();
  readonly #begun = new EventRate();
  readonly #ended = new EventRate();
  readonly #stats = new StatTotals();
  readonly #full = new ConntrackFull();
  #consumers: FlowConsumers = { sources: [], destinations: [] };
  #nextConsumersMs = Number.NEGATIVE_INFINITY;

  constructor({ maxFlows, faults, clock, queueBytes }: ConntrackOptions) {
    this.#maxFlows = maxFlows ?? MAX_FLOWS;
    this.#faults = faults;
    this.#clock = clock ?? (() => performance.now());
    this.#events = new ConntrackEvents(queueBytes);
    this.table = new FlowTable({
      maxFlows: this.#maxFlows,
      seed: randomInt(2 ** 32),
      ownMark: FOOTPRINT_MARK,
      ends: this.#ends,
      idleClock,
      unixOffsetMs: () => Date.now() - this.#clock(),
    });
    this.#follower = new ConntrackFollower({
      table: this.table,
      events: this.#events,
      hasEvents: () => this.#hasEvents,
      dump: (onFlow, between) => dumpFlowRows(onFlow, between, this.#faults),
      clock: this.#clock,
    });
  }

  /**
   * Reads the events that wait; to be called again and again between sweeps, and within long ones.
   * @returns whether there was anything
   */
  follow(): boolean {
    return this.#follower.drain();
  }

  /** Lets the next sweep read the whole table, even where events tell what has changed. */
  readAnew(): void {
    this.#follower.readAnew();
  }

  /**
   * The fill is known even where the flows may not be read.
   * @param conditions what stands in the way is added here
   */
  sweep(conditions: Condition[]): ConntrackSummary | undefined {
    const fill = unlessRefused(conditions, readConntrackFill);
    if (fill === undefined) return undefined;
    this.#settings = readConntrackSettings();
    this.#events.listen();
    const follower = this.#follower;
    // A dump walks the tables of all network namespaces; a namespace without flows is not worth it.
    if (fill.count > 0) {
      this.#wasUsed = true;
      this.#whole = unlessRefused(conditions, () => follower.sweep()) === 'swept';
    } else {
      this.#whole = true;
      follower.sweepEmpty();
    }
    this.#addConditions(follower, conditions);
    const nowMs = this.#clock();
    this.#ends.settle(nowMs);
    const { states, own, oldestFlowMs } = this.table.summary(nowMs);
    const activity = this.#activity(follower, fill, nowMs);
    const full = this.#full.look(fill, activity.statistics, nowMs);
    if (full !== undefined) conditions.push(full);
    return {
      // The kernel does not tell whether a rule hooks conntrack in; flows tell that one does.
      status: this.#wasUsed ? 'on' : 'idle',
      ...fill,
      states: [...states]
        .map(([state, { count, oldestMs }]) => ({ state, count, oldestMs }))
        .sort((a, b) => b.count - a.count),
      own,
      activity: { ...activity, ...(oldestFlowMs === undefined ? {} : { oldestFlowMs }) },
    };
  }

  /** Why the table does not tell what flows there are, if it does not, as of the last sweep. */
  get disbelief(): 'conntrack-idle' | 'conntrack-incomplete' | undefined {
    if (!this.#wasUsed) return 'conntrack-idle';
    const whole = this.#whole && this.table.size < this.#maxFlows && !this.#follower.lossy;
    return whole ? undefined : 'conntrack-incomplete';
  }

  /** Whatever flow there was then is known; infinite while events tell of each that begins. */
  get knownMs(): number {
    return this.#hasEvents ? Number.POSITIVE_INFINITY : this.table.wholeMs;
  }

  /** Totals by name. */
  get counters(): Record<string, number> {
    const { untracked, vanished, unknownEnds, offloaded } = this.table.counters;
    const follower = this.#follower.counters;
    const events = this.#events.counters;
    return {
      conntrack_untracked: untracked,
      conntrack_vanished: vanished,
      conntrack_unknown_ends: unknownEnds,
      conntrack_offloaded: offloaded,
      conntrack_undecodable: follower.undecodable,
      conntrack_begun: follower.begun,
      conntrack_changed: follower.changed,
      conntrack_ended: follower.ended,
      conntrack_event_overflows: follower.overflows,
      conntrack_event_failures: events.failures,
      conntrack_event_foreign_sender: events.foreignSender,
      conntrack_event_truncated: events.truncated,
      conntrack_dumps: follower.dumps,
      conntrack_resyncs: follower.resyncs,
    };
  }

  get #sendsEvents(): boolean {
    return (this.#settings.events ?? 0) > 0;
  }

  get #hasEvents(): boolean {
    return this.#events.listening && this.#sendsEvents;
  }

  #addConditions(follower: ConntrackFollower, conditions: Condition[]): void {
    const { refusal } = this.#events;
    if (refusal !== undefined && !conditions.some(({ code }) => code === refusal.code)) {
      conditions.push(refusal);
    }
    if (!this.#sendsEvents) conditions.push(EVENTS_OFF);
    if (follower.overflowing) conditions.push(this.#events.loss);
  }

  #activity(follower: ConntrackFollower, fill: ConntrackFill, nowMs: number): ConntrackActivity {
    const { events, accounting, timestamps } = this.#settings;
    const { begun, ended } = follower.counters;
    const begunPerS = this.#begun.perS(begun, nowMs);
    const endedPerS = this.#ended.perS(ended, nowMs);
    const growthPerS = this.#growth.perS(fill.count, nowMs);
    const toFullMs = timeToFullMs(fill, growthPerS);
    this.#findConsumers(nowMs);
    return {
      followed: this.#hasEvents ? 'events' : 'dumps',
      settings: {
        events: events === 1 ? 'on' : events === 2 ? 'on-demand' : 'off',
        accounting: accounting === 1,
        timestamps: timestamps === 1,
      },
      ...(this.#hasEvents && begunPerS !== undefined ? { begunPerS } : {}),
      ...(this.#hasEvents && endedPerS !== undefined ? { endedPerS } : {}),
      ...(growthPerS === undefined ? {} : { growthPerS }),
      ...(toFullMs === undefined ? {} : { toFullMs }),
      ends: FLOW_END_REASONS.map((reason, at) => ({ reason, count: this.#ends.reasons[at] ?? 0 })).filter(
        ({ count }) => count > 0,
      ),
      lifetimes: (['kernel', 'seen'] as const)
        .map((basis) => ({
          basis,
          counts: [...this.#ends.lifetimes[basis]],
          sumMs: this.#ends.sumsMs[basis],
        }))
        .filter(({ counts }) => counts.some((each) => each > 0)),
      lifetimeBoundsMs: LIFETIME_BOUNDS_MS,
      lifetimesUnknown: this.#ends.unknownLifetimes,
      ...this.#consumers,
      statistics: this.#statistics(nowMs),
    };
  }

  #findConsumers(nowMs: number): void {
    if (nowMs < this.#nextConsumersMs) return;
    const forEachFlow: FlowTable['forEachFlow'] = (visit) =>
      this.table.forEachFlow(visit, () => this.follow());
    const accounting = this.#settings.accounting === 1;
    this.#consumers = findConsumers({ forEachFlow }, CONNTRACK_ACTIVITY_LIMITS.consumers, accounting);
    const doneMs = this.#clock();
    this.#nextConsumersMs = doneMs + CONSUMERS_PAUSE_FACTOR * (doneMs - nowMs);
  }

  /** Where they may not be read, a condition of the dump says so already. */
  #statistics(nowMs: number): ConntrackActivity['statistics'] {
    const cpus = unlessRefused([], () => dumpConntrackStats(this.#faults));
    return cpus === undefined ? [] : this.#stats.add(cpus, nowMs);
  }

  [Symbol.dispose](): void {
    this.#events[Symbol.dispose]();
  }
}

const EVENTS_OFF: Condition = {
  code: 'CONNTRACK_EVENTS_OFF',
  message: 'the kernel tells no events of conntrack: net.netfilter.nf_conntrack_events is 0 or missing',
  hint: 'sysctl -w net.netfilter.nf_conntrack_events=1; until then flows that begin and end between two readings go unseen',
};
