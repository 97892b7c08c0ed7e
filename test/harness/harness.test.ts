import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { isAlive } from '../support/processes.ts';
import type { FileOutcome } from '../support/run-file.ts';
import { runTestFile } from '../support/run-file.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/harness');

function runFixture(name: string, env: NodeJS.ProcessEnv = {}): Promise<FileOutcome> {
  return runTestFile(join(FIXTURES, `${name}.ts`), {
    env: { CI: '', FINWAIT_TEST_NO_SKIP: '', FINWAIT_TEST_NAME: '', ...env },
  });
}

/** Each way a file can be wrong, and what the runner must say of it: passed, then `title: text` of each failure. */
const TRAPS: Readonly<Record<string, readonly [passed: number, ...failures: readonly RegExp[]]>> = {
  'before-throws': [0, /^trap: one: the before hook threw: no database/, /^trap: two: the before hook threw/],
  'after-throws': [1, /^trap: after hook: the after hook threw: could not clean up/],
  'fails-and-after-throws': [0, /^trap: one: the real failure/, /^trap: after hook: .*could not clean up/],
  'throws-string': [1, /^trap: one: threw oops, which is not an Error/],
  'rejects-undefined': [0, /^trap: one: threw undefined/],
  'no-tests': [0, /^trap: definition: spec "trap" has no tests/],
  'no-spec': [0, /^whole file: no spec ran/],
  'no-harness': [0, /^whole file: no spec ran/],
  'never-settles': [1, /^trap: waits for ever: test "waits for ever" did not settle within 200 ms/],
  blocks: [0, /^trap: spins: did not settle: nothing was heard for \d+ ms; the event loop is blocked/],
  'exits-early': [0, /^trap: one: did not settle: exit code/],
  'dies-by-signal': [0, /^trap: one: did not settle: signal SIGKILL/],
  'floating-rejection': [0, /^trap: forgot to await: nobody awaited this/],
  'late-throw': [1, /^outside any test: uncaughtException: after the end/],
  'open-server': [1, /^end of file: open handles: still open after all tests: .*TCP/],
  'leaves-process': [1, /^end of file: left processes behind: \d+ sleep 300/],
  'leaves-file': [1, /^end of file: left temporary files behind: forgotten-/],
  'two-of-a-name': [0, /^trap: definition: .*two tests named "one"/],
  'async-definition': [
    0,
    /^trap: definition: .*asynchronously/,
    /^outside any test: .*"one" is defined after/,
  ],
  'syntax-error': [0, /^whole file: no spec ran: exit code 1/],
};

spec('harness', (test) => {
  for (const [name, [passed, ...failures]] of Object.entries(TRAPS)) {
    test(`a file that ${name.replaceAll('-', ' ')} fails and says where`, async () => {
      const outcome = await runFixture(name);
      const said = outcome.failures.map(({ title, text }) => `${title}: ${text}`);
      for (const [index, pattern] of failures.entries()) assert.match(said[index] ?? 'nothing', pattern);
      assert.is(said.length, failures.length, said.join('\n'));
      if (name !== 'two-of-a-name') assert.is(outcome.passed, passed);
    });
  }

  test('a leftover process is ended as well as reported', async () => {
    const outcome = await runFixture('leaves-process');
    const pid = /(\d+) sleep/.exec(outcome.failures[0]?.text ?? '')?.[1];
    const deadlineMs = Date.now() + 20_000;
    while (isAlive(Number(pid))) {
      assert.ok(Date.now() < deadlineMs, `process ${pid} still runs`);
      await sleep(10);
    }
  });

  test('a failure shows file and line', async () => {
    const { output } = await runFixture('throws-string');
    assert.match(output, 'threw oops');
    const { output: withFrame } = await runFixture('fails-and-after-throws');
    assert.match(withFrame, /fails-and-after-throws\.ts:8:11/);
  });

  test('a failure tells the runner what was expected, what was there, and where', async () => {
    const { failures } = await runFixture('differs');
    const [message, ...rest] = (failures[0]?.text ?? '').split('\n');
    assert.match(message ?? '', 'Expected values to be strictly equal');
    assert.match(rest.join('\n'), /\+\+.*expected.*\n.*--.*actual.*\n[\s\S]*differs\.ts:6:12/);
  });

  test('a good file of two specs passes', async () => {
    const { passed, failures } = await runFixture('two-specs');
    assert.equal([passed, failures], [2, []]);
  });

  test('a name filter leaves the other tests out and says how many', async () => {
    const { passed, filtered, failures } = await runFixture('two-specs', { FINWAIT_TEST_NAME: 'second two' });
    assert.equal([passed, filtered, failures], [1, 1, []]);
  });

  test('an unmet need is a skip with its reason and the way to get it', async () => {
    const { passed, skipped, failures } = await runFixture('unmet-need', { PATH: '/nowhere' });
    assert.equal([passed, failures], [1, []]);
    assert.equal(skipped, [
      {
        title: 'trap: one',
        why: 'needs setpriv: there is no program setpriv (apt-get install util-linux)',
      },
    ]);
  });

  for (const variable of [{ CI: 'true' }, { FINWAIT_TEST_NO_SKIP: '1' }]) {
    test(`an unmet need is a failure with ${Object.keys(variable)}`, async () => {
      const outcome = await runFixture('unmet-need', { PATH: '/nowhere', ...variable });
      assert.match(outcome.failures[0]?.text ?? '', /^skipping is not allowed here: needs setpriv/);
      assert.equal([outcome.passed, outcome.skipped.length], [1, 0]);
    });
  }

  test('a failing file prints the seed it drew from, and the seed repeats the draw', async () => {
    const first = await runFixture('draws');
    const seed = /FINWAIT_TEST_SEED=(\d+)/.exec(first.output)?.[1];
    assert.match(first.failures[0]?.text ?? '', `drew ${seed}`);
    const second = await runFixture('draws', { FINWAIT_TEST_SEED: '4711' });
    assert.match(second.failures[0]?.text ?? '', 'drew 4711');
  });

  test('rejects() fails when the promise is not rejected as expected', async () => {
    const { passed, failures } = await runFixture('rejects-helper');
    assert.is(passed, 1);
    assert.equal(
      failures.map(({ title }) => title),
      ['trap: fails without one', 'trap: fails with another'],
    );
  });

  test('files that share the machine take turns even when run at once', async () => {
    await using dir = await makeTempDir('turns');
    const log = join(dir.path, 'log');
    const outcomes = await Promise.all(
      [1, 2, 3].map(() => runFixture('exclusive', { FINWAIT_FIXTURE_LOG: log })),
    );
    assert.equal(
      outcomes.flatMap(({ failures }) => failures),
      [],
    );
    assert.is(readFileSync(log, 'utf8'), 'in\nout\n'.repeat(3));
  });
});
