/**
 * The main thread's side of the engine worker: resolves names, decides when which target is probed, hands probes
 * to the worker and their results to whoever listens.
 */

import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { AddressPolicy } from '#base/address-policy.ts';
import type { Condition } from '#base/errors.ts';
import { conditionOf, type FinwaitError } from '#base/errors.ts';
import type { Family, ProbeResult, ProbeTarget } from '#contract';
import type { HostTunConfig } from '../kernel/host-tun.ts';
import { resultWithoutProbe } from '../probe/result.ts';
import { Schedule } from '../probe/schedule.ts';
import { connects } from '../probe/verdict.ts';
import type { ProfileName } from '../tcp/profile.ts';
import { parseIpAddress } from '../wire/address.ts';
import { resolveHost } from './engine-resolve.ts';
import { EngineThread } from './engine-thread.ts';
import type { EngineReady, ProbeRequest } from './messages.ts';

export type { EngineReady } from './messages.ts';

/** How many targets are probed at the same time, and the least time between two starts. */
const CONCURRENCY = 64;
const SPACING_MS = 20;
const JITTER = 0.1;
const RESOLVE_DEADLINE_MS = 5_000;

export interface EngineConfig extends HostTunConfig {
  /** What the operator may not have probed. */
  readonly policy?: AddressPolicy;
  /** The system as which the engine connects; default its own way. */
  readonly profile?: ProfileName;
}

export interface ProbeOptions {
  /** Only addresses of that family. */
  readonly family?: Family;
  /** Every address of a name; otherwise, as a client would, one after the other until one accepts the connection. */
  readonly every?: boolean;
  /** Called with each address's result as soon as it is there. */
  readonly onResult?: (result: ProbeResult) => void;
  /** Ends the probe under way with the verdict `aborted`, and starts no other. */
  readonly signal?: AbortSignal;
}

export interface EngineSnapshot {
  /** Totals since the engine started, by name. */
  readonly counters: Readonly<Record<string, number>>;
  /** Time since the worker last gave a sign of life; well below a second in a healthy one. */
  readonly heartbeatAgeMs: number;
  /** What the host does not allow, what cannot be reached and why, which names do not resolve. */
  readonly conditions: readonly Condition[];
}

export interface EngineHandle {
  /** Rejects with the FinwaitError that says what this machine does not allow. */
  readonly ready: Promise<EngineReady>;
  /** Replaces the list of targets probed at their intervals; probes under way go on. */
  setTargets(targets: readonly ProbeTarget[]): void;
  /**
   * Probes a target now.
   * @throws FinwaitError NAME_UNRESOLVED, or why there is no engine
   */
  probe(target: ProbeTarget, options?: ProbeOptions): Promise<ProbeResult[]>;
  /** Every probe's result, scheduled or not, as it ends. */
  onResult(listener: (result: ProbeResult) => void): void;
  snapshot(): EngineSnapshot;
  /** Resolves when the worker ends without having been told to. */
  readonly died: Promise<FinwaitError>;
  /** Ends the probes under way (their peers get a RST) and the worker, within a bounded time. */
  stop(): Promise<void>;
}

/** Starts the engine on a TUN device of its own. */
export function startEngine(config: EngineConfig): EngineHandle {
  const listeners: ((result: ProbeResult) => void)[] = [];
  const schedule = new Schedule({
    random: Math.random,
    concurrency: CONCURRENCY,
    spacingMs: SPACING_MS,
    jitter: JITTER,
  });
  /** The last fault of each target that is probed at an interval; a result without one clears it. */
  const faults = new Map<string, Condition>();
  let scheduled: ReadonlySet<string> = new Set();
  const stopped = new AbortController();
  const { policy, profile = 'finwait', ...host } = config;
  const thread = new EngineThread({ host, profile });
  // Another engine takes over the targets then; both would tell of them.
  thread.died.then(halt);
  let unresolved = 0;
  let timer: NodeJS.Timeout | undefined;

  function halt(): void {
    stopped.abort();
    clearTimeout(timer);
  }

  async function probe(target: ProbeTarget, options: ProbeOptions = {}): Promise<ProbeResult[]> {
    await thread.ready;
    const signal = AbortSignal.any([
      stopped.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    const results: ProbeResult[] = [];
    const host = await resolveHost(target.host, options.family, RESOLVE_DEADLINE_MS, signal).catch(
      (error) => {
        if (signal.aborted) return undefined;
        unresolved++;
        throw error;
      },
    );
    const { addresses = [], resolved } = host ?? {};
    faults.delete(target.name);
    for (const address of addresses) {
      if (signal.aborted) break;
      const id = randomBytes(16).toString('hex');
      const request = { id, target, address, ...(resolved === undefined ? {} : { resolved }) };
      const forbidden = target.origin === 'user' ? policy?.(address) : undefined;
      const { result, condition } =
        forbidden === undefined
          ? await thread.probe(request, signal)
          : { result: notProbed(request, 'forbidden', forbidden), condition: undefined };
      if (condition !== undefined) faults.set(target.name, condition);
      results.push(result);
      options.onResult?.(result);
      for (const listener of listeners) listener(result);
      if (options.every !== true && connects(result.verdict)) break;
    }
    return results;
  }

  /** Who asked for the target by a reference waits for a result also where there is no address to probe. */
  function notResolved(target: ProbeTarget, condition: Condition): void {
    faults.set(target.name, condition);
    if (target.ref === undefined || stopped.signal.aborted) return;
    const request = { id: randomBytes(16).toString('hex'), target, address: '0.0.0.0' };
    for (const listener of listeners) listener(notProbed(request, 'unreachable', condition.message));
  }

  function runDue(): void {
    clearTimeout(timer);
    if (stopped.signal.aborted) return;
    for (;;) {
      const target = schedule.take(performance.now());
      if (target === undefined) break;
      probe(target)
        .catch((error) => notResolved(target, conditionOf(error)))
        .finally(() => {
          schedule.finished(target.name);
          // It was taken away meanwhile, and nothing would clear its fault any more.
          if (!scheduled.has(target.name)) faults.delete(target.name);
          runDue();
        });
    }
    const waitMs = schedule.nextDeadlineMs() - performance.now();
    // Longer waits than a timer can hold, and none at all, are looked at again later.
    if (waitMs < Number.POSITIVE_INFINITY) timer = setTimeout(runDue, Math.min(Math.max(waitMs, 1), 60_000));
  }

  return {
    ready: thread.ready,
    died: thread.died,
    probe,
    onResult: (listener) => void listeners.push(listener),
    setTargets(targets) {
      scheduled = new Set(targets.map(({ name }) => name));
      for (const name of faults.keys()) if (!scheduled.has(name)) faults.delete(name);
      schedule.replace(targets, performance.now());
      thread.ready.then(runDue, () => {});
    },
    snapshot: () => ({
      counters: {
        ...thread.counters,
        probe_turns_skipped: schedule.skipped,
        probe_names_unresolved: unresolved,
      },
      heartbeatAgeMs: thread.heartbeatAgeMs(),
      conditions: distinct([...thread.conditions, ...faults.values()]),
    }),
    async stop() {
      halt();
      await thread.stop();
    },
  };
}

/** The result of a probe that never came to the engine. */
function notProbed(
  { id, target, address, resolved }: ProbeRequest,
  verdict: 'unreachable' | 'forbidden',
  why: string,
): ProbeResult {
  const parsed = parseIpAddress(address);
  if (!parsed.ok) throw new Error(`${address} was resolved and is no address`);
  const probe = { id, target, address: parsed.value, ...(resolved === undefined ? {} : { resolved }) };
  const nowUs = Math.round((performance.timeOrigin + performance.now()) * 1000);
  return resultWithoutProbe(probe, verdict, `${verdict}: ${why}`, nowUs);
}

function distinct(conditions: readonly Condition[]): Condition[] {
  return [...new Map(conditions.map((each) => [`${each.code} ${each.message}`, each])).values()];
}
