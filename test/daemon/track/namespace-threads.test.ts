import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { NamespaceThreads } from '../../../daemon/track/namespace-threads.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

async function makeProc() {
  const dir = await makeTempDir('threads');
  const add = (pid: number, ...threads: readonly number[]) => {
    for (const thread of [pid, ...threads])
      mkdirSync(join(dir.path, String(pid), 'task', String(thread)), { recursive: true });
  };
  return {
    path: dir.path,
    add,
    remove: (pid: number) => rmSync(join(dir.path, String(pid)), { recursive: true }),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

spec('the threads that may be in other network namespaces', (test) => {
  test('are all but those that have the id of their process', async () => {
    await using proc = await makeProc();
    proc.add(10);
    proc.add(20, 21, 22);
    assert.equal(new NamespaceThreads(proc.path).next([10, 20, 99]).sort(), [21, 22]);
  });

  test('are seen a share at a time, also those of one process, and all of them in turns', async () => {
    await using proc = await makeProc();
    const many = Array.from({ length: 30 }, (_, index) => 101 + index);
    proc.add(10);
    proc.add(100, ...many);
    proc.add(200, 201);
    const threads = new NamespaceThreads(proc.path, 10, 10);
    const seen = new Set<number>();
    for (let search = 0; search < 5; search++) {
      const next = threads.next([10, 100, 200]);
      assert.ok(next.length <= 10);
      for (const thread of next) seen.add(thread);
    }
    assert.equal([...seen].sort(), [...many, 201].sort());
    // The one it had come to has gone.
    threads.next([10, 100, 200]);
    proc.remove(100);
    assert.equal([...threads.next([10, 200]), ...threads.next([10, 200])].includes(201), true);
  });

  test('are many in the first search, which may be the only one', async () => {
    await using proc = await makeProc();
    proc.add(100, ...Array.from({ length: 700 }, (_, index) => 101 + index));
    const threads = new NamespaceThreads(proc.path);
    assert.is(threads.next([100]).length, 700);
    assert.is(threads.next([100]).length, 100);
  });
});
