/** How long results of a HandshakeProbe hold, whatever the clocks of the nodes say. */

import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { firstBy } from '../../../operator/controllers/handshake-probe/first-by.ts';
import { foundOf } from '../../../operator/controllers/handshake-probe/found.ts';
import { probeRecord } from '../../../operator/controllers/handshake-probe/probe-record.ts';
import { RunState } from '../../../operator/controllers/handshake-probe/run-state.ts';
import { probeStatus } from '../../../operator/controllers/handshake-probe/status.ts';
import { spec, testSeed } from '../../harness.ts';
import { sampleProbe } from '../../support/report.ts';

const NOW = Date.UTC(2026, 4, 1, 12);
const HOUR_MS = 3_600_000;
const INTERVAL_MS = 30_000;
const LIFE_MS = 3 * INTERVAL_MS;
const PLACE = { target: 'shop', host: '10.0.0.7', port: 80 };
const PROBE = probeRecord({
  metadata: { namespace: 'web', name: 'shop', uid: 'u', generation: 1 },
  spec: { targets: [{ name: 'shop', address: '10.0.0.7', port: 80 }] },
});

/** @param saidMs when it was measured, by the clock of the node */
function found(sentence: string, saidMs: number, receivedMs: number, tainted?: string) {
  const { host, port } = PLACE;
  const result = sampleProbe({
    target: { name: 'shop', host, port, origin: 'user' },
    remote: { address: host, port },
    startUs: saidMs * 1000,
    sentence,
    ...(tainted === undefined ? {} : { tainted }),
  });
  return foundOf(
    result,
    { target: 'shop', node: 'ferry', receivedMs },
    { verdict: 'Open', handshakeWithinUs: undefined },
  );
}

const messages = (state: RunState) => state.found.map(({ message }) => message);
const prune = (state: RunState, nowMs: number) => state.prune(new Set(['ferry']), [PLACE], nowMs - LIFE_MS);

function statusOf(state: RunState, nowMs: number) {
  return probeStatus({
    probe: PROBE,
    faults: [],
    nodes: 1,
    wanted: 1,
    missing: [],
    whyMissing: () => '',
    found: state.found,
    leftOut: 0,
    sinceMs: state.sinceMs,
    before: undefined,
    nowMs,
  });
}

spec('Results of a HandshakeProbe', (test) => {
  for (const [clock, offsetMs] of [
    ['hours behind', -5 * HOUR_MS],
    ['right', 0],
    ['hours ahead', 5 * HOUR_MS],
  ] as const) {
    test(`of a node whose clock is ${clock} hold as long as any, from when they came`, () => {
      const state = new RunState(PROBE, NOW);
      state.add(found('first', NOW + offsetMs, NOW), INTERVAL_MS);
      prune(state, NOW + LIFE_MS);
      assert.equal(messages(state), ['first']);
      const status = statusOf(state, NOW);
      assert.is(status.lastProbeTime, '2026-05-01T12:00:00Z');
      assert.is(Date.parse(status.results[0]?.time ?? ''), NOW + offsetMs, 'its own time is told as it is');
      prune(state, NOW + LIFE_MS + 1);
      assert.equal(messages(state), []);
    });

    test(`of a node whose clock is ${clock} hold under the next leader from the newest of all on`, () => {
      const first = new RunState(PROBE, NOW);
      first.add(found('first', NOW + offsetMs, NOW), INTERVAL_MS);
      const status = statusOf(first, NOW);
      const next = new RunState({ ...PROBE, status }, NOW + 20_000);
      prune(next, NOW + LIFE_MS);
      assert.equal(messages(next), ['first']);
      prune(next, NOW + LIFE_MS + 1);
      assert.equal(messages(next), []);
    });
  }

  test('written by an operator whose clock is ahead do not hold for longer', () => {
    const first = new RunState(PROBE, NOW);
    first.add(found('first', NOW, NOW + 5 * HOUR_MS), INTERVAL_MS);
    const next = new RunState({ ...PROBE, status: statusOf(first, NOW) }, NOW);
    prune(next, NOW + LIFE_MS + 1);
    assert.equal(messages(next), []);
  });

  test('that come again do not replace those measured after them', () => {
    const state = new RunState(PROBE, NOW);
    state.add(found('second', NOW, NOW), INTERVAL_MS);
    state.add(found('first', NOW - 1000, NOW + 1000), INTERVAL_MS);
    assert.equal(messages(state), ['second']);
  });

  test('of a node whose clock was set back by hours are taken before the last one is too old to hold', () => {
    const state = new RunState(PROBE, NOW);
    state.add(found('before', NOW, NOW), INTERVAL_MS);
    for (let n = 1; n <= 3; n++) {
      const receivedMs = NOW + n * INTERVAL_MS;
      state.add(found(`after ${n}`, receivedMs - 5 * HOUR_MS, receivedMs), INTERVAL_MS);
      prune(state, receivedMs);
    }
    assert.equal(messages(state), ['after 3']);
  });

  test('say which nodes have not answered for all places, and that a name did not resolve only until it does', () => {
    const state = new RunState(PROBE, NOW);
    const nodes = new Set(['ferry', 'harbour']);
    assert.equal(state.missing(nodes, [PLACE]), ['ferry', 'harbour']);
    state.add({ ...found('no such name', NOW, NOW), address: undefined }, INTERVAL_MS);
    assert.equal(state.missing(nodes, [PLACE]), ['harbour']);
    assert.equal(state.missing(nodes, [PLACE, { ...PLACE, port: 81 }]), ['ferry', 'harbour']);
    state.add(found('open', NOW + 1, NOW + 1), INTERVAL_MS);
    assert.equal([messages(state), state.size], [['open'], 1]);
  });

  test('are listed the worst first, as if all had been sorted', () => {
    const text = fc.string({ maxLength: 2 });
    const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
    fc.assert(
      fc.property(fc.array(text), fc.integer({ min: 1, max: 9 }), (items, count) => {
        assert.equal(firstBy(items, count, compare), items.toSorted(compare).slice(0, count));
      }),
      { seed: testSeed() },
    );
  });

  test('that are tainted do not replace one that is not, for three intervals', () => {
    const state = new RunState(PROBE, NOW);
    state.add(found('clean', NOW, NOW), INTERVAL_MS);
    state.add(found('tainted', NOW + 30_000, NOW + 30_000, 'loop-lag'), INTERVAL_MS);
    assert.equal(messages(state), ['clean']);
    state.add(found('tainted', NOW + LIFE_MS, NOW + LIFE_MS, 'loop-lag'), INTERVAL_MS);
    assert.equal(messages(state), ['tainted']);
  });
});
