/**
 * Leader election by a Lease, as client-go does it. Clocks of others are never compared: a Lease is held as long as
 * it was seen to change within its duration, by the clock of the one who looks.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { KubeClient, KubeObject } from './client.ts';
import { kubeCondition } from './kube-condition.ts';
import { isConflict, isNotFound } from './kube-error.ts';
import { microTime } from './micro-time.ts';
import { LEASES } from './resource.ts';

/** Where agents reach the ingest of the holder: `https://10.244.1.7:7461`. */
const ADDRESS_ANNOTATION = 'finwait.io/ingest-address';

export interface LeaderElectionOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'update'>;
  readonly namespace: string;
  readonly name: string;
  /** Unique for each run of each replica. */
  readonly identity: string;
  readonly address: string;
  readonly log: Logger;
  readonly durations?: Partial<LeaseDurations>;
  /** Monotonic time in milliseconds. */
  readonly monotonicMs?: () => number;
}

export interface LeaseDurations {
  /** Others may take the Lease over when it did not change for so long. */
  readonly leaseMs: number;
  /** The holder gives up when it could not renew for so long; shorter than `leaseMs`. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
  /** How long a stop tries to give the Lease up; then it ends by itself. */
  readonly releaseMs: number;
}

export interface Leader {
  readonly identity: string;
  readonly address: string;
}

export interface LeaderElection {
  /** Undefined when nobody holds the Lease as far as is known. */
  leader(): Leader | undefined;
  isLeader(): boolean;
  /** Told whenever this one becomes or ceases to be the leader. */
  onChange(listener: (leading: boolean) => void): void;
  conditions(): Condition[];
  start(): void;
  /** Gives the Lease up, if this one holds it. */
  stop(): Promise<void>;
}

/** Short, so that agents find a new leader within 15 s after a leader was killed. */
const DURATIONS: LeaseDurations = {
  leaseMs: 8000,
  renewDeadlineMs: 5000,
  retryMs: 1000,
  releaseMs: 2000,
};
/** No operator takes it for longer: a Lease that says so was edited, and must not keep all from leading. */
const LONGEST_LEASE_MS = 60_000;

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

export function createLeaderElection(options: LeaderElectionOptions): LeaderElection {
  const { client, namespace, name, identity, address, log, monotonicMs = () => performance.now() } = options;
  const durations = { ...DURATIONS, ...options.durations };
  const listeners: ((leading: boolean) => void)[] = [];
  const stopping = new AbortController();
  /** The Lease as it was when it last changed, and when that was seen. */
  let observed: { readonly lease: KubeObject; readonly atMs: number } | undefined;
  let renewedMs = Number.NEGATIVE_INFINITY;
  let leading = false;
  let trouble: Condition | undefined;
  let running: Promise<void> | undefined;

  function observe(lease: KubeObject): void {
    if (observed?.lease.metadata?.resourceVersion === lease.metadata?.resourceVersion) return;
    observed = { lease, atMs: monotonicMs() };
  }

  function isHeld(): boolean {
    if (observed === undefined) return false;
    const { holderIdentity = '', leaseDurationSeconds = 0 } = specOf(observed.lease);
    const heldMs = Math.min(leaseDurationSeconds * 1000, LONGEST_LEASE_MS);
    return holderIdentity !== '' && monotonicMs() - observed.atMs < heldMs;
  }

  /** One try to take or renew the Lease. Rejects when the API server cannot be asked. */
  async function tryOnce(signal: AbortSignal, mayRepeat = true): Promise<boolean> {
    const lease = await client.get(LEASES, namespace, name, { signal }).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    let mine = false;
    if (lease !== undefined) {
      observe(lease);
      mine = specOf(lease).holderIdentity === identity;
      if (!mine && isHeld()) return false;
    }
    try {
      const write = lease === undefined ? client.create : client.update;
      observe(await write(LEASES, leaseOf(lease), { signal }));
      return true;
    } catch (error) {
      if (!isConflict(error)) throw error;
      // Another one was faster; or somebody edited the Lease of this one, as an upgrade of the chart does.
      return mine && mayRepeat ? tryOnce(signal, false) : false;
    }
  }

  function leaseOf(lease: KubeObject | undefined): KubeObject {
    const before = lease === undefined ? {} : specOf(lease);
    const now = microTime(Date.now());
    const mine = before.holderIdentity === identity;
    const transitions = before.leaseTransitions ?? 0;
    return {
      ...lease,
      metadata: {
        ...(lease?.metadata ?? { namespace, name }),
        annotations: { ...lease?.metadata?.annotations, [ADDRESS_ANNOTATION]: address },
      },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(durations.leaseMs / 1000),
        acquireTime: mine ? before.acquireTime : now,
        renewTime: now,
        leaseTransitions: mine || lease === undefined ? transitions : transitions + 1,
      },
    };
  }

  function lead(now: boolean): void {
    if (leading === now) return;
    leading = now;
    log.log('info', now ? 'this operator leads' : 'this operator no longer leads', { identity });
    for (const listener of listeners) listener(now);
  }

  /** A request may take no longer than the holder may go without renewing. In whole milliseconds, for timers. */
  function patienceMs(nowMs: number): number {
    const { renewDeadlineMs, retryMs } = durations;
    if (!leading) return renewDeadlineMs;
    return Math.ceil(Math.min(renewDeadlineMs, Math.max(retryMs, renewedMs + renewDeadlineMs - nowMs)));
  }

  async function run(): Promise<void> {
    const { signal } = stopping;
    while (!signal.aborted) {
      const startedMs = monotonicMs();
      try {
        const held = await tryOnce(AbortSignal.any([signal, AbortSignal.timeout(patienceMs(startedMs))]));
        if (trouble !== undefined) log.log('info', 'the Lease can be asked for again');
        trouble = undefined;
        if (signal.aborted) return;
        if (held) renewedMs = startedMs;
        lead(held);
      } catch (error) {
        if (signal.aborted) return;
        const before = trouble;
        trouble = kubeCondition(`get, create and update leases`, error);
        // Told once, not each second: what stands is among the conditions.
        if (before?.code !== trouble.code) {
          log.log('warn', 'the Lease cannot be renewed or taken', { error: trouble.message });
        }
        // Others may take it soon: this one must have stopped before.
        if (monotonicMs() - renewedMs >= durations.renewDeadlineMs) lead(false);
      }
      const jitter = 1 + 0.2 * Math.random();
      await sleep(durations.retryMs * jitter, undefined, { signal }).catch(() => undefined);
    }
  }

  async function release(): Promise<void> {
    if (!leading) return;
    lead(false);
    const now = microTime(Date.now());
    const signal = AbortSignal.timeout(durations.releaseMs);
    try {
      // A renewal that was cut off may have been done all the same.
      const lease = await client.get(LEASES, namespace, name, { signal });
      const { holderIdentity, leaseTransitions = 0 } = specOf(lease);
      if (holderIdentity !== identity) return;
      const spec = {
        holderIdentity: '',
        leaseDurationSeconds: 1,
        acquireTime: now,
        renewTime: now,
        leaseTransitions,
      };
      await client.update(LEASES, { ...lease, spec }, { signal });
    } catch (error) {
      log.log('warn', 'the Lease could not be given up: the next leader has to wait for its end', {
        error: String(error),
      });
    }
  }

  return {
    leader() {
      if (observed === undefined || !isHeld()) return undefined;
      const annotation = observed.lease.metadata?.annotations?.[ADDRESS_ANNOTATION] ?? '';
      return { identity: specOf(observed.lease).holderIdentity ?? '', address: annotation };
    },
    isLeader: () => leading && monotonicMs() - renewedMs < durations.leaseMs,
    onChange: (listener) => void listeners.push(listener),
    conditions: () => (trouble === undefined ? [] : [trouble]),
    start() {
      running ??= run();
    },
    async stop() {
      stopping.abort();
      await running;
      await release();
    },
  };
}

function specOf(lease: KubeObject): LeaseSpec {
  return (lease.spec ?? {}) as LeaseSpec;
}
