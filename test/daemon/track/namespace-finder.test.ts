import { linkSync, mkdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
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
    /** Mounts for process 1 as the machine's `ip netns` makes them; a file stands for each, by its inode. */
    mount: (...names: readonly string[]) => {
      const folder = join(dir.path, '1/root/run/netns');
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      const mounts = names.map((name) => {
        const path = join(folder, name);
        writeFileSync(path, '');
        return { path, inode: statSync(path).ino };
      });
      const lines = mounts.map(
        ({ inode }, at) =>
          `66 42 0:4 net:[${inode}] /run/netns/${names[at]?.replaceAll(' ', '\\040')} rw shared:2 - nsfs nsfs rw\n`,
      );
      writeFileSync(
        join(dir.path, '1/mountinfo'),
        `41 31 0:38 / /sys rw - sysfs sysfs rw\n${lines.join('')}`,
      );
      return mounts;
    },
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
    const path = (pid: number) => join(proc.procRoot, String(pid), 'ns/net');
    assert.equal(
      [...found.values()],
      [
        { inode: 7, pid: 12, path: path(12), pod: { uid: UID } },
        { inode: 8, pid: 13, path: path(13), pod: undefined },
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

  test('finds those that no process is in by their mounts on the machine, and looks after each time whether they are there', async () => {
    await using proc = await makeProc();
    proc.add(1, OWN);
    const [plain, spaced] = proc.mount('plain', 'with blanks');
    if (plain === undefined || spaced === undefined) throw new Error('two were made');
    const finder = new NamespaceFinder(proc);
    assert.equal(
      [...finder.find(0).values()],
      [
        { inode: plain.inode, pid: undefined, path: plain.path, pod: undefined },
        { inode: spaced.inode, pid: undefined, path: spaced.path, pod: undefined },
      ],
    );
    rmSync(plain.path);
    assert.equal([...finder.find(100).keys()], [spaced.inode]);
  });

  test('keeps the pod of a namespace whose processes have ended, as long as it is mounted at the same place', async () => {
    await using proc = await makeProc();
    proc.add(1, OWN);
    const [cni] = proc.mount('cni-1');
    if (cni === undefined) throw new Error('one was made');
    proc.add(20, cni.inode, IN_POD);
    const finder = new NamespaceFinder(proc);
    assert.is(finder.find(0).get(cni.inode)?.pid, 20);
    proc.remove(20);
    const left = finder.find(100).get(cni.inode);
    assert.equal([left?.pid, left?.path, left?.pod], [undefined, cni.path, { uid: UID }]);
    // Somebody looks into it from outside.
    proc.add(21, cni.inode);
    const visited = finder.find(5_200).get(cni.inode);
    assert.equal([visited?.pid, visited?.pod], [21, { uid: UID }]);
  });

  test('says that a mount may not be looked at when two searches in a row met it', async () => {
    await using proc = await makeProc();
    proc.add(1, OWN);
    const [hidden] = proc.mount('hidden');
    if (hidden === undefined) throw new Error('one was made');
    const finder = new NamespaceFinder({ procRoot: proc.procRoot, lookAt: () => 'denied' });
    finder.find(0);
    assert.is(finder.mountsDenied, false);
    finder.find(5_000);
    assert.is(finder.mountsDenied, true);
    proc.add(30, hidden.inode);
    finder.find(10_000);
    assert.is(finder.mountsDenied, false);
  });

  test('does not miss a namespace that may not be seen by one process when another one leads into it', async () => {
    await using proc = await makeProc();
    /** Each namespace has files of its own, the same ones by whatever process they are looked at. */
    const addFile = (id: number | 'thread-self', sameAs?: number | 'thread-self') => {
      const file = (of: number | 'thread-self') => join(proc.procRoot, String(of), 'net/sockstat');
      mkdirSync(join(proc.procRoot, String(id), 'net'), { recursive: true });
      if (sameAs === undefined) writeFileSync(file(id), '');
      else linkSync(file(sameAs), file(id));
    };
    addFile('thread-self');
    proc.add(10, 7);
    addFile(10);
    for (const [hidden, sameAs] of [
      [11, 10],
      [12, 'thread-self'],
    ] as const) {
      proc.add(hidden, 99);
      addFile(hidden, sameAs);
    }
    const readLink = (path: string) => {
      if (/\/1[123]\/ns/.test(path)) throw Object.assign(new Error('denied'), { code: 'EACCES' });
      return readlinkSync(path);
    };
    const finder = new NamespaceFinder({ procRoot: proc.procRoot, readLink });
    assert.equal([...finder.find(0).keys()], [7]);
    assert.is(finder.denied, false);
    proc.add(13, 99);
    addFile(13);
    finder.find(5_000);
    assert.is(finder.denied, true);
    proc.remove(13);
    finder.find(10_000);
    assert.is(finder.denied, false);
  });
});
