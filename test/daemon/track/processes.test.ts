import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { ProcessTable } from '../../../daemon/track/processes.ts';
import { spec } from '../../harness.ts';
import { makeFakeProc } from './fake-proc.ts';

const inodes = (...list: readonly number[]) => new Set(list);

spec('the owners of sockets', (test) => {
  test('are found by inode among the descriptors of all processes', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'nginx', ['/dev/null', 'socket:[7]', 'pipe:[8]']);
    proc.add(11, 'a (b) c', ['socket:[9]']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7, 8, 9));
    assert.equal(table.ownerOf(7), { pid: 10, name: 'nginx' });
    assert.equal(table.ownerOf(9), { pid: 11, name: 'a (b) c' });
    assert.is(table.ownerOf(8), undefined);
  });

  test('are looked for with a stop after each process, in the search and when they are looked at again', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'nginx', ['socket:[7]']);
    proc.add(11, 'redis', ['socket:[8]']);
    let stops = 0;
    const table = new ProcessTable({ procRoot: proc.path, between: () => stops++ });
    table.update(inodes(7, 8));
    const searched = stops;
    assert.ok(searched >= 2);
    table.update(inodes(7, 8));
    assert.is(stops, searched + 2);
  });

  test('of a socket that several share is the one with the lowest process id', async () => {
    await using proc = await makeFakeProc();
    proc.add(30, 'worker', ['socket:[7]']);
    proc.add(20, 'master', ['socket:[7]']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7));
    assert.is(table.ownerOf(7)?.name, 'master');
  });

  test('go by the name of the program, which Node gives to its main thread', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'node-MainThread', ['socket:[7]']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7));
    assert.is(table.ownerOf(7)?.name, 'node');
  });

  test('are not looked for again while no new socket appears', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'nginx', ['socket:[7]', 'socket:[8]']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7, 8));
    const read = table.counters.descriptorsRead;
    table.update(inodes(7, 8));
    table.update(inodes(8));
    assert.is(table.counters.descriptorsRead, read);
    assert.is(table.ownerOf(7), undefined);
    assert.is(table.ownerOf(8)?.pid, 10);
  });

  test('are forgotten when they end, also when another process gets their number', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'old', ['socket:[7]'], 100);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7));
    proc.remove(10);
    table.update(inodes(7));
    assert.is(table.ownerOf(7), undefined);
    proc.add(10, 'new', ['socket:[7]'], 200);
    table.update(inodes(7));
    assert.is(table.ownerOf(7)?.name, 'new');
    proc.remove(10);
    proc.add(10, 'newer', ['/dev/null'], 300);
    table.update(inodes(7));
    assert.is(table.ownerOf(7), undefined);
  });

  test('are looked for anew when a process hands its sockets to another one and goes on without them', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'old', ['socket:[7]', 'socket:[8]']);
    proc.add(11, 'new', ['/dev/null']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7, 8));
    assert.is(table.ownerOf(7)?.name, 'old');
    proc.remove(10);
    proc.add(10, 'old', ['/dev/null', 'socket:[8]']);
    proc.remove(11);
    proc.add(11, 'new', ['/dev/null', 'socket:[7]']);
    table.update(inodes(7, 8));
    assert.equal([table.ownerOf(7)?.name, table.ownerOf(8)?.name], ['new', 'old']);
    assert.is(table.counters.handedOver, 1);
    // Nobody has it: it is on its way.
    proc.remove(11);
    proc.add(11, 'new', ['/dev/null']);
    table.update(inodes(7, 8));
    assert.is(table.ownerOf(7), undefined);
  });

  test('are looked at again a share at a time, those first that are to be', async () => {
    await using proc = await makeFakeProc();
    const all = Array.from({ length: 2_000 }, (_, index) => 1_000 + index);
    const links = all.map((inode) => `socket:[${inode}]`);
    proc.add(10, 'old', links);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(new Set(all));
    proc.remove(10);
    proc.add(10, 'old', []);
    proc.add(11, 'new', links);
    const first = all.slice(-300);
    const handed = () => table.counters.handedOver;
    table.update(new Set(all), first);
    assert.is(handed(), 250 + 250);
    for (const inode of first.slice(0, 250)) assert.is(table.ownerOf(inode)?.name, 'new');
    table.update(new Set(all), first);
    assert.is(handed(), 500 + 50 + 250);
    for (const inode of first) assert.is(table.ownerOf(inode)?.name, 'new');
    for (let sweep = 0; sweep < 5; sweep++) table.update(new Set(all), first);
    assert.is(handed(), 2_000);
    for (const inode of all) assert.is(table.ownerOf(inode)?.name, 'new');
  });

  test('are found by their other threads when the main thread has ended, and it has no descriptors', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'main', ['socket:[7]']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7));
    rmSync(join(proc.path, '10/fd'), { recursive: true });
    mkdirSync(join(proc.path, '10/fd'));
    for (const [thread, links] of [
      [10, []],
      [12, ['socket:[7]', 'socket:[8]']],
    ] as const) {
      const folder = join(proc.path, '10/task', String(thread), 'fd');
      mkdirSync(folder, { recursive: true });
      for (const [fd, link] of links.entries()) symlinkSync(link, join(folder, String(fd)));
    }
    table.update(inodes(7, 8));
    assert.equal(
      [table.ownerOf(7), table.ownerOf(8)],
      [
        { pid: 10, name: 'main' },
        { pid: 10, name: 'main' },
      ],
    );
    const read = table.counters.descriptorsRead;
    table.update(inodes(7, 8));
    assert.is(table.counters.descriptorsRead, read);
  });

  test('change their name when they exec', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'sh', ['socket:[7]']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7));
    rmSync(join(proc.path, '10'), { recursive: true });
    proc.add(10, 'sleep', ['socket:[7]']);
    table.update(inodes(7));
    assert.is(table.ownerOf(7)?.name, 'sleep');
  });

  test('are looked for ever more seldom while nobody holds a socket', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'other', ['/dev/null']);
    const table = new ProcessTable({ procRoot: proc.path });
    const searchedAt: number[] = [];
    for (let sweep = 1; sweep <= 40; sweep++) {
      const before = table.counters.descriptorsRead;
      table.update(inodes(7));
      if (table.counters.descriptorsRead > before) searchedAt.push(sweep);
    }
    assert.equal(searchedAt, [1, 2, 4, 8, 16, 32]);
  });

  test('are searched up to a bound, and the search goes on where it was cut', async () => {
    await using proc = await makeFakeProc();
    // The first process alone is over the bound: it must not be all that is ever looked at.
    proc.add(
      10,
      'big',
      Array.from({ length: 50 }, (_, index) => `socket:[${1000 + index}]`),
    );
    for (let pid = 11; pid < 20; pid++) proc.add(pid, `p${pid}`, ['/dev/null', `socket:[${pid}]`]);
    const table = new ProcessTable({ procRoot: proc.path, maxDescriptors: 8 });
    const wanted = inodes(1000, 11, 12, 13, 14, 15, 16, 17, 18, 19);
    table.update(wanted);
    assert.is(table.counters.searchesCut, 1);
    assert.is(table.ownerOf(1000)?.pid, 10);
    assert.is(table.ownerOf(19), undefined);
    for (let sweep = 0; sweep < 4; sweep++) table.update(wanted);
    for (const inode of wanted) assert.is(table.ownerOf(inode)?.pid, inode === 1000 ? 10 : inode);
  });

  test('are found at once beside a process that has more descriptors than a search may look at', async () => {
    await using proc = await makeFakeProc();
    const links = Array.from({ length: 500 }, (_, index) => `socket:[${1000 + index}]`);
    proc.add(10, 'big', links);
    for (let pid = 11; pid < 20; pid++) proc.add(pid, `p${pid}`, ['/dev/null', `socket:[${pid}]`]);
    const table = new ProcessTable({ procRoot: proc.path, maxDescriptors: 80 });
    const all = inodes(...links.keys().map((index) => 1000 + index), 11, 19);
    table.update(all);
    assert.equal([table.ownerOf(11)?.pid, table.ownerOf(19)?.pid], [11, 19]);
    assert.ok(table.counters.descriptorsRead < 80 + 10);
    // The rest of the bound was the big one's, and each search goes on in it where the last was cut.
    const isFound = (inode: number) => table.ownerOf(inode) !== undefined;
    let searches = 1;
    for (; ![...all].every(isFound) && searches < 20; searches++) table.update(all);
    assert.ok(searches < 12, `${searches} searches`);
  });

  test('are looked for ever more seldom also where there are more descriptors than a search may look at', async () => {
    await using proc = await makeFakeProc();
    proc.add(
      10,
      'big',
      Array.from({ length: 200 }, () => '/dev/null'),
    );
    const table = new ProcessTable({ procRoot: proc.path, maxDescriptors: 80 });
    const searchesIn = (sweeps: number) => {
      const before = table.counters.searchesCut;
      for (let sweep = 0; sweep < sweeps; sweep++) table.update(inodes(7));
      return table.counters.searchesCut - before;
    };
    assert.is(searchesIn(16), 16);
    assert.ok(searchesIn(64) <= 7);
    assert.ok(searchesIn(640) <= 11);
    proc.add(11, 'late', ['socket:[7]']);
    searchesIn(64);
    assert.is(table.ownerOf(7)?.pid, 11);
  });

  test('may be hidden from here: a condition says so, once a socket is concerned', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'mine', ['socket:[7]']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7));
    assert.is(table.condition(), undefined);
    // In the PID namespace of the machine a socket without a holder is the kernel's own.
    table.update(inodes(7, 8));
    assert.is(table.condition(), undefined);
    rmSync(join(proc.path, 'self/ns/pid'));
    symlinkSync('pid:[4026532000]', join(proc.path, 'self/ns/pid'));
    assert.is(table.condition()?.code, 'PROCESS_NAMES_PARTIAL');
    assert.match(table.condition()?.message ?? '', /hold some sockets are not known/);
    assert.match(table.condition()?.hint ?? '', /hostPID/);
    table.update(inodes(7));
    assert.is(table.condition(), undefined);
  });

  test('may be hidden by how proc is mounted, which shows not even the first process then', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'mine', ['socket:[7]']);
    proc.remove(1);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7));
    assert.is(table.condition(), undefined);
    table.update(inodes(7, 8));
    assert.is(table.condition()?.code, 'PROCESS_NAMES_PARTIAL');
    assert.match(table.condition()?.message ?? '', /hidepid/);
  });

  test('survive a process directory that is half gone', async () => {
    await using proc = await makeFakeProc();
    mkdirSync(join(proc.path, '9/fd'), { recursive: true });
    symlinkSync('socket:[7]', join(proc.path, '9/fd/0'));
    writeFileSync(join(proc.path, '8'), 'not a directory');
    rmSync(join(proc.path, '8'));
    proc.add(10, 'whole', ['socket:[7]']);
    const table = new ProcessTable({ procRoot: proc.path });
    table.update(inodes(7));
    table.update(inodes(7));
    assert.is(table.ownerOf(7)?.name, 'whole');
  });
});
