import * as assert from 'uvu/assert';
import type { Condition } from '#base/errors.ts';
import { createFleet } from '../../operator/fleet/fleet.ts';
import { createReceiver } from '../../operator/ingest/receiver.ts';
import type { Delivery } from '../../operator/telemetry/telemetry.ts';
import { spec } from '../harness.ts';
import { BOOT, sampleProbe, sampleReport } from '../support/report.ts';

const INSTANCE = 'c1f6cb21-6a37-4c35-9d0a-6b3a0d5f8e02';
const AWAY: Condition = { code: 'COLLECTOR_UNREACHABLE', message: 'away', hint: 'start it' };

/** Longer than any test may take. */
const FOR_EVER_MS = 3_600_000;

/** A receiver whose telemetry settles each result when the test says so. */
function receiver(settleWaitMs?: number) {
  const deliveries = new Map<string, (delivery: Delivery) => void>();
  const recorded: string[] = [];
  const state: { conditions: Condition[] } = { conditions: [] };
  const assignmentOf = () => [];
  const receive = createReceiver({
    fleet: createFleet({ reportIntervalMs: 5000, assignmentOf }),
    telemetry: {
      recordProbe(result, node) {
        recorded.push(`${node} ${result.id}`);
        const { promise, resolve } = Promise.withResolvers<Delivery>();
        deliveries.set(result.id, resolve);
        return promise;
      },
      conditions: () => state.conditions,
    },
    instance: () => INSTANCE,
    reportIntervalMs: 5000,
    assignmentOf,
    nowMs: () => 1000,
    ...(settleWaitMs === undefined ? {} : { settleWaitMs }),
  });
  const settle = (id: string, delivery: Delivery = 'accepted'): void => deliveries.get(id)?.(delivery);
  return { receive, settle, recorded, state };
}

const id = (number: number): string => String(number).padStart(32, '0');
const report = (seq: number, ...ids: number[]) =>
  sampleReport({ seq, probes: ids.map((number) => sampleProbe({ id: id(number) })) });

spec('operator: acknowledgements', (test) => {
  test('carry the run of the agent and of the operator, the number and the assignment', async () => {
    const { receive } = receiver();
    assert.equal(await receive('ferry', report(3)), {
      version: 1,
      boot: BOOT,
      instance: INSTANCE,
      seq: 3,
      assignment: { targets: [], reportIntervalMs: 5000 },
    });
  });

  test('wait for the collector to have every probe of the report', async () => {
    const { receive, settle } = receiver(FOR_EVER_MS);
    const answer = receive('ferry', report(1, 1, 2));
    settle(id(1));
    settle(id(2));
    assert.is((await answer).seq, 1);
  });

  test('do not keep the agent waiting: what is not settled is acknowledged later', async () => {
    const { receive, settle, state } = receiver(FOR_EVER_MS);
    state.conditions = [AWAY];
    assert.is((await receive('ferry', report(1, 1))).seq, 0);
    assert.is((await receive('ferry', report(2, 2))).seq, 0);
    settle(id(2));
    assert.is((await receive('ferry', report(3))).seq, 0, 'the first is still open');
    settle(id(1));
    await new Promise(setImmediate);
    assert.is((await receive('ferry', report(4))).seq, 4);
  });

  test('are given after a second at most when the collector is slow', async () => {
    const { receive } = receiver();
    const startedMs = performance.now();
    assert.is((await receive('ferry', report(1, 1))).seq, 0);
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs > 900, `took ${tookMs} ms`);
  });

  test('count what was lost as settled: the agent cannot help it any more', async () => {
    const { receive, settle } = receiver(FOR_EVER_MS);
    const answer = receive('ferry', report(1, 1));
    settle(id(1), 'lost');
    assert.is((await answer).seq, 1);
  });

  test('of a report sent again send its probes to the collector once', async () => {
    const { receive, settle, recorded, state } = receiver();
    state.conditions = [AWAY];
    await receive('ferry', report(1, 1));
    await receive('ferry', report(1, 1));
    assert.equal(recorded, [`ferry ${id(1)}`]);
    settle(id(1));
    await new Promise(setImmediate);
    assert.is((await receive('ferry', report(1, 1))).seq, 1);
  });

  test('speak for each run of an agent and each node by itself', async () => {
    const { receive, state } = receiver();
    state.conditions = [AWAY];
    const boot = '11111111-1111-4111-8111-111111111111';
    assert.is((await receive('ferry', report(7, 1))).seq, 6);
    assert.is((await receive('ferry', { ...report(5), boot })).seq, 5);
    assert.is((await receive('barge', report(2))).seq, 2);
  });
});
