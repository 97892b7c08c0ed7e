import * as fc from 'fast-check';
import * as assert from 'uvu/assert';
import type { ProbeTarget } from '#contract';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { Schedule } from '../../../daemon/probe/schedule.ts';
import { spec, testSeed } from '../../harness.ts';

function target(name: string, intervalMs = 1000, port = 80): ProbeTarget {
  return { name, host: name, port, origin: 'user', intervalMs, limits: DEFAULT_PROBE_LIMITS };
}

function schedule(options: Partial<ConstructorParameters<typeof Schedule>[0]> = {}): Schedule {
  return new Schedule({ random: () => 0.5, concurrency: 8, spacingMs: 0, jitter: 0.1, ...options });
}

/** Runs in virtual time; each probe takes `probeMs`. Answers the starts. */
function run(subject: Schedule, untilMs: number, probeMs = 0): { atMs: number; name: string }[] {
  const starts: { atMs: number; name: string }[] = [];
  const running: { endMs: number; name: string }[] = [];
  for (let nowMs = 0; nowMs <= untilMs; ) {
    for (const ended of running.filter(({ endMs }) => endMs <= nowMs)) {
      running.splice(running.indexOf(ended), 1);
      subject.finished(ended.name);
    }
    for (let next = subject.take(nowMs); next !== undefined; next = subject.take(nowMs)) {
      starts.push({ atMs: nowMs, name: next.name });
      running.push({ endMs: nowMs + probeMs, name: next.name });
      if (probeMs === 0) subject.finished(running.pop()?.name ?? '');
    }
    const nextMs = Math.min(subject.nextDeadlineMs(), ...running.map(({ endMs }) => endMs));
    if (nextMs === Number.POSITIVE_INFINITY) break;
    nowMs = Math.max(nextMs, nowMs + 1e-9);
  }
  return starts;
}

spec('the schedule', (test) => {
  test('probes a new target at once and then at its interval', () => {
    const subject = schedule();
    subject.replace([target('a')], 0);
    assert.equal(
      run(subject, 3500).map(({ atMs }) => Math.round(atMs)),
      [0, 1000, 2000, 3000],
    );
  });

  test('shifts each turn by at most the jitter', () => {
    const draws = [0, 0.999, 0.25, 0.75];
    let n = 0;
    const subject = schedule({ random: () => draws[n++ % draws.length] ?? 0, jitter: 0.2 });
    subject.replace([target('a')], 0);
    const times = run(subject, 20_000).map(({ atMs }) => atMs);
    for (const [index, atMs] of times.entries()) {
      const gap = atMs - (times[index - 1] ?? atMs - 1000);
      assert.ok(gap >= 800 - 1e-6 && gap <= 1200 + 1e-6, `a gap of ${gap} ms`);
    }
    assert.ok(new Set(times.map((atMs) => Math.round(atMs % 1000))).size > 2, 'turns differ');
  });

  test('starts new targets one after the other, with the spacing between', () => {
    const subject = schedule({ spacingMs: 20 });
    subject.replace([target('a', 60_000), target('b', 60_000), target('c', 60_000)], 0);
    assert.equal(run(subject, 1000), [
      { atMs: 0, name: 'a' },
      { atMs: 20, name: 'b' },
      { atMs: 40, name: 'c' },
    ]);
  });

  test('never runs more at a time than allowed, and never one target twice', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 50, max: 500 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 900 }),
        (concurrency, intervals, probeMs) => {
          const subject = schedule({ concurrency, random: Math.random });
          subject.replace(
            intervals.map((intervalMs, n) => target(`t${n}`, intervalMs)),
            0,
          );
          const starts = run(subject, 3000, probeMs);
          for (const { atMs, name } of starts) {
            const active = starts.filter((each) => each.atMs <= atMs && each.atMs + probeMs > atMs + 1e-6);
            assert.ok(active.length <= concurrency);
            assert.is(active.filter((each) => each.name === name).length, 1);
          }
          const served = new Set(starts.map(({ name }) => name)).size;
          assert.ok(served === intervals.length || probeMs * intervals.length > 3000 * concurrency - probeMs);
        },
      ),
      { seed: testSeed(), numRuns: 60 },
    );
  });

  test('counts the turns that a slow probe made it skip', () => {
    const subject = schedule({ jitter: 0 });
    subject.replace([target('a', 100)], 0);
    const starts = run(subject, 2000, 350);
    assert.ok(subject.skipped >= 10, String(subject.skipped));
    assert.ok(starts.length >= 4 && starts.length <= 6);
  });

  test('a target that stays keeps its turn; a new list does not make it due', () => {
    const subject = schedule();
    subject.replace([target('a')], 0);
    subject.take(0);
    subject.finished('a');
    subject.replace([target('b'), target('a')], 300);
    assert.is(subject.take(300)?.name, 'b');
    assert.is(subject.take(300), undefined);
    assert.is(subject.take(999), undefined);
    assert.is(subject.take(1000)?.name, 'a');
  });

  test('a shorter interval brings the turn forward', () => {
    const subject = schedule();
    subject.replace([target('a', 60_000)], 0);
    subject.take(0);
    subject.finished('a');
    subject.replace([target('a', 1000)], 100);
    assert.is(subject.nextDeadlineMs(), 1100);
  });

  test('a target that now means another place is due at once', () => {
    const subject = schedule();
    subject.replace([target('a')], 0);
    subject.take(0);
    subject.finished('a');
    subject.replace([target('a', 1000, 81)], 300);
    assert.is(subject.take(300)?.port, 81);
  });

  test('a target that is gone is not probed again, and what runs of it still holds its place', () => {
    const subject = schedule({ concurrency: 1 });
    subject.replace([target('a')], 0);
    assert.is(subject.take(0)?.name, 'a');
    subject.replace([target('b')], 10);
    assert.is(subject.take(10), undefined, 'the only place is taken');
    assert.is(subject.nextDeadlineMs(), Number.POSITIVE_INFINITY);
    subject.finished('a');
    assert.is(subject.take(20)?.name, 'b');
  });

  test('a target that goes and comes back while it runs is not run twice', () => {
    const subject = schedule();
    subject.replace([target('a')], 0);
    subject.take(0);
    subject.replace([], 10);
    subject.replace([target('a')], 20);
    assert.is(subject.take(30), undefined);
    subject.finished('a');
    assert.is(subject.take(40)?.name, 'a');
  });

  test('of two targets of one name the first counts', () => {
    const subject = schedule();
    subject.replace([target('a', 1000, 1), target('a', 1000, 2)], 0);
    assert.is(subject.take(0)?.port, 1);
    assert.is(subject.take(0), undefined);
  });

  test('with nothing to do it waits for ever', () => {
    assert.is(schedule().nextDeadlineMs(), Number.POSITIVE_INFINITY);
    assert.is(schedule().take(0), undefined);
  });
});

spec('schedule: targets that are probed once', (test) => {
  const once = (run: string): ProbeTarget => ({ ...target('a'), once: run });

  test('are due at once, and never again for the same run', () => {
    const subject = schedule();
    subject.replace([once('r1')], 0);
    assert.is(subject.take(0)?.once, 'r1');
    subject.finished('a');
    assert.is(subject.nextDeadlineMs(), Number.POSITIVE_INFINITY);
    subject.replace([once('r1')], 10_000);
    assert.is(subject.take(10_000), undefined);
  });

  test('are not run again when they were taken away meanwhile and came back', () => {
    const subject = schedule();
    subject.replace([once('r1')], 0);
    subject.take(0);
    subject.finished('a');
    subject.replace([], 1000);
    subject.replace([once('r1')], 2000);
    assert.is(subject.take(2000), undefined);
  });

  test('are run again for a new run', () => {
    const subject = schedule();
    subject.replace([once('r1')], 0);
    subject.take(0);
    subject.finished('a');
    subject.replace([once('r2')], 1000);
    assert.is(subject.take(1000)?.once, 'r2');
  });
});
