import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { BENCHES } from '../../bench/benches.ts';
import { type Figure, lineOf, reaches } from '../../bench/figures.ts';
import { spec } from '../harness.ts';
import { runProgram, startProgram } from '../support/child.ts';
import { isAlive } from '../support/processes.ts';

const BENCH = 'bench/main.ts';

spec('benchmarks', (test) => {
  for (const name of Object.keys(BENCHES)) {
    test(
      `${name} runs, and each of its figures is a number`,
      async () => {
        const args = [BENCH, name, '--size', 'tiny', '--json'];
        const { code, stdout, stderr } = await runProgram(process.execPath, args, { timeoutMs: 170_000 });
        assert.is(code, 0, stderr);
        const { figures, machine } = JSON.parse(stdout);
        assert.match(machine, /cores of .* Linux .* Node v/);
        assert.ok(figures.length > 0);
        for (const { what, ours, unit, other } of figures as Figure[]) {
          // Of a share nothing may be left: a machine that is slow or busy does nothing in time.
          assert.ok(ours > 0 || (unit === '%' && ours === 0), `${what}: ${ours}`);
          if (other !== undefined) assert.ok(other.value > 0, `${other.name}: ${other.value}`);
        }
      },
      { timeoutMs: 180_000, needs: ['root', 'tun', 'netns', 'gcc'] },
    );
  }

  test(
    'one that is killed leaves no process behind',
    async () => {
      await using bench = startProgram(process.execPath, [BENCH, 'half-open', '--size', 'tiny']);
      let working: number[] = [];
      // unshare, the benchmark, its server, the engine.
      while (working.length < 4) {
        await sleep(20);
        working = descendants(bench.pid);
      }
      bench.kill('SIGKILL');
      await bench.ended;
      while (working.some(isAlive)) await sleep(20);
    },
    { needs: ['root', 'tun', 'netns', 'gcc'] },
  );

  test('a name that is none is answered with those there are', async () => {
    const { code, stderr } = await runProgram(process.execPath, [BENCH, 'nonsense']);
    assert.is(code, 2);
    assert.match(stderr, 'there is no benchmark nonsense');
    for (const name of Object.keys(BENCHES)) assert.match(stderr, name);
    const odd = await runProgram(process.execPath, [BENCH, '--fast']);
    assert.is(odd.code, 2);
    assert.match(odd.stderr, /^Unknown option '--fast'/);
  });

  test('a goal is held by the ratio, or by the figure when there is nothing beside it', () => {
    const figure = { what: 'probes', ours: 90, unit: 'probes/s', other: { name: 'other', value: 100 } };
    assert.is(reaches({ ...figure, goal: { least: 0.9 } }), true);
    assert.is(reaches({ ...figure, goal: { least: 1 } }), false);
    assert.is(reaches({ what: 'bytes', ours: 90, unit: 'bytes', goal: { most: 80 } }), false);
    assert.is(
      lineOf({ ...figure, goal: { least: 1 } }),
      '  probes: 90.0 probes/s | other 100 | ratio 0.90 | goal >= 1 MISSED',
    );
  });
});

/** All that a process has started, and what those have. proc_pid_children(5) */
function descendants(pid: number): number[] {
  let children = '';
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  } catch {
    // It has ended.
  }
  const pids = children.split(' ').filter(Boolean).map(Number);
  return [...pids, ...pids.flatMap(descendants)];
}
