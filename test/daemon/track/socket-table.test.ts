import { isIP } from 'node:net';
import * as assert from 'uvu/assert';
import type { PodRef } from '#contract';
import type { CgroupPods } from '../../../daemon/track/cgroup-pods.ts';
import { ProcessTable } from '../../../daemon/track/processes.ts';
import { SocketTable } from '../../../daemon/track/socket-table.ts';
import { spec, testSeed } from '../../harness.ts';
import { hostile, seededRandom } from '../netlink/mutate.ts';
import { DIAG } from '../netlink/recorded.ts';
import type { DiagFields } from './diag-message.ts';
import { diagMessage, STATE, show } from './diag-message.ts';
import { makeFakeProc } from './fake-proc.ts';
import { LOCAL, only, PEER, tableOf } from './fed-table.ts';

const TIMER_TIME_WAIT = 3;

/** Knows control groups by their ids. */
function podsByCgroup(pods: Readonly<Record<number, PodRef>>): CgroupPods {
  return { numberOf: (id: number) => id, podAt: (id: number) => pods[id] } as unknown as CgroupPods;
}

spec('the socket table', (test) => {
  test('stops now and then while it goes over very many sockets', async () => {
    await using proc = await makeFakeProc();
    let stops = 0;
    const rows = Array.from({ length: 40_000 }, (_, at) => {
      const local = `10.0.${at >> 14}.1:${1_024 + (at & 0x3fff)}`;
      return diagMessage({ state: STATE.established, local, peer: PEER });
    });
    const table = new SocketTable({
      dump: (onSocket) => show(rows, onSocket),
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 100_000,
      ephemeralFrom: 32_768,
      between: () => stops++,
    });
    table.read(0);
    const stopsOf = (work: () => void) => {
      const before = stops;
      work();
      return stops - before;
    };
    // Twice over: once for the sockets' own, once by who listens.
    assert.is(
      stopsOf(() => table.attribute()),
      4,
    );
    assert.is(
      stopsOf(() => assert.is([...table.sockets()].length, 40_000)),
      2,
    );
    assert.is(
      stopsOf(() => assert.is([...table.held()].length, 2)),
      2,
    );
  });

  test('remembers a socket that one sweep misses, and forgets it when two do', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc);
    const row = { state: STATE.established, local: LOCAL, peer: PEER };
    sweep(1_000, row);
    assert.equal(sweep(2_000), []);
    assert.is(only(sweep(3_000, row)).sinceMs, 1_000);
    sweep(4_000);
    sweep(5_000);
    assert.is(only(sweep(6_000, row)).sinceMs, 6_000);
  });

  test('tells what it told before when a dump breaks off, and takes nothing that it missed for gone', async () => {
    await using proc = await makeFakeProc();
    const rows = Array.from({ length: 10 }, (_, index) =>
      diagMessage({
        state: STATE.closeWait,
        local: `10.0.0.1:${index + 1}`,
        peer: PEER,
        lastAckReceivedMs: 0,
      }),
    );
    let seen = 3;
    const table = new SocketTable({
      dump: (onSocket) => {
        show(rows.slice(0, seen), onSocket);
        if (seen < rows.length) throw new Error('no answer');
      },
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 1_000,
      ephemeralFrom: 32_768,
    });
    const told = () => [
      table.counts().get('CLOSE-WAIT')?.[4] ?? 0,
      [...table.sockets()].length,
      table.tracked,
    ];
    const breaksOff = (nowMs: number, after: number) => {
      seen = after;
      assert.throws(() => table.read(nowMs), /no answer/);
    };
    breaksOff(1_000, 3);
    assert.equal(told(), [0, 0, 0]);
    seen = rows.length;
    table.read(2_000);
    for (const [turn, after] of [3, 0, 7].entries()) {
      breaksOff(3_000 + turn, after);
      assert.equal(told(), [10, 10, 10]);
    }
    seen = rows.length;
    table.read(4_000);
    assert.equal(
      Array.from(table.sockets(), ({ sinceMs }) => sinceMs),
      rows.map(() => 2_000),
    );
    assert.equal([table.counters.entered['CLOSE-WAIT'], table.counters.left['CLOSE-WAIT']], [0, 0]);
    // One whole sweep misses it, and a broken one in between is no second.
    const [gone] = rows.splice(0, 1);
    seen = rows.length;
    table.read(5_000);
    breaksOff(6_000, 2);
    assert.equal(told(), [9, 9, 10]);
    rows.push(gone as Uint8Array);
    seen = rows.length;
    table.read(7_000);
    assert.ok(Array.from(table.sockets()).every(({ sinceMs }) => sinceMs === 2_000));
  });

  test('keeps the owner through FIN-WAIT-2 and TIME-WAIT, which have another cookie and no inode', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'curl', ['socket:[7]']);
    const { sweep } = tableOf(proc);
    const row = { local: LOCAL, peer: PEER };
    const live = only(sweep(1_000, { ...row, state: STATE.established, inode: 7, cookie: 1 }));
    assert.equal([live.process, live.attribution], [{ pid: 10, name: 'curl' }, 'socket']);
    proc.remove(10);
    const mini = { ...row, timer: TIMER_TIME_WAIT, expiresMs: 60_000, cookie: 2 };
    for (const [nowMs, state] of [
      [2_000, STATE.finWait2],
      [3_000, STATE.timeWait],
      [4_000, STATE.timeWait],
    ] as const) {
      const socket = only(sweep(nowMs, { ...mini, state }));
      assert.equal([socket.process?.name, socket.attribution], ['curl', 'last-owner'], `at ${nowMs}`);
    }
  });

  test('does not take a new connection on an old tuple for the old one', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'curl', ['socket:[7]']);
    const { sweep } = tableOf(proc);
    const row = { local: LOCAL, peer: PEER };
    sweep(1_000, { ...row, state: STATE.established, inode: 7, cookie: 1 });
    proc.remove(10);
    // The same state, another socket: of a process that is not known.
    const second = only(sweep(2_000, { ...row, state: STATE.established, inode: 8, cookie: 2 }));
    assert.equal([second.sinceMs, second.process, second.attribution], [2_000, null, 'unknown']);
    sweep(3_000, { ...row, state: STATE.timeWait, timer: TIMER_TIME_WAIT, expiresMs: 60_000, cookie: 3 });
    // A TIME-WAIT of a later connection that came and went between two sweeps.
    const third = only(
      sweep(50_000, { ...row, state: STATE.timeWait, timer: TIMER_TIME_WAIT, expiresMs: 59_000, cookie: 4 }),
    );
    assert.is(third.sinceMs, 49_000);
  });

  test('gives a socket without a holder to the listener of its port: the address first, then any', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'exact', ['socket:[1]']);
    proc.add(11, 'any', ['socket:[2]']);
    proc.add(12, 'dual', ['socket:[3]']);
    proc.add(13, 'six', ['socket:[4]']);
    const { sweep } = tableOf(proc);
    const waiting = (local: string): DiagFields => ({
      state: STATE.timeWait,
      local,
      peer: '10.0.0.2:50000',
      timer: 3,
    });
    const sockets = sweep(
      1_000,
      { state: STATE.listen, local: '10.0.0.1:80', inode: 1, cookie: 1 },
      { state: STATE.listen, local: '0.0.0.0:80', inode: 2, cookie: 2 },
      { state: STATE.listen, local: '[::]:81', inode: 3, cookie: 3, v6Only: false },
      { state: STATE.listen, local: '[::]:82', inode: 4, cookie: 4, v6Only: true },
      waiting('10.0.0.1:80'),
      waiting('10.0.0.9:80'),
      waiting('10.0.0.1:81'),
      { ...waiting('10.0.0.3:81'), mapped: true },
      { ...waiting('[2001:db8::1]:82'), peer: '[2001:db8::2]:50000' },
      waiting('10.0.0.1:82'),
      waiting('10.0.0.1:83'),
    );
    const owners = sockets
      .filter((socket) => socket.state === 'TIME-WAIT')
      .map(({ local, family, process, attribution, direction }) => {
        return `${local.address}:${local.port} ${family} ${process?.name ?? '-'} ${attribution} ${direction}`;
      });
    assert.equal(owners.sort(), [
      '10.0.0.1:80 4 exact listener inbound',
      '10.0.0.1:81 4 dual listener inbound',
      // An IPv6-only listener has no part in IPv4; the port is one that clients are not given.
      '10.0.0.1:82 4 - unknown inbound',
      '10.0.0.1:83 4 - unknown inbound',
      '10.0.0.3:81 4 dual listener inbound',
      '10.0.0.9:80 4 any listener inbound',
      '2001:db8::1:82 6 six listener inbound',
    ]);
  });

  test('gives a socket without a holder to the pod that listens, also when the process in it is not seen', async () => {
    await using proc = await makeFakeProc();
    let messages: readonly Uint8Array[] = [];
    const table = new SocketTable({
      dump: (onSocket) => show(messages, onSocket),
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 10,
      ephemeralFrom: 32_768,
      cgroups: podsByCgroup({ 5: { uid: 'serves' }, 6: { uid: 'asks' } }),
    });
    const told = (...rows: readonly DiagFields[]) => {
      messages = rows.map(diagMessage);
      table.sweep(1_000);
      return Array.from(
        table.sockets(),
        ({ state, process, attribution, pod, podBy }) =>
          `${state} ${process?.name} ${attribution} ${pod?.uid} ${podBy}`,
      );
    };
    const listener = { state: STATE.listen, local: '0.0.0.0:80', inode: 1, cgroupId: 5 };
    const served = { local: '10.0.0.1:80', peer: '10.0.0.2:50000' };
    const asking = { local: '10.0.0.1:50001', peer: '10.0.0.1:80' };
    assert.equal(
      told(
        listener,
        { ...served, state: STATE.timeWait, timer: TIMER_TIME_WAIT },
        { ...asking, state: STATE.established, inode: 2, cgroupId: 6 },
        // Waits to be accepted: its group is known, nobody holds it.
        { local: '10.0.0.1:80', peer: '10.0.0.3:50000', state: STATE.established, cgroupId: 5 },
      ),
      [
        'LISTEN undefined unknown serves cgroup',
        'TIME-WAIT undefined unknown serves cgroup',
        'ESTABLISHED undefined unknown asks cgroup',
        'ESTABLISHED undefined unknown serves cgroup',
      ],
    );
    // What the socket's own group told outlives the group's number in TIME-WAIT.
    assert.equal(
      told(listener, { ...asking, state: STATE.timeWait, timer: TIMER_TIME_WAIT, cookie: 9 })[1],
      'TIME-WAIT undefined unknown asks cgroup',
    );
  });

  test('holds on to the direction when the listener has gone', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc);
    const row = { state: STATE.closeWait, local: '10.0.0.1:45000', peer: '10.0.0.2:50000' };
    assert.is(sweep(1_000, { state: STATE.listen, local: '0.0.0.0:45000' }, row)[1]?.direction, 'inbound');
    assert.is(only(sweep(2_000, row)).direction, 'inbound');
  });

  test('writes v4-mapped addresses as IPv4 and counts them so', async () => {
    await using proc = await makeFakeProc();
    const { sweep, table } = tableOf(proc);
    const row = { state: STATE.established, local: LOCAL, peer: PEER };
    sweep(1_000, { ...row, mapped: true }, { ...row, local: '[::1]:1', peer: '[::1]:2' });
    assert.equal(table.counts().get('ESTABLISHED'), { 4: 1, 6: 1 });
  });

  test('counts a socket once that a dump shows twice, and listeners that share a port each', async () => {
    await using proc = await makeFakeProc();
    const { sweep, table } = tableOf(proc);
    const row = { state: STATE.established, local: LOCAL, peer: PEER };
    const listener = { state: STATE.listen, local: '0.0.0.0:80' };
    sweep(1_000, row, row, { ...listener, cookie: 1 }, { ...listener, cookie: 2 });
    assert.equal(table.counts().get('ESTABLISHED'), { 4: 1, 6: 0 });
    assert.equal(table.counts().get('LISTEN'), { 4: 2, 6: 0 });
    assert.is(table.counters.duplicates, 1);
  });

  test('counts exactly what it has no room to remember', async () => {
    await using proc = await makeFakeProc();
    const { sweep, table } = tableOf(proc, 3);
    const rows = Array.from({ length: 10 }, (_, index) => ({
      state: STATE.timeWait,
      local: `10.0.0.1:${40_000 + index}`,
      peer: PEER,
    }));
    assert.is(sweep(1_000, ...rows).length, 3);
    assert.equal(table.counts().get('TIME-WAIT'), { 4: 10, 6: 0 });
    assert.is(table.counters.untracked, 7);
  });

  test('knows the owners of sockets for years: those that nobody uses are let go', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc, 100_000);
    const owned = { state: STATE.established, local: LOCAL, peer: PEER, inode: 1 };
    proc.add(1, 'steady', ['socket:[1]']);
    for (let turn = 0; turn < 3; turn++) {
      const rows = Array.from({ length: 700 }, (_, index) => 2 + 700 * turn + index);
      for (const inode of rows) proc.add(inode, `job${inode}`, [`socket:[${inode}]`]);
      const others = rows.map((inode) => ({ ...owned, local: `10.0.${inode >> 8}.${inode & 255}:1`, inode }));
      // Whom nobody can be asked about any more must not be forgotten with those that nobody uses.
      const steady = turn === 0 ? owned : { ...owned, state: STATE.timeWait, timer: 3, inode: 0 };
      const sockets = sweep(1_000 * (turn + 1), steady, ...others);
      assert.equal(
        sockets.map(({ process, diag }) => `${process?.name} ${diag.inode}`).sort(),
        [`steady ${steady.inode}`, ...rows.map((inode) => `job${inode} ${inode}`)].sort(),
      );
      for (const inode of rows) proc.remove(inode);
    }
  });

  test('knows what was told of each socket, and since when, also when most others are gone', async () => {
    await using proc = await makeFakeProc();
    const row = (port: number, lastDataSentMs: number) =>
      diagMessage({
        state: STATE.established,
        local: `10.0.0.1:${port}`,
        peer: PEER,
        inode: port,
        lastDataSentMs,
      });
    const all = Array.from({ length: 1_000 }, (_, index) => row(40_000 + index, 1));
    const few = [row(40_500, 2), row(40_700, 3), row(40_999, 0)];
    let messages: readonly Uint8Array[] = all;
    const table = new SocketTable({
      dump: (onSocket) => show(messages, onSocket),
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 1_000,
      ephemeralFrom: 32_768,
      details: true,
    });
    const told = () =>
      Array.from(table.sockets(), ({ local, sinceMs, diag, details }) => [
        local.port,
        sinceMs,
        diag.inode,
        details?.info?.lastDataSentMs,
      ]).sort(([a = 0], [b = 0]) => a - b);
    table.sweep(1_000);
    messages = few;
    for (const nowMs of [2_000, 3_000]) table.sweep(nowMs);
    const expected = [
      [40_500, 1_000, 40_500, 2],
      [40_700, 1_000, 40_700, 3],
      [40_999, 1_000, 40_999, 0],
    ];
    assert.equal(told(), expected);
    // Others take the rows given back.
    messages = [...few, row(50_000, 1), row(50_001, 2)];
    table.sweep(4_000);
    assert.equal(told(), [...expected, [50_000, 4_000, 50_000, 1], [50_001, 4_000, 50_001, 2]]);
  });

  test('bears any message: what it takes in it can tell of, and the bound holds', async () => {
    await using proc = await makeFakeProc();
    const random = seededRandom(testSeed());
    const { sweep, table } = tableOf(proc, 200);
    for (let turn = 1; turn <= 20; turn++) {
      const rows = Array.from({ length: 1_000 }, () => hostile(Object.values(DIAG), random));
      const sockets = sweep(turn * 1_000, ...rows);
      assert.ok(sockets.length <= 200 && table.tracked <= 200);
      for (const { local, peer } of sockets) assert.ok(isIP(local.address) > 0 && isIP(peer.address) > 0);
    }
    assert.ok(table.counters.undecodable > 0 && table.counters.untracked > 0);
    sweep(100_000);
    sweep(101_000);
    sweep(102_000);
    assert.is(table.tracked, 0);
  });

  test('counts messages it does not understand, and goes on', async () => {
    await using proc = await makeFakeProc();
    const { sweep, table } = tableOf(proc);
    const row = diagMessage({ state: STATE.established, local: LOCAL, peer: PEER });
    assert.is(sweep(1_000, row.subarray(0, 40), row.with(1, 77), row).length, 1);
    assert.is(table.counters.undecodable, 2);
  });
});
