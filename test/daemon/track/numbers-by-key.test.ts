import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { NumbersByKey } from '../../../daemon/track/numbers-by-key.ts';
import { spec, testSeed } from '../../harness.ts';

spec('numbers by key', (test) => {
  test('are those of a Map, however many there are and wherever their keys fall', () => {
    const key = fc.oneof(
      fc.nat(40),
      fc.maxSafeNat(),
      // All of them in one place of the table.
      fc.nat(1_000).map((high) => high * 2 ** 32 + 5),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(key, fc.double()), { maxLength: 3_000, size: 'max' }), (entries) => {
        const ours = new NumbersByKey();
        const theirs = new Map<number, number>();
        for (const [each, value] of entries) {
          assert.is(ours.has(each), theirs.has(each));
          ours.set(each, value);
          theirs.set(each, value);
        }
        assert.is(ours.size, theirs.size);
        for (const [each, value] of theirs) assert.is(Object.is(ours.get(each), value), true);
        for (const each of [41, 42 * 2 ** 32 + 6, Number.MAX_SAFE_INTEGER]) {
          assert.equal([ours.has(each), ours.get(each)], [theirs.has(each), theirs.get(each)]);
        }
      }),
      { seed: testSeed(), numRuns: 200 },
    );
  });
});
