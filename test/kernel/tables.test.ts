import * as assert from 'uvu/assert';
import { hostPortText } from '#base/host-port.ts';
import type { FlowRow } from '../../cli/conntrack-rows.ts';
import type { SocketRow } from '../../cli/sockets-rows.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { flowsByConntrack, socketsBySs } from './tables-oracles.ts';

const SCENE = `${import.meta.dirname}/tables-scene.ts`;

let ns: Netns;
let scene: Child;

async function rows<Row>(...args: readonly string[]): Promise<Row[]> {
  return JSON.parse(await ns.run(process.execPath, 'cli/main.ts', ...args, '--json')) as Row[];
}

function socketLine({ state, local, peer, inode, process, attribution }: SocketRow): string {
  const pid = attribution === 'socket' ? process?.pid : '-';
  return `${state} ${hostPortText(local.address, local.port)} ${hostPortText(peer.address, peer.port)} ${inode} ${pid}`;
}

function flowTuples({ source, destination, natSource, natDestination }: FlowRow): string {
  const reply = [natDestination ?? destination, natSource ?? source] as const;
  const text = (end: { address: string; port: number }) => `${end.address} ${end.port}`;
  return `${text(source)}>${text(destination)} ${text(reply[0])}>${text(reply[1])}`;
}

function countBy<T>(items: readonly T[], key: (item: T) => string): Record<string, number> {
  return Object.fromEntries(
    Object.entries(Object.groupBy(items, key))
      .map(([name, group]) => [name, group?.length ?? 0] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

spec('the tables of a namespace with every state of TCP', (test) => {
  const needs = ['netns', 'nft', 'ss', 'conntrack-tool', 'netfilter-conntrack'] as const;

  test.before(async () => {
    ns = await makeNetns('tables');
    await ns.run(
      'sysctl',
      '-qw',
      'net.netfilter.nf_conntrack_acct=1',
      'net.netfilter.nf_conntrack_timestamp=1',
    );
    scene = ns.start(process.execPath, [SCENE]);
    await scene.output(/ready/);
    // The ACKs of some FINs come with a retransmission only.
    await until('the last state', async () => {
      const waiting = await ns.run('ss', '-tanH', 'state', 'fin-wait-1');
      return waiting.trim().split('\n').length === 6 ? true : undefined;
    });
  });

  test.after(async () => {
    await scene[Symbol.asyncDispose]();
    await ns[Symbol.asyncDispose]();
  });

  test(
    'holds every state but CLOSED, for IPv4, IPv6 and v4-mapped sockets',
    async () => {
      const sockets = await rows<SocketRow>('sockets', '-s', 'all');
      const states = (family: 4 | 6) =>
        countBy(
          sockets.filter((row) => row.family === family),
          (row) => row.state,
        );
      // Two of the three ways to reach a server are IPv4; SYN-SENT, FIN-WAIT-1 and -2 occur twice in each.
      assert.equal(states(6), {
        CLOSING: 1,
        'CLOSE-WAIT': 1,
        ESTABLISHED: 3,
        'FIN-WAIT-1': 2,
        'FIN-WAIT-2': 2,
        'LAST-ACK': 1,
        // Those on `::` are listeners of IPv6, whatever they take.
        LISTEN: 16,
        'SYN-RECEIVED': 1,
        'SYN-SENT': 2,
        'TIME-WAIT': 1,
      });
      const { LISTEN: listeners, ...four } = states(4);
      assert.is(listeners, 9);
      assert.equal(four, {
        CLOSING: 2,
        'CLOSE-WAIT': 2,
        ESTABLISHED: 8,
        'FIN-WAIT-1': 4,
        'FIN-WAIT-2': 4,
        'LAST-ACK': 2,
        'SYN-RECEIVED': 2,
        'SYN-SENT': 4,
        'TIME-WAIT': 2,
      });
    },
    { needs },
  );

  test(
    'are the same sockets, states, inodes and processes that ss sees',
    async () => {
      const [mine, theirs] = [await rows<SocketRow>('sockets', '-s', 'all'), await socketsBySs(ns)];
      assert.equal(mine.map(socketLine).sort(), theirs.sort());
    },
    { needs },
  );

  test(
    'are filtered by state like ss does, whatever the spelling',
    async () => {
      for (const [spelling, filter] of [
        ['TIME_WAIT', 'time-wait'],
        ['FIN-WAIT-1,fin_wait2', 'fin-wait-1 state fin-wait-2'],
        ['estab', 'established'],
        ['SYN-RECEIVED', 'syn-recv'],
        ['connected', 'connected'],
        ['synchronized', 'synchronized'],
      ] as const) {
        const mine = await rows<SocketRow>('sockets', '--state', spelling);
        const theirs = await ns.run('ss', '-tanH', 'state', ...filter.split(' '));
        assert.is(mine.length, theirs.trim().split('\n').length, spelling);
        assert.ok(mine.length > 0, spelling);
      }
    },
    { needs },
  );

  test(
    'give the owner of a socket, and of one without an owner the process that listens on its port',
    async () => {
      const sockets = await rows<SocketRow>('sockets', '-s', 'all');
      for (const row of sockets) {
        const where = socketLine(row);
        if (row.inode !== 0) {
          assert.equal([row.process?.pid, row.attribution], [scene.pid, 'socket'], where);
          assert.is(row.process?.name, 'node', where);
        } else if (row.state === 'TIME-WAIT') {
          // At the client's end: nobody listens on that port.
          assert.equal([row.process, row.attribution], [null, 'unknown'], where);
        } else {
          assert.equal([row.process?.pid, row.attribution], [scene.pid, 'listener'], where);
        }
      }
    },
    { needs },
  );

  test(
    'tell the direction of a connection by who listens',
    async () => {
      const sockets = await rows<SocketRow>('sockets');
      const listeners = await rows<SocketRow>('sockets', '--listening');
      const ports = new Set(listeners.map((row) => row.local.port));
      for (const row of sockets) {
        assert.is(row.direction, ports.has(row.local.port) ? 'inbound' : 'outbound', socketLine(row));
      }
    },
    { needs },
  );

  test(
    'give the age in TIME-WAIT that the timer of ss leaves, and that of the last ACK where the peer led to the state',
    async () => {
      const ageBySs = async () =>
        new Map(
          (await ns.run('ss', '-tanoH', 'state', 'time-wait'))
            .trim()
            .split('\n')
            .map((line) => {
              const [, , local = ''] = line.trim().split(/\s+/);
              const left = /timewait,(?:(\d+)min)?(?:(\d+)sec)?/.exec(line);
              const leftS = 60 * Number(left?.[1] ?? 0) + Number(left?.[2] ?? 0);
              return [Number(local.split(':').at(-1)), 60 - leftS] as const;
            }),
        );
      const before = await ageBySs();
      assert.is(before.size, 3);
      const waiting = await rows<SocketRow>('sockets', '-s', 'time-wait');
      const after = await ageBySs();
      for (const { local, ageMs, ageBasis } of waiting) {
        const [leastS = Number.NaN, mostS = 60] = [before.get(local.port), after.get(local.port)];
        const ageS = (ageMs ?? Number.NaN) / 1000;
        // ss tells whole seconds.
        assert.ok(
          ageS >= leastS - 1 && ageS <= mostS + 1,
          `${ageS} s, ss says ${leastS} and then ${mostS} s`,
        );
        assert.is(ageBasis, 'time-wait-timer');
      }
      for (const state of ['established', 'fin-wait-2', 'close-wait', 'closing']) {
        const found = await rows<SocketRow>('sockets', '-s', state);
        assert.ok(found.length > 0, state);
        for (const { ageMs, ageBasis, lastAckReceivedMs } of found) {
          assert.equal([ageMs, ageBasis], [lastAckReceivedMs, 'last-ack'], state);
        }
      }
      for (const state of ['fin-wait-1', 'last-ack', 'syn-recv']) {
        for (const { ageMs } of await rows<SocketRow>('sockets', '-s', state)) assert.is(ageMs, null, state);
      }
      const syns = await rows<SocketRow>('sockets', '-s', 'syn-sent');
      assert.ok(syns.length > 0);
      for (const { lastDataReceivedMs, lastDataSentMs, lastAckReceivedMs, ageMs } of syns) {
        assert.equal(
          [lastDataReceivedMs, lastDataSentMs, lastAckReceivedMs, ageMs],
          [null, null, null, null],
        );
      }
    },
    { needs },
  );

  test(
    'are the same flows, with NAT, counters and state, that conntrack sees',
    async () => {
      // Retransmissions move counters and timeouts: what was the same before and after is compared.
      const before = await flowsByConntrack(ns);
      const mine = new Map((await rows<FlowRow>('conntrack')).map((row) => [flowTuples(row), row]));
      const after = new Map((await flowsByConntrack(ns)).map((flow) => [flow.tuples, flow]));
      assert.equal([...mine.keys()].sort(), before.map((flow) => flow.tuples).sort());
      let steady = 0;
      for (const flow of before) {
        const row = mine.get(flow.tuples);
        const later = after.get(flow.tuples);
        if (row === undefined) throw new Error(flow.tuples);
        assert.equal(
          [row.replied, row.assured, row.mark],
          [!flow.unreplied, flow.assured, flow.mark],
          flow.tuples,
        );
        assert.is.not(row.ageMs, null);
        if (later?.counters !== flow.counters) continue;
        steady++;
        assert.is(row.state, flow.state, flow.tuples);
        assert.is(
          `${row.sent?.packets},${row.received?.packets} ${row.sent?.bytes},${row.received?.bytes}`,
          flow.counters,
          flow.tuples,
        );
        const leftS = (row.timeoutMs ?? 0) / 1000;
        assert.ok(leftS <= flow.timeoutS && leftS >= later.timeoutS, `${flow.tuples}: ${leftS} s left`);
      }
      assert.ok(steady > before.length / 3, `${steady} of ${before.length}`);
    },
    { needs },
  );

  test(
    'show where NAT sends a flow',
    async () => {
      const [flow, ...others] = await rows<FlowRow>('conntrack', '--nat');
      assert.equal(others, []);
      assert.equal(flow?.destination, { address: '10.96.0.10', port: 80 });
      assert.equal(flow?.natDestination, { address: '127.0.0.1', port: 8080 });
      assert.is(flow?.natSource, null);
      assert.match(
        await ns.run(process.execPath, 'cli/main.ts', 'conntrack', '--nat'),
        /to 127\.0\.0\.1:8080/,
      );
    },
    { needs },
  );

  test(
    'tell which side of a flow sent the first FIN',
    async () => {
      const closing = (await rows<SocketRow>('sockets', '-s', 'closing')).map((row) => row.local.port);
      for (const { destination, closedFirst, state } of await rows<FlowRow>('conntrack')) {
        if (closing.includes(destination.port)) assert.is(closedFirst, 'destination');
        else if (['SYN_SENT', 'SYN_RECV', 'ESTABLISHED'].includes(state ?? 'null'))
          assert.is(closedFirst, null);
        else assert.is(closedFirst, 'source');
      }
    },
    { needs },
  );

  test(
    'say how full the table is, as the kernel counts it',
    async () => {
      const count = Number(await ns.run('cat', '/proc/sys/net/netfilter/nf_conntrack_count'));
      const text = await ns.run(process.execPath, 'cli/main.ts', 'conntrack');
      assert.match(text, new RegExp(`table: ${count} / [\\d,]+ \\(`));
    },
    { needs },
  );
});
