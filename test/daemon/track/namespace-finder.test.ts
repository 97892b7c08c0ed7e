import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { NamespaceFinder } from '../../../daemon/track/namespace-finder.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const UID = '7d7a3b8e-0f3c-4d4a-9c62-3f1f6f9a2b11';
const IN_POD = `0::/kubepods/pod${UID}/${'ab'.repeat(32)}\n`;
const OWN = 1;

/** A directory that looks like /proc as far as namespaces are looked for in it. */
async function makeProc() {
  const dir = await makeTempDir('namespaces');
  const add = (pid: number | string, inode: number, cgroup = '0::/\n') => {
    const folder = join(dir.path, String(pid));
    mkdirSync(join(folder, 'ns'), { recursive: true });
    symlinkSync(`net:[${inode}]`, join(folder, 'ns/net'));
    writeFileSync(join(folder, 'cgroup'), cgroup);
  };
  add('thread-self', OWN);
  return {
    procRoot: dir.path,
    add,
    remove: (pid: number) => rmSync(join(dir.path, String(pid)), { recursive: true }),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

spec('the search for network namespaces', (test) => {
  test('finds each once, not the own one, and the pod by any of its processes', async () => {
    await using proc = await makeProc();
    proc.add(10, OWN, IN_POD);
    proc.add(11, 7);
    proc.add(12, 7, IN_POD);
    proc.add(13, 8);
    const found = new NamespaceFinder(proc).find(0);
    assert.equal(
      [...found.values()],
      [
        { inode: 7, pid: 12, pod: { uid: UID } },
        { inode: 8, pid: 13, pod: undefined },
      ],
    );
  });

  test('notices new ones after a while, and at once that the process it knew has gone', async () => {
    await using proc = await makeProc();
    proc.add(11, 7);
    proc.add(12, 7);
    const finder = new NamespaceFinder(proc);
    assert.is(finder.find(0).get(7)?.pid, 11);
    proc.add(13, 8);
    assert.is(finder.find(1_000).has(8), false);
    assert.is(finder.find(5_000).get(8)?.pid, 13);
    proc.remove(11);
    assert.is(finder.find(5_200).get(7)?.pid, 12, 'another process is in it');
    proc.remove(12);
    assert.equal([...finder.find(5_400).keys()], [8]);
  });

  test('does not take another namespace for the one it knew when the process id is another process', async () => {
    await using proc = await makeProc();
    proc.add(11, 7);
    const finder = new NamespaceFinder(proc);
    finder.find(0);
    proc.remove(11);
    proc.add(11, 9);
    assert.equal([...finder.find(100).keys()], [9]);
  });

  test('is bounded, and says so', async () => {
    await using proc = await makeProc();
    for (let i = 0; i < 5; i++) proc.add(10 + i, 100 + i);
    const finder = new NamespaceFinder({ procRoot: proc.procRoot, max: 3 });
    assert.is(finder.find(0).size, 3);
    assert.ok(finder.full);
    for (let i = 0; i < 2; i++) proc.remove(10 + i);
    assert.is(finder.find(100).size, 3);
    assert.not.ok(finder.full);
  });
});
