import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { makeDirectory } from '#base/make-directory.ts';
import { rejects, spec } from '../harness.ts';
import { makeTempDir } from '../support/temp-dir.ts';

spec('makeDirectory', (test) => {
  test('makes what is missing above, too, with the mode asked for', async () => {
    await using temp = await makeTempDir('mkdir');
    await makeDirectory(join(temp.path, 'a/b/c'), 0o700);
    for (const name of ['a', 'a/b', 'a/b/c']) assert.is(statSync(join(temp.path, name)).mode & 0o777, 0o700);
  });

  test('takes what is there as it is, behind a link, too', async () => {
    await using temp = await makeTempDir('mkdir');
    mkdirSync(join(temp.path, 'real'), { mode: 0o755 });
    symlinkSync('real', join(temp.path, 'link'));
    await makeDirectory(join(temp.path, 'link'), 0o700);
    assert.is(statSync(join(temp.path, 'real')).mode & 0o777, 0o755);
  });

  test('says at once that nothing can be made below /proc', async () => {
    for (const path of ['/proc/finwait', '/proc/finwait/state/tls']) {
      await rejects(makeDirectory(path, 0o700), /^ENOENT: .* mkdir '\/proc\/finwait'/);
    }
  });

  test('does not take a file for a directory, nor a link to nowhere', async () => {
    await using temp = await makeTempDir('mkdir');
    writeFileSync(join(temp.path, 'file'), '');
    symlinkSync('nowhere', join(temp.path, 'link'));
    await rejects(makeDirectory(join(temp.path, 'file'), 0o700), /^EEXIST/);
    await rejects(makeDirectory(join(temp.path, 'file/below'), 0o700), /^ENOTDIR/);
    await rejects(makeDirectory(join(temp.path, 'link/below'), 0o700), /^EEXIST/);
  });
});
