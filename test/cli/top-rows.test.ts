import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { TopRows } from '../../cli/top-rows.ts';
import { spec, testSeed } from '../harness.ts';

interface Row {
  readonly key: number;
  readonly at: number;
}

const byKey = (rows: readonly Row[]) => [...rows].sort((a, b) => a.key - b.key);

spec('the first rows of many', (test) => {
  test('are those that come first when all are put in order, equal ones as they came', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 4_000, maxLength: 20_000 }),
        fc.integer({ min: 1, max: 40 }),
        (keys, limit) => {
          const rows = keys.map((key, at) => ({ key, at }));
          const top = new TopRows(limit, byKey);
          for (const row of rows) top.add(row);
          assert.equal(top.first(), byKey(rows).slice(0, limit));
        },
      ),
      { seed: testSeed(), numRuns: 20 },
    );
  });

  test('take no more room the more rows come', () => {
    let most = 0;
    const top = new TopRows<Row>(10, (rows) => {
      most = Math.max(most, rows.length);
      return byKey(rows);
    });
    for (let at = 0; at < 100_000; at++) top.add({ key: -at, at });
    assert.equal(
      top.first().map(({ at }) => at),
      Array.from({ length: 10 }, (_, index) => 99_999 - index),
    );
    assert.ok(most < 10_000, String(most));
  });
});
