import * as assert from 'uvu/assert';
import type { Holder, SocketSummary } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import type { OnDatagram } from '../../../daemon/kernel/netlink-events.ts';
import { ProcessTable } from '../../../daemon/track/processes.ts';
import { summarizeSockets } from '../../../daemon/track/socket-summary.ts';
import { SocketTable } from '../../../daemon/track/socket-table.ts';
import { spec, testSeed } from '../../harness.ts';
import { seededRandom } from '../netlink/mutate.ts';
import type { DiagFields } from './diag-message.ts';
import { diagMessage, STATE, show } from './diag-message.ts';
import { makeFakeProc } from './fake-proc.ts';

async function summaryOf(...rows: readonly DiagFields[]): Promise<SocketSummary> {
  return summaryAt(1_000_000, rows);
}

/** Of a table that was read at 1,000,000. */
async function summaryAt(nowMs: number, rows: readonly DiagFields[]): Promise<SocketSummary> {
  await using proc = await makeFakeProc();
  proc.add(10, 'nginx', ['socket:[1]', 'socket:[2]']);
  const table = new SocketTable({
    dump: (onSocket) => show(rows.map(diagMessage), onSocket),
    processes: new ProcessTable({ procRoot: proc.path }),
    maxTracked: 100_000,
    ephemeralFrom: 32_768,
  });
  table.sweep(1_000_000);
  return summarizeSockets(table, undefined, nowMs);
}

const timeWait = (local: string, peer: string, expiresMs = 60_000): DiagFields => ({
  state: STATE.timeWait,
  timer: 3,
  local,
  peer,
  expiresMs,
});

spec('the summary of the sockets', (test) => {
  test('counts each state of each family, in the order of a connection', async () => {
    const { states } = await summaryOf(
      timeWait('10.0.0.1:40000', '10.0.0.2:443'),
      { state: STATE.established, local: '[::1]:1', peer: '[::1]:2' },
      { state: STATE.listen, local: '0.0.0.0:80' },
      { state: STATE.established, local: '10.0.0.1:1', peer: '10.0.0.1:2' },
    );
    assert.equal(states, [
      { family: 4, state: 'LISTEN', count: 1 },
      { family: 4, state: 'ESTABLISHED', count: 1 },
      { family: 6, state: 'ESTABLISHED', count: 1 },
      { family: 4, state: 'TIME-WAIT', count: 1 },
    ]);
  });

  test('tells of none that it is longer in TIME-WAIT than that lasts, however long ago the table was read', async () => {
    const { holders } = await summaryAt(1_200_000, [
      timeWait('10.0.0.1:40000', '10.0.0.2:443', 20_000),
      { state: STATE.closeWait, local: '10.0.0.1:80', peer: '10.0.0.3:50002', lastAckReceivedMs: 90_000 },
    ]);
    assert.equal(Object.fromEntries(holders.map(({ state, oldestMs }) => [state, oldestMs])), {
      'TIME-WAIT': 60_000,
      'CLOSE-WAIT': 290_000,
    });
  });

  test('groups by destination outbound and by service inbound, the largest group first', async () => {
    const { holders, folded } = await summaryOf(
      { state: STATE.listen, local: '0.0.0.0:80', inode: 1 },
      timeWait('10.0.0.1:40000', '10.0.0.2:443', 50_000),
      timeWait('10.0.0.1:40001', '10.0.0.2:443', 20_000),
      timeWait('10.0.0.1:40002', '10.0.0.2:443', 30_000),
      timeWait('10.0.0.1:40003', '10.0.0.2:5432'),
      timeWait('10.0.0.1:80', '10.0.0.3:50000'),
      timeWait('10.0.0.1:80', '10.0.0.3:50001'),
      {
        state: STATE.closeWait,
        local: '10.0.0.1:80',
        peer: '10.0.0.3:50002',
        inode: 2,
        lastAckReceivedMs: 90_000,
      },
    );
    assert.equal(
      holders.map(({ state, direction, process, attribution, peer, port, count, oldestMs }) =>
        [state, direction, process?.name ?? '-', attribution, peer, port, count, oldestMs].join(' '),
      ),
      [
        'TIME-WAIT outbound - unknown 10.0.0.2 443 3 40000',
        'TIME-WAIT inbound nginx listener 10.0.0.3 80 2 0',
        'CLOSE-WAIT inbound nginx socket 10.0.0.3 80 1 90000',
        'TIME-WAIT outbound - unknown 10.0.0.2 5432 1 0',
      ],
    );
    assert.equal(folded, []);
  });

  test('has the same groups as one makes socket by socket', async () => {
    await using proc = await makeFakeProc();
    proc.add(10, 'nginx', ['socket:[1]', 'socket:[4]']);
    proc.add(11, 'curl', ['socket:[2]']);
    proc.add(12, 'wget', ['socket:[3]']);
    const random = seededRandom(testSeed());
    const below = (bound: number) => Math.floor(random() * bound);
    const rows = new Map<string, DiagFields>();
    const waiting = { state: STATE.closeWait, lastAckReceivedMs: 500 };
    for (let number = 0; number < 3_000; number++) {
      const here = [79, 80, 40_000 + below(2_000)][below(3)];
      const there = [79, 443, 50_000][below(3)];
      const v6 = below(3) === 0;
      const local = v6 ? `[2001:db8::1]:${here}` : `10.0.0.1:${here}`;
      const peer = v6 ? `[2001:db8::${below(3) + 1}]:${there}` : `10.0.0.${below(3) + 1}:${there}`;
      const closeWait = {
        ...waiting,
        local,
        peer,
        receiveQueue: below(3),
        lastDataReceivedMs: below(9_000),
        bytesSent: below(2),
      };
      const row = below(3) === 0 ? closeWait : timeWait(local, peer, below(60_000));
      rows.set(`${local} ${peer}`, !v6 && below(3) === 0 ? { ...row, mapped: true } : row);
    }
    const listener = diagMessage({ state: STATE.listen, local: '[::]:80', inode: 1 });
    // Of three processes; nginx has more connections of the same peer, which nobody saw it hold.
    const held = [
      { local: '10.0.0.1:40000', peer: '10.0.0.2:443', inode: 2 },
      { local: '10.0.0.1:40001', peer: '10.0.0.2:443', inode: 3 },
      { local: '10.0.0.1:80', peer: '10.0.0.3:50000', inode: 4 },
    ];
    for (const { local, peer } of held) rows.delete(`${local} ${peer}`);
    rows.set('listened for', timeWait('10.0.0.1:80', '10.0.0.3:60000'));
    // Some of those in CLOSE-WAIT were so before, with another queue, and have sent since.
    const before = [...rows.values()]
      .filter(({ state }) => state === STATE.closeWait && below(2) === 0)
      .map((row) => ({ ...row, receiveQueue: 1, bytesSent: 0 }));
    let messages = [...held.map((ends) => ({ ...ends, state: STATE.established })), ...before].map(
      diagMessage,
    );
    const table = new SocketTable({
      dump: (onSocket) => show(messages, onSocket),
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 100_000,
      ephemeralFrom: 32_768,
    });
    table.sweep(1_000_000);
    const left = held.map(({ local, peer }) => ({ ...timeWait(local, peer), cookie: 2 }));
    messages = [listener, ...[...left, ...rows.values()].map(diagMessage)];
    table.sweep(1_001_000);
    const expected = new Map<string, Pick<Holder, 'count' | 'oldestMs' | 'unread'>>();
    for (const socket of table.sockets()) {
      const { state, direction, process, attribution, peer, local, sinceMs, diag } = socket;
      if (state !== 'TIME-WAIT' && state !== 'CLOSE-WAIT') continue;
      const port = direction === 'inbound' ? local.port : peer.port;
      const key = `${state} ${direction} ${process?.name} ${attribution} ${peer.address} ${port}`;
      const { count = 0, oldestMs = 0, unread } = expected.get(key) ?? {};
      const { lastReceivedMs = 0 } = socket;
      const sum = {
        bytes: (unread?.bytes ?? 0) + diag.receiveQueue,
        growing: (unread?.growing ?? 0) + Number(socket.queue === 'growing'),
        shrinking: (unread?.shrinking ?? 0) + Number(socket.queue === 'shrinking'),
        seenBefore: (unread?.seenBefore ?? 0) + Number(socket.sweepsInState > 1),
        sending: (unread?.sending ?? 0) + Number(socket.sending),
        lastReceivedMs: Math.min(unread?.lastReceivedMs ?? lastReceivedMs, lastReceivedMs),
      };
      const group = { count: count + 1, oldestMs: Math.max(oldestMs, 1_001_000 - sinceMs) };
      expected.set(key, state === 'TIME-WAIT' ? group : { ...group, unread: sum });
    }
    const told = summarizeSockets(table, undefined, 1_001_000).holders.map((holder) => {
      const { state, direction, process, attribution, peer, port, count, oldestMs, unread } = holder;
      const key = `${state} ${direction} ${process?.name} ${attribution} ${peer} ${port}`;
      return [key, unread === undefined ? { count, oldestMs } : { count, oldestMs, unread }] as const;
    });
    assert.equal(Object.fromEntries(told.toSorted()), Object.fromEntries([...expected].toSorted()));
    const sums = [...expected.values()].map(({ unread }) => unread);
    for (const field of ['growing', 'shrinking', 'seenBefore', 'sending'] as const)
      assert.ok(
        sums.some((unread) => (unread?.[field] ?? 0) > 0),
        field,
      );
    for (const name of ['curl', 'wget'])
      assert.ok(expected.has(`TIME-WAIT outbound ${name} last-owner 10.0.0.2 443`));
    for (const known of ['last-owner', 'listener'])
      assert.ok(expected.has(`TIME-WAIT inbound nginx ${known} 10.0.0.3 80`));
    assert.ok(expected.size > 40 && expected.size < CONTRACT_LIMITS.holders, `${expected.size} groups`);
  });

  test('makes nothing of the groups that a report has no room for', async () => {
    await using proc = await makeFakeProc();
    const messages = Array.from({ length: 3_000 }, (_, at) =>
      diagMessage(timeWait('10.0.0.1:40000', `10.1.${at >> 8}.${at & 0xff}:443`)),
    );
    const table = new SocketTable({
      dump: (onSocket) => show(messages, onSocket),
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 100_000,
      ephemeralFrom: 32_768,
    });
    table.sweep(1_000_000);
    const held = table.held.bind(table);
    let made = 0;
    table.held = function* () {
      for (const groups of held()) {
        const socket = groups.socket.bind(groups);
        groups.socket = (group) => {
          made++;
          return socket(group);
        };
        yield groups;
      }
    };
    const { folded } = summarizeSockets(table, undefined, 1_000_000);
    const left = 3_000 - CONTRACT_LIMITS.holders;
    assert.equal(folded, [{ state: 'TIME-WAIT', groups: left, sockets: left }]);
    assert.is(made, CONTRACT_LIMITS.holders);
  });

  test('folds what is over the limits of a report, and loses no socket of it', async () => {
    const destinations = CONTRACT_LIMITS.holders + 50;
    const rows = Array.from({ length: destinations }, (_, index) =>
      timeWait('10.0.0.1:40000', `10.1.${index >> 8}.${index & 0xff}:443`),
    );
    const listeners = Array.from({ length: CONTRACT_LIMITS.listeners + 3 }, (_, index) => ({
      state: STATE.listen,
      local: `0.0.0.0:${1000 + index}`,
    }));
    const summary = await summaryOf(
      ...rows,
      timeWait('10.0.0.1:40001', '10.1.0.0:443'),
      { state: STATE.closeWait, local: '10.0.0.1:1', peer: '10.0.0.2:1' },
      ...listeners,
    );
    const kept = summary.holders.reduce((sum, { count }) => sum + count, 0);
    const foldedSockets = summary.folded.reduce((sum, { sockets }) => sum + sockets, 0);
    assert.is(summary.holders.length, CONTRACT_LIMITS.holders);
    assert.is(kept + foldedSockets, destinations + 2);
    // A single CLOSE-WAIT says more than the hundredth destination of TIME-WAIT.
    assert.is(summary.holders.filter(({ state }) => state === 'CLOSE-WAIT').length, 1);
    assert.is(summary.holders[0]?.count, 2);
    assert.is(summary.listeners.length, CONTRACT_LIMITS.listeners);
    assert.is(summary.listenersFolded, 3);
  });

  test('sums what tells a leak, a slow program and an intended half-close apart', async () => {
    await using proc = await makeFakeProc();
    let rows: readonly DiagFields[] = [];
    const table = new SocketTable({
      dump: (onSocket) => show(rows.map(diagMessage), onSocket),
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 100,
      ephemeralFrom: 32_768,
    });
    const closeWait = (port: number, fields: Partial<DiagFields>): DiagFields => ({
      state: STATE.closeWait,
      local: '10.0.0.1:80',
      peer: `10.0.0.2:${port}`,
      lastDataReceivedMs: 80_000,
      ...fields,
    });
    const leaked = closeWait(50_000, { receiveQueue: 1 });
    rows = [leaked, closeWait(50_001, { receiveQueue: 10 }), closeWait(50_002, {})];
    table.sweep(1_000_000);
    rows = [
      leaked,
      closeWait(50_001, { receiveQueue: 30 }),
      closeWait(50_002, { bytesSent: 5, lastDataReceivedMs: 70_000 }),
      closeWait(50_003, {}),
    ];
    table.sweep(1_001_000);
    const { holders } = summarizeSockets(table, [{ table, pod: { uid: 'a' } }], 1_001_000);
    const [ofPod, ofNobody] = [holders.find(({ pod }) => pod), holders.find(({ pod }) => pod === undefined)];
    assert.equal([ofPod?.podBy, ofNobody?.podBy, ofPod?.count], ['namespace', undefined, 4]);
    assert.equal(ofPod?.unread, {
      bytes: 31,
      growing: 1,
      shrinking: 0,
      seenBefore: 3,
      sending: 1,
      lastReceivedMs: 70_000,
    });
  });

  test('names the network namespace of others that no pod is known of, and keeps its groups apart', async () => {
    await using proc = await makeFakeProc();
    const table = new SocketTable({
      dump: (onSocket) => show([timeWait('10.0.0.1:40000', '10.0.0.2:443')].map(diagMessage), onSocket),
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 100,
      ephemeralFrom: 32_768,
    });
    table.sweep(0);
    const others = [
      { table, inode: 7 },
      { table, inode: 8 },
      { table, inode: 9, pod: { uid: 'a' } },
    ];
    assert.equal(
      summarizeSockets(table, others, 0).holders.map(({ netns, pod, count }) => [netns ?? pod?.uid, count]),
      [
        [undefined, 1],
        [7, 1],
        [8, 1],
        ['a', 1],
      ],
    );
  });

  test('lists the listeners with their queues', async () => {
    const { listeners } = await summaryOf({
      state: STATE.listen,
      local: '[::]:80',
      inode: 1,
      receiveQueue: 3,
      sendQueue: 128,
    });
    assert.equal(listeners, [
      {
        local: { address: '::', port: 80 },
        family: 6,
        process: { pid: 10, name: 'nginx' },
        acceptQueue: 3,
        backlog: 128,
      },
    ]);
  });
});

spec('the summary of pods', (test) => {
  test('has those with the most in TIME-WAIT and CLOSE-WAIT first, and says how many do not fit', async () => {
    await using proc = await makeFakeProc();
    const processes = new ProcessTable({ procRoot: proc.path });
    const tableOf = (...rows: readonly DiagFields[]) => {
      const dump = (onSocket: OnDatagram) => show(rows.map(diagMessage), onSocket);
      const table = new SocketTable({ dump, processes, maxTracked: 1, ephemeralFrom: 32_768 });
      table.read(0);
      return table;
    };
    const listen: DiagFields = { state: STATE.listen, local: '0.0.0.0:80' };
    const quiet = Array.from({ length: CONTRACT_LIMITS.pods }, (_, i) => ({
      table: tableOf(listen),
      pod: { uid: `quiet-${i}` },
    }));
    const busy = tableOf(
      listen,
      timeWait('10.0.0.1:40000', '10.0.0.2:443'),
      timeWait('[::1]:40001', '[::1]:443'),
      { state: STATE.closeWait, local: '10.0.0.1:40002', peer: '10.0.0.2:443' },
    );
    const others = [...quiet, { table: busy, pod: { uid: 'busy' } }, { table: tableOf(listen) }];
    const { pods = [], podsFolded, states } = summarizeSockets(tableOf(listen), others, 0);
    assert.is(pods.length, CONTRACT_LIMITS.pods);
    assert.is(podsFolded, 1);
    assert.equal(
      pods[0],
      {
        uid: 'busy',
        states: [
          { state: 'LISTEN', count: 1 },
          { state: 'CLOSE-WAIT', count: 1 },
          { state: 'TIME-WAIT', count: 2 },
        ],
      },
      'exact also beyond the sockets that are remembered',
    );
    assert.is(states.find(({ state }) => state === 'LISTEN')?.count, CONTRACT_LIMITS.pods + 3);
  });
});
