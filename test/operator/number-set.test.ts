import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { NumberSet } from '../../operator/fleet/number-set.ts';
import { spec, testSeed } from '../harness.ts';

spec('a set of numbers that mostly come in order', (test) => {
  test('holds what was added, whatever the order, and counts the gaps', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 })), (numbers) => {
        const set = new NumberSet(1000);
        for (const number of numbers) set.add(number);
        const model = new Set(numbers);
        for (let number = 0; number <= 61; number++) assert.is(set.has(number), model.has(number));
        const [low, high] = [Math.min(...model), Math.max(...model)];
        assert.is(set.highest, model.size === 0 ? 0 : high);
        assert.is(set.missing, model.size === 0 ? 0 : high - low + 1 - model.size);
      }),
      { seed: testSeed(), numRuns: 1000 },
    );
  });

  test('stays within its bound: the oldest gaps are given up, the newest stay', () => {
    const set = new NumberSet(3);
    for (const number of [1, 3, 5, 7]) set.add(number);
    assert.ok(set.has(2), 'the oldest gap counts as held');
    assert.not.ok(set.has(4));
    assert.not.ok(set.has(6));
    assert.is(set.missing, 2);
  });

  test('is not slow for a million numbers in order', () => {
    const set = new NumberSet(10);
    for (let number = 1; number <= 1_000_000; number++) set.add(number);
    assert.is(set.highest, 1_000_000);
    assert.is(set.missing, 0);
  });
});
