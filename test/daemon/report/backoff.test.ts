import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { backoffMs } from '../../../daemon/report/backoff.ts';
import { spec, testSeed } from '../../harness.ts';

spec('back-off', (test) => {
  test('doubles its bound with each failure, up to the cap', () => {
    const limits = { baseMs: 500, capMs: 10_000 };
    const bounds = [1, 2, 3, 4, 5, 6, 7].map((failures) => backoffMs(failures, limits, () => 1));
    assert.equal(bounds, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  test('waits anything between floor and bound, for any number of failures', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (failures, random) => {
          const wait = backoffMs(failures, { baseMs: 5_000, capMs: 60_000, floorMs: 2_500 }, () => random);
          return wait >= 2_500 && wait <= 60_000;
        },
      ),
      { seed: testSeed() },
    );
  });

  test('spreads agents that failed equally often over the whole range', () => {
    const waits = Array.from({ length: 100 }, (_, index) =>
      backoffMs(5, { baseMs: 500, capMs: 10_000 }, () => index / 100),
    );
    assert.is(new Set(waits).size, 100);
    assert.ok(Math.max(...waits) - Math.min(...waits) > 7_000);
  });
});
