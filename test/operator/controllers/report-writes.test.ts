import * as assert from 'uvu/assert';
import type { StatusCondition } from '../../../operator/api/v1alpha1/condition.ts';
import { apiTime } from '../../../operator/api/v1alpha1/condition.ts';
import { worthWriting } from '../../../operator/controllers/reports/change.ts';
import { WriteBudget } from '../../../operator/controllers/write-budget.ts';
import { spec } from '../../harness.ts';

const NOW_MS = Date.UTC(2026, 10, 21, 12);

interface Status {
  readonly observedAt: string;
  readonly count: number;
  readonly note: string;
  readonly conditions: readonly StatusCondition[];
}

function status(count: number, changes: Partial<Status> = {}): Status {
  const ok = {
    type: 'Ok',
    status: 'True' as const,
    reason: 'Fine',
    message: `${count}`,
    lastTransitionTime: '',
  };
  return { observedAt: apiTime(NOW_MS), count, note: '', conditions: [ok], ...changes };
}

function worth(before: Status | undefined, next: Status, afterMs: number): boolean {
  return worthWriting(before, next, ({ count }) => [count], NOW_MS + afterMs);
}

spec('a report is written', (test) => {
  test('when there is none', () => {
    assert.ok(worth(undefined, status(1), 0));
  });

  test('at once when a judgement changes', () => {
    const bad = { type: 'Ok', status: 'False' as const, reason: 'Bad', message: '', lastTransitionTime: '' };
    assert.ok(worth(status(1), status(1, { conditions: [bad] }), 0));
  });

  test('after ten seconds when a figure moved by more than a tenth', () => {
    assert.ok(worth(status(100), status(111), 10_000));
    assert.not.ok(worth(status(100), status(111), 9_000));
    assert.not.ok(worth(status(100), status(110), 10_000));
    assert.ok(worth(status(1), status(0), 10_000), 'none is not few');
    assert.not.ok(worth(status(1), status(3), 10_000), 'two more are no news');
  });

  test('after two minutes when anything changed at all, and never when nothing did', () => {
    assert.ok(worth(status(100), status(101), 120_000));
    assert.not.ok(worth(status(100), status(101), 119_000));
    assert.not.ok(worth(status(100), status(100), 3_600_000));
    const { conditions, ...rest } = status(100);
    assert.not.ok(worth({ conditions, ...rest }, status(100), 120_000), 'the order of fields is no news');
  });

  test('although the clock of the operator before was ahead', () => {
    assert.ok(worth(status(100), status(200), -3_600_000));
  });
});

spec('a write budget', (test) => {
  test('allows a burst, then so many a second', () => {
    const budget = new WriteBudget(2, 3);
    const taken = (atMs: number) => [1, 2, 3, 4, 5].filter(() => budget.take(atMs)).length;
    assert.is(taken(0), 3);
    assert.is(taken(400), 0);
    assert.is(taken(1000), 2);
    assert.is(taken(60_000), 3, 'no more than a burst is saved up');
  });
});
