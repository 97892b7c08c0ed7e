import * as assert from 'uvu/assert';
import type { SweepCost } from '../../../daemon/threads/sweep-pace.ts';
import { SweepPace } from '../../../daemon/threads/sweep-pace.ts';
import { spec } from '../../harness.ts';

const ASKED_MS = 2_000;

/** Part of a processor that so many sweeps take, each as costly as the list says in turn. */
function partTaken(pace: SweepPace, sweeps: number, costs: readonly SweepCost[]): number {
  let wholeMs = 0;
  let cpuMs = 0;
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const cost = costs[sweep % costs.length] as SweepCost;
    wholeMs += cost.durationMs + pace.pauseAfter(cost);
    cpuMs += cost.cpuMs;
  }
  return cpuMs / wholeMs;
}

spec('the pace of the sweeps', (test) => {
  test('is that asked for while a sweep costs little, and nothing is told', () => {
    const pace = new SweepPace(ASKED_MS);
    for (let sweep = 0; sweep < 20; sweep++) {
      assert.is(pace.pauseAfter({ durationMs: 150, cpuMs: 120 }), ASKED_MS - 150);
    }
    assert.is(pace.condition(), undefined);
    assert.is(new SweepPace(300_000).pauseAfter({ durationMs: 100, cpuMs: 100 }), 299_900);
  });

  test('leaves nine tenths of a processor, and tells how old figures are', () => {
    const pace = new SweepPace(ASKED_MS);
    const part = partTaken(pace, 200, [{ durationMs: 3_000, cpuMs: 2_600 }]);
    assert.ok(part < 0.105, `${part} of a processor`);
    const condition = pace.condition();
    assert.is(condition?.code, 'SWEEPS_SLOWED');
    assert.match(condition?.message ?? '', /in about 30 s instead of 2 s.*tenth of a processor/);
    partTaken(pace, 50, [{ durationMs: 150, cpuMs: 120 }]);
    assert.is(pace.condition(), undefined, 'over once a sweep costs little again');
  });

  test('spreads a costly sweep now and then over those that follow', () => {
    const pace = new SweepPace(ASKED_MS);
    const rare = Array.from({ length: 60 }, (_, i) => {
      return i === 0 ? { durationMs: 3_500, cpuMs: 3_200 } : { durationMs: 60, cpuMs: 50 };
    });
    partTaken(pace, 60, rare);
    const afterCostlyMs = pace.pauseAfter(rare[0] as SweepCost);
    assert.ok(afterCostlyMs < 10_000, `${afterCostlyMs} ms`);
    assert.is(pace.condition(), undefined);
  });

  test('never waits longer than a minute, whatever a sweep costs', () => {
    const pace = new SweepPace(ASKED_MS);
    for (let sweep = 0; sweep < 50; sweep++) {
      assert.ok(pace.pauseAfter({ durationMs: 20_000, cpuMs: 20_000 }) <= 60_000);
    }
    assert.match(pace.condition()?.message ?? '', /once in minutes/);
  });

  test('tells a machine that leaves it no time from sweeps that cost much', () => {
    const pace = new SweepPace(ASKED_MS);
    for (let sweep = 0; sweep < 50; sweep++) pace.pauseAfter({ durationMs: 12_000, cpuMs: 600 });
    assert.match(pace.condition()?.message ?? '', /in about 15 s.*other programs/);
  });
});
