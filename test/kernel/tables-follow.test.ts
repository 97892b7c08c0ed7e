import * as assert from 'uvu/assert';
import type { Holder, TcpStateName } from '#contract';
import type { TablesSweep } from '../../daemon/threads/tables-client.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { sweepWhere } from './tables-sweeps.ts';

const SERVER = `${import.meta.dirname}/../support/tcp-server.ts`;
const WATCH = `${import.meta.dirname}/tables-watch.ts`;

/** Connects, and closes when it gets SIGUSR2; ends when the other side has closed, too. */
const CLIENT = `
  const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1', () => console.log('connected'));
  socket.resume();
  process.once('SIGUSR2', () => socket.end());
`;

/** Closes what it accepts at once, and so is the one that keeps TIME-WAIT. */
const CLOSER = `
  const server = require('node:net').createServer((socket) => socket.resume().end());
  server.listen(0, '127.0.0.1', () => console.log('listening ' + server.address().port));
`;

/** Opens and closes so many connections, the half of them from the server's side, 20 at a time. */
const CHURN = `
  const net = require('node:net');
  const server = net.createServer((socket) => (socket.remotePort % 2 ? socket.resume().end() : socket.resume()));
  server.listen(0, '127.0.0.1', () => {
    let left = Number(process.argv[1]);
    const next = () => {
      if (left-- <= 0) return;
      const socket = net.connect(server.address().port, '127.0.0.1', () => socket.end());
      socket.resume().on('close', () => (left === 0 ? console.log('churned') : next()));
    };
    for (let i = 0; i < 20; i++) next();
  });
`;

/** Leaves three half-closed connections on each of two ports: all were written to before the FIN, those of the second also after it. */
const HALF_CLOSED = `
  const net = require('node:net');
  const halfClosed = (each) =>
    new Promise((resolve) => {
      let left = 3;
      const server = net.createServer({ allowHalfOpen: true }, (socket) => {
        socket.write('before');
        socket.resume().once('end', () => {
          each(socket);
          if (--left === 0) resolve(server.address().port);
        });
      });
      server.listen(0, '127.0.0.1', () => {
        for (let i = 0; i < 3; i++) {
          const client = net.connect({ port: server.address().port, host: '127.0.0.1', allowHalfOpen: true });
          client.once('data', () => client.end()).resume();
        }
      });
    });
  Promise.all([halfClosed(() => {}), halfClosed((socket) => setInterval(() => socket.write('after'), 20))]).then(
    (ports) => console.log('ready ' + ports.join(' ')),
  );
`;

async function startServer(ns: Netns, program: readonly string[]): Promise<{ child: Child; port: number }> {
  const child = ns.start(process.execPath, program);
  const [, port] = await child.output(/listening (\d+)/);
  return { child, port: Number(port) };
}

function startClient(ns: Netns, port: number): Child {
  return ns.start(process.execPath, ['-e', CLIENT, String(port)]);
}

function countOf(sweep: TablesSweep, state: TcpStateName): number {
  return (sweep.sockets?.states ?? []).reduce(
    (sum, each) => sum + (each.state === state ? each.count : 0),
    0,
  );
}

function socketsIn(sweep: TablesSweep): number {
  return (sweep.sockets?.states ?? []).reduce((sum, { count }) => sum + count, 0);
}

function holdersIn(sweep: TablesSweep, state: Holder['state']): readonly Holder[] {
  return sweep.sockets?.holders.filter((holder) => holder.state === state) ?? [];
}

/** Waits for the end of a search for processes: it takes several sweeps where those of others have very much open. */
async function searched(watch: Child, from: TablesSweep): Promise<void> {
  let before = from;
  await sweepWhere(watch, 'a sweep without a search that is cut', (sweep) => {
    if (sweep.atMs <= before.atMs) return false;
    const ended = sweep.counters.process_searches_cut === before.counters.process_searches_cut;
    before = sweep;
    return ended;
  });
}

spec('the tables, followed over time', (test) => {
  const needs = ['netns'] as const;

  test(
    'remember whose a TIME-WAIT socket was when its process has ended',
    async () => {
      await using ns = await makeNetns('follow');
      await using watch = ns.start(process.execPath, [WATCH]);
      const { child: server, port } = await startServer(ns, [SERVER, 'close', '127.0.0.1:0']);
      await using _ = server;
      const client = startClient(ns, port);
      await client.output(/connected/);
      const seen = await sweepWhere(watch, 'both ends', (each) => countOf(each, 'ESTABLISHED') === 2);
      await searched(watch, seen);
      client.kill('SIGUSR2');
      await client.ended;
      const sweep = await sweepWhere(watch, 'TIME-WAIT', (each) => holdersIn(each, 'TIME-WAIT').length > 0);
      const [holder, ...others] = holdersIn(sweep, 'TIME-WAIT');
      assert.equal(others, []);
      assert.equal(holder, {
        state: 'TIME-WAIT',
        direction: 'outbound',
        process: { pid: client.pid, name: 'node' },
        attribution: 'last-owner',
        peer: '127.0.0.1',
        port,
        count: 1,
        oldestMs: holder?.oldestMs,
      });
      assert.equal(sweep.conditions, []);
    },
    { needs },
  );

  test(
    'give a TIME-WAIT socket that was never seen alive to who listens on its port, or to nobody',
    async () => {
      await using ns = await makeNetns('follow');
      const closer = await startServer(ns, ['-e', CLOSER]);
      await using _ = closer.child;
      const inbound = startClient(ns, closer.port);
      await inbound.ended;
      const server = await startServer(ns, [SERVER, 'close', '127.0.0.1:0']);
      await using __ = server.child;
      const outbound = startClient(ns, server.port);
      await outbound.output(/connected/);
      outbound.kill('SIGUSR2');
      await outbound.ended;
      await using watch = ns.start(process.execPath, [WATCH]);
      const sweep = await sweepWhere(watch, 'who listens', (each) =>
        holdersIn(each, 'TIME-WAIT').some(({ process }) => process !== null),
      );
      const holders = holdersIn(sweep, 'TIME-WAIT')
        .map(({ direction, process, attribution, port }) => ({
          direction,
          pid: process?.pid,
          attribution,
          port,
        }))
        .sort((a, b) => (a.direction < b.direction ? -1 : 1));
      assert.equal(holders, [
        { direction: 'inbound', pid: closer.child.pid, attribution: 'listener', port: closer.port },
        { direction: 'outbound', pid: undefined, attribution: 'unknown', port: server.port },
      ]);
    },
    { needs },
  );

  test(
    'count a CLOSE-WAIT from its FIN on, and lose it when its process is killed in the middle',
    async () => {
      await using ns = await makeNetns('follow');
      const { child: server, port } = await startServer(ns, [SERVER, 'hold', '127.0.0.1:0']);
      const clients = [startClient(ns, port), startClient(ns, port)];
      const beforeMs = Date.now();
      for (const client of clients) {
        await client.output(/connected/);
        client.kill('SIGUSR2');
      }
      await until('the half-closed connections', async () => {
        const text = await ns.run('cat', '/proc/net/tcp');
        // 08 is CLOSE_WAIT.
        return (text.match(/ 08 /g) ?? []).length === 2 ? true : undefined;
      });
      const afterMs = Date.now();
      await using watch = ns.start(process.execPath, [WATCH]);
      const first = await sweepWhere(watch, 'CLOSE-WAIT', (each) =>
        holdersIn(each, 'CLOSE-WAIT').some(({ process }) => process !== null),
      );
      const [holder] = holdersIn(first, 'CLOSE-WAIT');
      const { unread, ...of } = { ...holder, oldestMs: 0 };
      assert.equal(
        { ...of, unreadBytes: unread?.bytes },
        {
          state: 'CLOSE-WAIT',
          direction: 'inbound',
          process: { pid: server.pid, name: 'node' },
          attribution: 'socket',
          peer: '127.0.0.1',
          port,
          count: 2,
          oldestMs: 0,
          unreadBytes: 0,
        },
      );
      // The kernel tells the age: it is not counted from the first sweep on.
      const oldestMs = holder?.oldestMs ?? Number.NaN;
      const least = first.atMs - afterMs - 100;
      const most = first.atMs + first.durationMs - beforeMs + 100;
      assert.ok(oldestMs > 0 && oldestMs >= least && oldestMs <= most, `${least} ${oldestMs} ${most} ms`);
      const later = await sweepWhere(watch, 'an older one', (each) => each.atMs >= first.atMs + 500);
      const grownMs = (holdersIn(later, 'CLOSE-WAIT')[0]?.oldestMs ?? 0) - oldestMs;
      const apartMs = later.atMs - first.atMs;
      const inexactMs = 200 + first.durationMs + later.durationMs;
      assert.ok(Math.abs(grownMs - apartMs) < inexactMs, `it grew by ${grownMs} ms of ${apartMs} ms`);

      server.kill('SIGKILL');
      await server.ended;
      const after = await sweepWhere(watch, 'the end', (each) => countOf(each, 'CLOSE-WAIT') === 0);
      assert.equal(after.conditions, []);
      for (const client of clients) await client.ended;
    },
    { needs },
  );

  test(
    'tell conntrack idle from conntrack on, with its flows by state',
    async () => {
      await using ns = await makeNetns('follow');
      await using watch = ns.start(process.execPath, [WATCH]);
      const { child: server, port } = await startServer(ns, [SERVER, 'close', '127.0.0.1:0']);
      await using _ = server;
      const client = startClient(ns, port);
      await client.output(/connected/);
      const idle = await sweepWhere(watch, 'a sweep', () => true);
      const { status, count, states, own, activity } = idle.conntrack ?? {};
      assert.equal({ status, count, states, own }, { status: 'idle', count: 0, states: [], own: 0 });
      assert.is(activity?.followed, 'events');
      await ns.run('nft', 'add table inet t; add chain inet t c { type filter hook input priority 0; }');
      await ns.run('nft', `add rule inet t c ct state new ct mark set 0x66696e77`);
      const probe = startClient(ns, port);
      await probe.output(/connected/);
      const on = await sweepWhere(watch, 'flows', (sweep) => sweep.conntrack?.status === 'on');
      assert.is(on.conntrack?.own, 1);
      assert.is(on.conntrack?.states[0]?.state, 'ESTABLISHED');
      for (const each of [client, probe]) {
        each.kill('SIGUSR2');
        await each.ended;
      }
    },
    { needs: [...needs, 'nft', 'netfilter-conntrack'] },
  );

  test(
    'hold what ss sees after connections have come and gone under the sweeps',
    async () => {
      await using ns = await makeNetns('follow');
      await using watch = ns.start(process.execPath, [WATCH]);
      await using churn = ns.start(process.execPath, ['-e', CHURN, '3000']);
      await churn.output(/churned/);
      const sweep = await sweepWhere(watch, 'the last connections', (each) => {
        return countOf(each, 'TIME-WAIT') + countOf(each, 'LISTEN') === socketsIn(each);
      });
      const theirs = await ns.run('ss', '-tanH', 'state', 'time-wait');
      assert.is(countOf(sweep, 'TIME-WAIT'), theirs.trim().split('\n').length);
      assert.ok(countOf(sweep, 'TIME-WAIT') > 2_500);
      const held = holdersIn(sweep, 'TIME-WAIT').reduce((sum, { count }) => sum + count, 0);
      const folded = sweep.sockets?.folded.reduce((sum, { sockets }) => sum + sockets, 0) ?? 0;
      assert.is(held + folded, countOf(sweep, 'TIME-WAIT'));
      assert.is(sweep.counters.sockets_undecodable, 0);
      assert.is(sweep.counters.sockets_untracked, 0);
    },
    { needs: [...needs, 'ss'] },
  );

  test(
    'tell who sends after the FIN of the peer from who has only sent before it',
    async () => {
      await using ns = await makeNetns('follow');
      await using scene = ns.start(process.execPath, ['-e', HALF_CLOSED]);
      const [leaked, used] = (await scene.output(/ready (\d+) (\d+)/)).slice(1).map(Number);
      // The first sweep finds them half-closed already.
      await using watch = ns.start(process.execPath, [WATCH]);
      const sendingOn = (sweep: TablesSweep, port: number | undefined) =>
        holdersIn(sweep, 'CLOSE-WAIT').find((holder) => holder.port === port)?.unread?.sending;
      const first = await sweepWhere(watch, 'three that send', (sweep) => sendingOn(sweep, used) === 3);
      const later = await sweepWhere(watch, 'a later sweep', (sweep) => sweep.atMs > first.atMs);
      assert.equal([sendingOn(first, leaked), sendingOn(later, leaked), sendingOn(later, used)], [0, 0, 3]);
    },
    { needs },
  );
});
