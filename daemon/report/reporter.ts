/**
 * Cuts reports, keeps them until they are acknowledged, and pushes them one at a time, oldest first.
 *
 *   probe results, tables --> window --cut--> spool --push--> operator
 *                                               ^--- acknowledgement, assignment
 */

import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { AgentHealth, AgentIdentity, Assignment, ProbeResult } from '#contract';
import { CONTRACT_VERSION } from '#contract';
import { boundConditions } from './bounds.ts';
import type { Clock } from './clock.ts';
import { DeliveryLog } from './delivery-log.ts';
import type { Pusher, PushOutcome } from './push.ts';
import { PushSchedule } from './push-schedule.ts';
import type { Spool, SpoolSize } from './spool.ts';
import type { SpoolEntry } from './spool-index.ts';
import { ReportWindow, type Tables } from './window.ts';

/** How far one interval may differ from the next, so that agents started together drift apart. */
const INTERVAL_JITTER = 0.05;

export interface ReporterConfig {
  /** UUID of this run of the agent. */
  readonly boot: string;
  readonly identity: AgentIdentity;
  /** Until the operator names another. */
  readonly intervalMs: number;
}

/** Totals since start, and what waits now. */
export interface ReporterStats {
  readonly cut: number;
  readonly pushes: Readonly<Record<PushOutcome['kind'], number>>;
  /** By reason: a bound, or the operator's refusal. */
  readonly droppedReports: Readonly<Record<string, number>>;
  readonly droppedResults: Readonly<Record<string, number>>;
  readonly spool: SpoolSize;
  readonly spoolFileErrors: number;
  /** Unix time of the last acknowledgement. */
  readonly acknowledgedMs: number | undefined;
}

export interface ReporterDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly spool: Spool;
  readonly pusher: Pusher;
  readonly log: Logger;
  /** How the agent fares now, and what stands against it. Asked when a report is cut. */
  readonly health: () => AgentHealth;
  readonly conditions: () => readonly Condition[];
  /** Called with the assignment of every acknowledgement. */
  readonly onAssignment: (assignment: Assignment) => void;
}

export class Reporter {
  readonly #config: ReporterConfig;
  readonly #deps: ReporterDeps;
  readonly #window: ReportWindow;
  readonly #schedule: PushSchedule;
  readonly #delivery: DeliveryLog;
  readonly #abort = new AbortController();
  #intervalMs: number;
  #nextCutMs = Number.POSITIVE_INFINITY;
  #seq = 0;
  #acknowledgedMs: number | undefined;
  #loop: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #stopping = false;

  constructor(config: ReporterConfig, deps: ReporterDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#intervalMs = config.intervalMs;
    this.#window = new ReportWindow(deps.clock.unixMs());
    this.#schedule = new PushSchedule(deps.random);
    this.#delivery = new DeliveryLog(deps.log);
  }

  /** Delivers what an earlier run left; the first own report is cut with the first tables, or after an interval. */
  start(): void {
    this.#nextCutMs = this.#deps.clock.nowMs() + this.#intervalMs;
    this.#loop = this.#run();
  }

  setTables(tables: Tables): void {
    this.#window.setTables(tables);
    if (this.#seq > 0) return;
    this.#nextCutMs = this.#deps.clock.nowMs();
    this.#wake?.();
  }

  addResult(result: ProbeResult): void {
    this.#window.addResult(result);
    if (this.#window.full) this.#wake?.();
  }

  /** What stands in the way of delivery. */
  conditions(): readonly Condition[] {
    return this.#delivery.conditions(this.#lost(), this.#deps.clock.nowMs());
  }

  stats(): ReporterStats {
    const { counters, size } = this.#deps.spool;
    const { pushes, refused } = this.#delivery;
    return {
      cut: this.#seq,
      pushes,
      droppedReports: { 'spool-full': counters.evictedReports, refused: refused.reports },
      droppedResults: {
        'spool-full': counters.evictedResults,
        'window-full': this.#window.dropped,
        refused: refused.results,
      },
      spool: size,
      spoolFileErrors: counters.fileErrors,
      acknowledgedMs: this.#acknowledgedMs,
    };
  }

  /** Cuts a last report, tries to deliver all that waits until the time is over, and ends. What is left stays spooled. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    this.#wake?.();
    const callOff = this.#deps.clock.after(timeoutMs, () => this.#abort.abort());
    await this.#loop;
    callOff();
    this.#deps.pusher.close();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const { clock, spool } = this.#deps;
      if (clock.nowMs() >= this.#nextCutMs || this.#window.full) await this.#cut();
      const entry = spool.next(clock.nowMs());
      if (entry !== undefined && clock.nowMs() >= this.#schedule.notBeforeMs) await this.#push(entry);
      else await this.#pause(entry !== undefined);
    }
    do await this.#cut();
    while (this.#window.results > 0);
    await this.#drain();
  }

  /** Sleeps until the next cut or push is due, or until something wakes it. */
  async #pause(pushWaits: boolean): Promise<void> {
    const { clock } = this.#deps;
    const dueMs = Math.min(
      this.#nextCutMs,
      pushWaits ? this.#schedule.notBeforeMs : Number.POSITIVE_INFINITY,
    );
    // Read once: time goes on between two looks, and a timer takes no negative wait.
    const waitMs = dueMs - clock.nowMs();
    if (this.#stopping || this.#window.full || waitMs <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const callOff = clock.after(waitMs, resolve);
    await promise;
    this.#wake = undefined;
    callOff();
  }

  /** Ends the window in a report; while older reports wait, only if there are results that must not be lost. */
  async #cut(): Promise<void> {
    const { clock, spool, random } = this.#deps;
    const nowMs = clock.nowMs();
    if (nowMs >= this.#nextCutMs) {
      const jitter = 1 + INTERVAL_JITTER * (2 * random() - 1);
      this.#nextCutMs = nowMs + this.#intervalMs * jitter;
    }
    if (this.#window.results === 0 && spool.next(nowMs) !== undefined) return;
    const { boot, identity } = this.#config;
    this.#seq++;
    await spool.add({
      version: CONTRACT_VERSION,
      boot,
      seq: this.#seq,
      agent: identity,
      ...this.#window.cut(clock.unixMs()),
      health: this.#deps.health(),
      conditions: boundConditions(this.#deps.conditions()),
    });
  }

  async #push(entry: SpoolEntry): Promise<PushOutcome | undefined> {
    const { clock, spool, pusher, onAssignment } = this.#deps;
    const body = await spool.body(entry);
    if (body === undefined) return undefined;
    const outcome = await pusher.push(body, this.#abort.signal);
    if (this.#abort.signal.aborted) return outcome;
    this.#schedule.ended(outcome, clock.nowMs());
    this.#delivery.ended(outcome, entry, clock.nowMs());
    if (outcome.kind === 'acknowledged') {
      const { boot, instance, seq, assignment } = outcome.ack;
      // An acknowledgement that speaks of another boot acknowledges nothing of this one.
      await spool.answered(entry, instance, boot === entry.boot ? seq : 0, clock.nowMs());
      this.#acknowledgedMs = clock.unixMs();
      if (assignment !== undefined) {
        this.#adopt(assignment.reportIntervalMs);
        onAssignment(assignment);
      }
    } else if (outcome.kind === 'invalid') {
      await spool.discard(entry);
    }
    return outcome;
  }

  /** At the end: pushes what waits, once each, until one fails. */
  async #drain(): Promise<void> {
    const { clock, spool } = this.#deps;
    for (;;) {
      const entry = spool.next(clock.nowMs());
      if (entry === undefined || this.#abort.signal.aborted) return;
      const outcome = await this.#push(entry);
      if (outcome !== undefined && outcome.kind !== 'acknowledged' && outcome.kind !== 'invalid') return;
    }
  }

  #adopt(intervalMs: number): void {
    if (intervalMs === this.#intervalMs) return;
    this.#intervalMs = intervalMs;
    this.#nextCutMs = Math.min(this.#nextCutMs, this.#deps.clock.nowMs() + intervalMs);
  }

  #lost(): { readonly reports: number; readonly results: number } {
    const { evictedReports, evictedResults } = this.#deps.spool.counters;
    return { reports: evictedReports, results: evictedResults + this.#window.dropped };
  }
}
