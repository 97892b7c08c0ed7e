import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { Largest } from '../../../daemon/track/largest.ts';
import { spec, testSeed } from '../../harness.ts';

spec('the largest of very many', (test) => {
  test('are those that come first when all are put in order', () => {
    const anySizes = fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 3 })));
    fc.assert(
      fc.property(anySizes, fc.integer({ min: 1, max: 8 }), (sizes, room) => {
        const largest = new Largest<readonly [number, number]>(room);
        for (const size of sizes) largest.offer(...size, () => size);
        const inOrder = sizes.toSorted((a, b) => b[0] - a[0] || b[1] - a[1]);
        assert.equal(largest.all, inOrder.slice(0, room));
      }),
      { seed: testSeed(), numRuns: 500 },
    );
  });

  test('are all that anything is made of', () => {
    const largest = new Largest<number>(3);
    let made = 0;
    for (let at = 0; at < 1_000; at++) largest.offer(1, 0, () => made++);
    assert.is(made, 3);
  });
});
