import { mkdirSync, readFileSync, renameSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import { openLogFile } from '../../cli/up-log.ts';
import { spec } from '../harness.ts';
import { makeTempDir } from '../support/temp-dir.ts';

spec('the log file of finwait up', (test) => {
  test('gets a line with time and program for each line they log', async () => {
    await using temp = await makeTempDir('log');
    const path = join(temp.path, 'log');
    openLogFile(path).write('agent', 'hello');
    const lines = readFileSync(path, 'utf8').split('\n');
    assert.match(lines[0] ?? '', /^\S+Z up: process \d+ starts agent and operator$/);
    assert.match(lines[1] ?? '', /^\S+Z agent: hello$/);
  });

  test('that cannot be written is told at the start', async () => {
    await using temp = await makeTempDir('log');
    for (const path of [join(temp.path, 'missing/log'), temp.path, '/dev/full']) {
      assert.throws(
        () => openLogFile(path),
        (error: unknown) =>
          error instanceof FinwaitError &&
          error.code === 'FILE_UNWRITABLE' &&
          error.message.includes(path) &&
          error.hint.includes('--log-file'),
      );
    }
  });

  test('that fails later is a condition until it can be written again, and may be moved away', async () => {
    await using temp = await makeTempDir('log');
    const path = join(temp.path, 'log');
    const log = openLogFile(path);
    assert.is(log.condition(), undefined);
    renameSync(path, `${path}.1`);
    mkdirSync(path);
    log.write('agent', 'lost');
    assert.is(log.condition()?.code, 'FILE_UNWRITABLE');
    rmdirSync(path);
    log.write('agent', 'kept');
    assert.is(log.condition(), undefined);
    assert.match(readFileSync(path, 'utf8'), /^\S+Z agent: kept\n$/);
  });

  test('is none without a name', () => {
    const log = openLogFile('');
    log.write('agent', 'nowhere');
    assert.is(log.condition(), undefined);
  });
});
