import fc from 'fast-check';
import * as assert from 'uvu/assert';
import type { SpoolEntry } from '../../../daemon/report/spool-index.ts';
import { SpoolIndex } from '../../../daemon/report/spool-index.ts';
import { spec, testSeed } from '../../harness.ts';
import { BOOT, INSTANCE } from './fixtures.ts';

const OTHER_INSTANCE = '7d3bb4ce-9a57-4b42-8d5c-3b8c6f3b7a02';
const LIMITS = { disk: 100, memory: 100 };

function entry(seq: number, changes: Partial<SpoolEntry> = {}): SpoolEntry {
  return { boot: BOOT, seq, results: 1, bytes: 10, keeping: 'disk', ...changes };
}

function seqs(entries: readonly SpoolEntry[]): number[] {
  return entries.map(({ seq }) => seq);
}

spec('spool index', (test) => {
  test('pushes the oldest first, and forgets what is acknowledged', () => {
    const index = new SpoolIndex(LIMITS);
    const [one, two] = [entry(1), entry(2)];
    for (const each of [one, two]) index.add(each);
    assert.is(index.next(0), one);
    assert.equal(seqs(index.answered(one, INSTANCE, 1, 0)), [1]);
    assert.is(index.next(0), two);
    assert.equal(seqs(index.answered(two, INSTANCE, 2, 0)), [2]);
    assert.is(index.next(0), undefined);
    assert.is(index.size, 0);
  });

  test('keeps a delivered report until a later answer acknowledges it', () => {
    const index = new SpoolIndex(LIMITS);
    const [one, two] = [entry(1), entry(2)];
    for (const each of [one, two]) index.add(each);
    assert.equal(index.answered(one, INSTANCE, 0, 0), []);
    assert.is(index.next(0), two, 'the next report does not wait for the acknowledgement');
    assert.equal(seqs(index.answered(two, INSTANCE, 2, 0)), [1, 2]);
  });

  test('sends a report again that stays unacknowledged, after all that never went', () => {
    const index = new SpoolIndex(LIMITS);
    const [one, two] = [entry(1), entry(2)];
    index.add(one);
    index.answered(one, INSTANCE, 0, 1_000);
    assert.is(index.next(30_999), undefined);
    assert.is(index.next(31_000), one);
    index.add(two);
    assert.is(index.next(31_000), two);
  });

  test('sends everything unacknowledged again to another run of the operator, whose number covers none of it', () => {
    const index = new SpoolIndex(LIMITS);
    const [one, two, three] = [entry(1), entry(2), entry(3)];
    for (const each of [one, two, three]) index.add(each);
    index.answered(one, INSTANCE, 0, 0);
    index.answered(two, INSTANCE, 0, 0);
    assert.equal(seqs(index.answered(three, OTHER_INSTANCE, 3, 0)), [3]);
    assert.is(index.next(0), one);
    assert.equal(seqs(index.answered(one, OTHER_INSTANCE, 3, 0)), [1]);
    assert.is(index.next(0), two);
  });

  test('an acknowledgement speaks for its own boot alone', () => {
    const index = new SpoolIndex(LIMITS);
    const old = entry(7, { boot: OTHER_INSTANCE });
    const own = entry(9);
    index.add(old);
    index.add(own);
    index.answered(old, INSTANCE, 0, 0);
    assert.equal(index.answered(own, INSTANCE, 9, 0), [own]);
    assert.is(index.size, 1);
  });

  test('lets go of a delivered report without results at once', () => {
    const index = new SpoolIndex(LIMITS);
    const empty = entry(1, { results: 0 });
    index.add(empty);
    assert.equal(index.answered(empty, INSTANCE, 0, 0), [empty]);
  });

  test('makes room by giving up the oldest of the same keeping, never the newest', () => {
    const index = new SpoolIndex({ disk: 25, memory: 100 });
    const inMemory = entry(1, { keeping: 'memory' });
    assert.equal(index.add(inMemory), []);
    assert.equal(index.add(entry(2)), []);
    assert.equal(index.add(entry(3)), []);
    assert.equal(seqs(index.add(entry(4))), [2]);
    assert.equal(seqs(index.add(entry(5, { bytes: 20 }))), [3, 4]);
    assert.is(index.bytes('disk'), 20);
    assert.equal(seqs(index.add(entry(6, { bytes: 30 }))), [5], 'one that is over the bound alone is kept');
    assert.is(index.next(0), inMemory);
  });

  test('loses no report: each is acknowledged by the run that received it, forced out, or still there', () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant('add' as const), bytes: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ do: fc.constant('push' as const), lag: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ do: fc.constant('restart' as const) }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const index = new SpoolIndex(LIMITS);
        const gone = new Set<number>();
        let [added, nowMs, run] = [0, 0, 0];
        /** What the present run of the operator has received. */
        let received = new Set<number>();
        for (const step of actions) {
          if (step.do === 'add') for (const evicted of index.add(entry(++added, step))) gone.add(evicted.seq);
          if (step.do === 'wait') nowMs += step.ms;
          if (step.do === 'restart') {
            run++;
            received = new Set();
          }
          const next = step.do === 'push' ? index.next(nowMs) : undefined;
          if (step.do !== 'push' || next === undefined) continue;
          received.add(next.seq);
          const acknowledged = Math.max(0, Math.max(...received) - step.lag);
          for (const { seq } of index.answered(next, `run ${run}`, acknowledged, nowMs)) {
            if (!received.has(seq) || seq > acknowledged) return false;
            gone.add(seq);
          }
        }
        return index.size + gone.size === added;
      }),
      { seed: testSeed(), numRuns: 300 },
    );
  });
});
