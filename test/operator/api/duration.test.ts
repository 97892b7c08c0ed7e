import * as assert from 'uvu/assert';
import { durationOf, spanText } from '../../../operator/api/v1alpha1/duration.ts';
import { spec } from '../../harness.ts';

spec('durations in custom resources', (test) => {
  test('are read in Go notation', () => {
    assert.is(durationOf('30s'), 30_000);
    assert.is(durationOf('1h30m'), 5_400_000);
    assert.is(durationOf('1.5s'), 1500);
    assert.is(durationOf('250ms'), 250);
    assert.is(durationOf('2m5ms'), 120_005);
  });

  test('are not guessed', () => {
    for (const text of ['', '30', 's', '1d', '-1s', '1 s', '1s ', '1h30'])
      assert.is(durationOf(text), undefined, text);
  });

  test('are shown with their leading units', () => {
    const shown = [0, 119_400, 120_000, 3_599_000, 3_600_000, 5_400_000, 172_800_000, 180_000_000].map(
      spanText,
    );
    assert.equal(shown, ['0s', '119s', '2m', '59m', '1h', '1h30m', '2d', '2d2h']);
  });
});
