import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import type { Page } from '../../../operator/kube/client.ts';
import { createEventRecorder } from '../../../operator/kube/event-recorder.ts';
import { KubeError } from '../../../operator/kube/kube-error.ts';
import { createLeaderElection } from '../../../operator/kube/leader-election.ts';
import { createReflector } from '../../../operator/kube/reflector.ts';
import { CONFIG_MAPS } from '../../../operator/kube/resource.ts';
import { spec } from '../../harness.ts';
import { until } from '../../support/until.ts';

const log = { log: () => {} };
const timing = { retryFirstMs: 5, retryMaxMs: 20 };
const named = (name: string) => ({ metadata: { namespace: 'web', name, resourceVersion: '1' } });

/** As a request that is never answered. */
function stalls(options: { readonly signal?: AbortSignal } = {}): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  options.signal?.addEventListener('abort', () => reject(new KubeError(0, 'Timeout', 'cut off')));
  return promise;
}

async function* silent(_: unknown, { signal }: { signal: AbortSignal }) {
  yield await stalls({ signal });
}

/** Long enough for a busy machine; what waits for an answer of this API server would wait for ever. */
const HANGS_MS = 30_000;

async function ends(work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(HANGS_MS, false, { signal: timer.signal }).catch(() => false);
  return Promise.race([work.then(() => true), late]).finally(() => timer.abort());
}

spec('an API server that stalls or fails midway', (test) => {
  test('lets a list begin anew when a page after the first fails', async () => {
    let calls = 0;
    const list = async (): Promise<Page> => {
      calls++;
      if (calls === 2) throw new KubeError(503, 'ServiceUnavailable', 'restarting');
      const first = calls === 1 || calls === 3;
      return {
        items: [named(first ? 'a' : 'b')],
        resourceVersion: '7',
        continue: first ? 'more' : undefined,
      };
    };
    const reflector = createReflector({
      client: { list, watch: silent },
      resource: CONFIG_MAPS,
      slim: () => true,
      log,
      timing,
    });
    reflector.start();
    assert.ok(await ends(reflector.synced));
    assert.is(reflector.size, 2);
    await reflector.stop();
  });

  test('lets a reflector stop in the middle of a list', async () => {
    const client = {
      list: (_: unknown, options?: { signal?: AbortSignal }) => stalls(options),
      watch: silent,
    };
    const reflector = createReflector({ client, resource: CONFIG_MAPS, slim: () => true, log });
    reflector.start();
    assert.ok(await ends(reflector.stop()));
  });

  test('is not asked again at once for a watch that ends at once', async () => {
    const list = async (): Promise<Page> => ({ items: [], resourceVersion: '7', continue: undefined });
    async function* watch() {}
    const reflector = createReflector({
      client: { list, watch },
      resource: CONFIG_MAPS,
      slim: () => true,
      log,
      timing: { retryFirstMs: 50, retryMaxMs: 100 },
    });
    const startedMs = performance.now();
    reflector.start();
    await until('watched three times', () => reflector.counters.watches >= 3 || undefined);
    await reflector.stop();
    const most = 2 + (performance.now() - startedMs) / 50;
    assert.ok(reflector.counters.watches <= most, `${reflector.counters.watches} watches`);
  });

  test('is given a pause when it calls each version too old', async () => {
    const list = async (): Promise<Page> => ({ items: [], resourceVersion: '7', continue: undefined });
    async function* watch() {
      yield { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } };
    }
    const reflector = createReflector({
      client: { list, watch },
      resource: CONFIG_MAPS,
      slim: () => true,
      log,
      timing: { retryFirstMs: 50, retryMaxMs: 100 },
    });
    const startedMs = performance.now();
    reflector.start();
    await until('listed three times', () => reflector.counters.lists >= 3 || undefined);
    await reflector.stop();
    const most = 2 + (performance.now() - startedMs) / 50;
    assert.ok(reflector.counters.lists <= most, `${reflector.counters.lists} lists`);
  });

  test('is watched anew when it says nothing, not even that it is there', async () => {
    const list = async (): Promise<Page> => ({ items: [], resourceVersion: '7', continue: undefined });
    const from: string[] = [];
    async function* watch(_: unknown, options: { signal: AbortSignal; resourceVersion: string }) {
      from.push(options.resourceVersion);
      yield { type: 'BOOKMARK', object: { metadata: { resourceVersion: `${from.length * 10}` } } };
      yield await stalls(options);
    }
    const reflector = createReflector({
      client: { list, watch },
      resource: CONFIG_MAPS,
      slim: () => true,
      log,
      timing: { silenceMs: 30 },
    });
    reflector.start();
    await until('watched three times', () => from.length >= 3 || undefined);
    await reflector.stop();
    assert.equal(from.slice(0, 3), ['7', '10', '20']);
    const { lists, failures, silences } = reflector.counters;
    assert.equal([lists, failures], [1, 0]);
    assert.ok(silences >= 2);
    assert.equal(reflector.conditions(), []);
  });

  test('takes the lead from one whose renewals are not answered, in time', async () => {
    let answers = true;
    let nowMs = 0;
    let lease = { metadata: { resourceVersion: '1' }, spec: {} };
    const client = {
      get: async (...args: unknown[]) => (answers ? lease : stalls(args[3] as { signal: AbortSignal })),
      create: async () => lease,
      update: async (_: unknown, next: object) => {
        lease = { ...lease, ...next, metadata: { resourceVersion: lease.metadata.resourceVersion + 1 } };
        return lease;
      },
    };
    const election = createLeaderElection({
      client: client as never,
      namespace: 'default',
      name: 'finwait',
      identity: 'a',
      address: 'https://a:7461',
      log,
      durations: { leaseMs: 900, renewDeadlineMs: 400, retryMs: 50 },
      monotonicMs: () => nowMs,
    });
    const turns: boolean[] = [];
    election.onChange((leads) => turns.push(leads));
    election.start();
    await until('leads', () => election.isLeader() || undefined);
    answers = false;
    await until('leads no more', () => {
      nowMs += 50;
      return turns.length === 2 || undefined;
    });
    assert.equal(turns, [true, false]);
    assert.ok(nowMs < 900, `after ${nowMs} ms`);
    answers = true;
    assert.ok(await ends(election.stop()));
  });

  test('is told once by the one who wants to lead, and when it is over', async () => {
    let tries = 0;
    const lease = { metadata: { resourceVersion: '1' }, spec: {} };
    const client = {
      get: async () => {
        tries++;
        if (tries < 6) throw new KubeError(0, 'Unreachable', `refused ${tries}`);
        return lease;
      },
      create: async () => lease,
      update: async () => lease,
    };
    const lines: string[] = [];
    const election = createLeaderElection({
      client,
      namespace: 'default',
      name: 'finwait',
      identity: 'a',
      address: 'https://a:7461',
      log: { log: (level, message) => void lines.push(`${level} ${message}`) },
      durations: { leaseMs: 900, renewDeadlineMs: 400, retryMs: 5 },
    });
    election.start();
    await until('leads', () => election.isLeader() || undefined);
    assert.equal(lines, [
      'warn the Lease cannot be renewed or taken',
      'info the Lease can be asked for again',
      'info this operator leads',
    ]);
    await election.stop();
  });

  test('does not hold up a stop for Events that wait', async () => {
    const recorder = createEventRecorder({
      client: { create: () => stalls(), patch: () => stalls() },
      instance: 'a',
      log,
    });
    const regarding = { apiVersion: 'v1', kind: 'Pod', namespace: 'web', name: 'shop' };
    const event = { regarding, type: 'Normal', action: 'Probe', note: '' } as const;
    for (const reason of ['A', 'B']) recorder.record({ ...event, reason });
    assert.ok(await ends(recorder.stop()));
  });
});
