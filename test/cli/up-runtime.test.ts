import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import type { ProcessMark } from '../../cli/up-runtime.ts';
import { makeRunDirectory, markOf, noteChild, removeLeftovers, runtimeBase } from '../../cli/up-runtime.ts';
import { runFiles } from '../../cli/up-settings.ts';
import { spec } from '../harness.ts';
import { makeTempDir } from '../support/temp-dir.ts';

function ownMark(): ProcessMark {
  const mark = markOf(process.pid);
  if (mark === undefined) throw new Error('this process has no /proc entry');
  return mark;
}

/** A process that has ended, so that its number names nobody. */
const GONE: ProcessMark = { pid: 2 ** 22 + 1, startTime: '1' };

spec('the private directory of a run', (test) => {
  test('is for its owner alone, and so is the token', async () => {
    await using temp = await makeTempDir('run');
    const directory = makeRunDirectory(join(temp.path, 'base'), ownMark());
    const { tokenFile, tlsDir } = runFiles(directory);
    for (const path of [directory, tlsDir]) assert.is(statSync(path).mode & 0o777, 0o700);
    assert.is(statSync(tokenFile).mode & 0o777, 0o600);
    assert.match(readFileSync(tokenFile, 'utf8'), /^[\w-]{43}\n$/);
  });

  test('has another token each time', async () => {
    await using temp = await makeTempDir('run');
    const tokens = ['a', 'b'].map((name) =>
      readFileSync(runFiles(makeRunDirectory(join(temp.path, name), ownMark())).tokenFile, 'utf8'),
    );
    assert.is.not(tokens[0], tokens[1]);
  });

  test('that cannot be made is an error whose hint holds for that user, at once and with nothing left', async () => {
    assert.throws(
      () => makeRunDirectory('/proc/finwait/base', ownMark()),
      (error: unknown) =>
        error instanceof FinwaitError &&
        error.code === 'RUN_DIR_UNUSABLE' &&
        !error.hint.includes('XDG') === (process.getuid?.() === 0),
    );
  });

  test('that was removed meanwhile is an error with a hint when a child is noted', async () => {
    await using temp = await makeTempDir('run');
    assert.throws(
      () => noteChild(join(temp.path, 'gone'), GONE),
      (error: unknown) => error instanceof FinwaitError && error.hint.includes('start finwait up again'),
    );
  });

  test('lies where the user may write', () => {
    assert.is(runtimeBase(0, { XDG_RUNTIME_DIR: '/run/user/0' }), '/run/finwait');
    assert.is(runtimeBase(1000, { XDG_RUNTIME_DIR: '/run/user/1000' }), '/run/user/1000/finwait');
    assert.match(runtimeBase(1000, {}), /\/finwait-1000$/);
    assert.match(runtimeBase(1000, { XDG_RUNTIME_DIR: 'relative' }), /\/finwait-1000$/);
  });

  test('that a killed run left is removed, that of a living one stays', async () => {
    await using temp = await makeTempDir('run');
    const living = makeRunDirectory(temp.path, ownMark());
    const dead = makeRunDirectory(temp.path, GONE);
    // The number of this process in use by an earlier one.
    const reused = makeRunDirectory(temp.path, { ...ownMark(), startTime: '1' });
    mkdirSync(join(temp.path, 'up-notes'));
    writeFileSync(join(temp.path, 'up-1-2.txt'), '');
    assert.equal(removeLeftovers(temp.path).sort(), [dead, reused].sort());
    assert.ok(existsSync(living));
    assert.equal(
      readdirSync(temp.path).sort(),
      [living.slice(temp.path.length + 1), 'up-1-2.txt', 'up-notes'].sort(),
    );
  });

  test('names the children a killed run left, and they are ended', async () => {
    await using temp = await makeTempDir('run');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    const mark = markOf(child.pid ?? 0);
    if (mark === undefined) throw new Error('the child did not start');
    const dead = makeRunDirectory(temp.path, GONE);
    noteChild(dead, mark);
    // A number that belongs to someone else by now: must not be touched.
    noteChild(dead, { ...ownMark(), startTime: '1' });
    const ended = once(child, 'exit');
    removeLeftovers(temp.path);
    assert.equal(await ended, [null, 'SIGKILL']);
  });

  test('nothing to remove is no fault', async () => {
    await using temp = await makeTempDir('run');
    assert.equal(removeLeftovers(join(temp.path, 'never-made')), []);
  });

  test(
    'is refused where somebody else owns the place',
    async () => {
      await using temp = await makeTempDir('run');
      const base = join(temp.path, 'base');
      mkdirSync(base);

      chownSync(base, 12_345, 12_345);
      assert.throws(() => makeRunDirectory(base, ownMark()), /no private directory can be made/);
    },
    { needs: ['root'] },
  );
});

spec('a process mark', (test) => {
  test('survives a name with spaces and parentheses', async () => {
    const child = spawn(
      process.execPath,
      ['-e', "process.title = 'a) R (b'; process.send(1); setInterval(() => {}, 1000)"],
      {
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      },
    );
    await once(child, 'message');
    const mark = markOf(child.pid ?? 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.match(mark?.startTime ?? '', /^\d{3,}$/);
    assert.is(markOf(child.pid ?? 0), undefined);
  });
});
