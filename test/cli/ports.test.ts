import { statSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { Divergence, DivergentState } from '#contract';
import { compared } from '../../cli/compare.ts';
import { UseTrends } from '../../cli/ports-trends.ts';
import type { PortRow } from '../../cli/ports-view.ts';
import { portColumns } from '../../cli/ports-view.ts';
import { printTable } from '../../cli/table.ts';
import type { PortUse } from '../../daemon/track/port-pressure.ts';
import { spec } from '../harness.ts';
import { startPod } from '../kernel/pods.ts';
import { runFinwait, startFinwait } from '../support/child.ts';
import { makeNetns } from '../support/netns.ts';
import { caughtIo } from './tables-fixture.ts';

const NEEDS = {
  needs: [
    'root' as const,
    'netns' as const,
    'nft' as const,
    'netfilter-conntrack' as const,
    'conntrack-tool' as const,
  ],
  timeoutMs: 120_000,
};

const UNPRIVILEGED = [
  'setpriv',
  '--bounding-set=-all',
  '--inh-caps=-all',
  '--reuid=65534',
  '--clear-groups',
  '--',
];

/** Listens on the port given and connects to it so many times. */
const PAIRS = `
  const net = require('node:net');
  const [port, count] = process.argv.slice(1).map(Number);
  let open = 0;
  const server = net.createServer((socket) => socket.resume()).listen(port, '127.0.0.1', () => {
    for (let i = 0; i < count; i++) net.connect(port, '127.0.0.1', () => { if (++open === count) console.log('open'); });
  });
`;

spec('finwait ports', (test) => {
  test(
    'lists the ports in use by destination, and filters them',
    async () => {
      await using ns = await makeNetns('ports-cli');
      await ns.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=40000 40009');
      await using pairs = ns.start(process.execPath, ['-e', PAIRS, '7000', '9']);
      await pairs.output(/open/);
      await using more = ns.start(process.execPath, ['-e', PAIRS, '7001', '1']);
      await more.output(/open/);
      const ended = async (...args: string[]) => {
        const child = ns.finwait(args);
        const { code } = await child.ended;
        assert.is(code, 0, child.stderr);
        return child.stdout;
      };
      assert.equal(
        (await ended('ports')).split('\n').map((line) =>
          line
            .trim()
            .split(/\s{2,}/)
            .slice(0, 5),
        ),
        [
          ['USED', 'PORTS', 'USABLE', 'SOURCE', 'DESTINATION'],
          ['90.0 %', '9', '10', '127.0.0.1', '127.0.0.1:7000'],
          ['10.0 %', '1', '10', '127.0.0.1', '127.0.0.1:7001'],
          ['2 destinations; ports 40000 to 40009: 10; tcp_tw_reuse 2'],
          [''],
        ],
      );
      const [use, ...others] = JSON.parse(await ended('ports', '--port', '7001', '--json')) as PortUse[];
      assert.equal([use?.used, use?.usable, others.length], [1, 10, 0]);
      const unused = /^no flow has source NAT; no rule of this network namespace seems to use conntrack$/m;
      assert.match(await ended('ports', '--nat'), unused);
    },
    NEEDS,
  );
});

const USE: PortUse & { readonly netns: number } = {
  ...{ source: '10.0.0.1', destination: { address: '10.0.0.2', port: 443 }, netns: 7 },
  ...{ used: 10, usable: 100, timeWait: 0, reusable: 0, bound: 0 },
};

spec('finwait ports --watch', (test) => {
  test('tells how fast ports come into use and when none is left, each namespace for itself', () => {
    const trends = new UseTrends();
    const at = (nowMs: number, ...used: readonly number[]): PortRow[] => {
      const uses = used.map((each, index) => ({ ...USE, used: each, netns: index }));
      return trends
        .followed(uses, ({ source }) => source, nowMs)
        .map((use) => ({ ...use, pod: null, podName: null }));
    };
    const figures = (rows: readonly PortRow[]) =>
      rows.map(({ perMinute, exhaustedInMs }) => [perMinute, exhaustedInMs]);
    assert.equal(figures(at(0, 10, 30, 100, 5)), [
      [null, null],
      [null, null],
      [null, 0],
      [null, null],
    ]);
    const later = at(20_000, 20, 20, 100, 5);
    assert.equal(figures(later), [
      [30, 160_000],
      [-30, null],
      [0, 0],
      [0, null],
    ]);
    const io = caughtIo();
    printTable(
      io,
      { columns: portColumns(false, true), rows: later, footer: [] },
      { output: 'table', noHeader: false },
    );
    assert.equal(
      io.lines().map((line) =>
        line
          .trim()
          .split(/\s{2,}/)
          .slice(0, 5),
      ),
      [
        ['USED', 'PORTS', 'USABLE', 'PER-MIN', 'FULL-IN'],
        ['20.0 %', '20', '100', '+30', '2m40s'],
        ['20.0 %', '20', '100', '-30', '-'],
        ['100 %', '100', '100', '0', 'now'],
        ['5.0 %', '5', '100', '0', '-'],
      ],
    );
  });

  test(
    'has the columns of the trends, which one look has not',
    async () => {
      await using ns = await makeNetns('ports-cli');
      await using watched = ns.finwait(['ports', '--watch']);
      await watched.output(/PER-MIN +FULL-IN/);
      const once = ns.finwait(['ports']);
      await once.ended;
      assert.match(once.stdout, /^USED/m);
      assert.not.match(once.stdout, /PER-MIN/);
    },
    NEEDS,
  );
});

spec('finwait ports elsewhere', (test) => {
  test(
    'looks into namespaces by name and by pod, each with its own range of ports',
    async () => {
      await using ns = await makeNetns('ports-cli');
      await ns.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=40000 40009');
      await using pod = await startPod(ns.enter, 0, 0);
      await using pairs = ns.start(process.execPath, ['-e', PAIRS, '7000', '9']);
      await pairs.output(/open/);
      for (const place of [
        ['--netns', ns.name],
        ['--pod', pod.uid],
        ['-A', '--port', '7000', '--min-used', '100'],
      ]) {
        const { stdout, stderr } = await runFinwait(['ports', '--json', ...place]);
        const uses = JSON.parse(stdout) as PortRow[];
        // The pod itself listens on a port of the range.
        const [use] = uses.filter(({ netns }) => netns === statSync(`/run/netns/${ns.name}`).ino);
        assert.equal([use?.used, use?.usable, use?.pod], [9, 9, pod.uid], stderr);
      }
      const none = await runFinwait(['ports', '--json', '--netns', ns.name, '--port', '1']);
      assert.is(none.stdout, '[]\n');
      const nat = await runFinwait(['ports', '--nat', '--netns', ns.name]);
      assert.match(nat.stdout, /^no flow has source NAT/m);
      const typo = await runFinwait(['ports', '--pod', 'nosuch', '--pod', pod.uid]);
      assert.match(typo.stdout, /^\d+ destinations?; ports 40000 to 40009/m);
      assert.match(
        typo.stderr,
        /^finwait: note: NAMESPACE_NOT_FOUND: no network namespace is known to be that of a pod "nosuch"$/m,
      );
      assert.not.match(typo.stderr, pod.uid);
      for (const args of [
        ['ports', '--nat'],
        ['compare', '--pause', '100ms'],
      ]) {
        const denied = await runFinwait(args, { within: [...ns.enter, ...UNPRIVILEGED] });
        assert.equal([denied.code, denied.stdout], [3, '']);
        assert.match(denied.stderr, /^finwait: CONNTRACK_DENIED: /);
      }
    },
    { ...NEEDS, needs: [...NEEDS.needs, 'setpriv'] },
  );
});

const STATE = { ages: {} as DivergentState['ages'], samples: [], keptLong: 0 };
const COMPARED: Divergence = {
  ...{ atMs: 0, sockets: 10, flows: 1_200, through: 0, untracked: 0, unsettled: 0 },
  socketsWithoutFlow: [{ ...STATE, state: 'TIME-WAIT', count: 2 }],
  flowsWithoutSocket: [
    { ...STATE, state: 'TIME_WAIT', count: 1_100 },
    { ...STATE, state: 'CLOSE', count: 2 },
    { ...STATE, state: 'LAST_ACK', count: 5, keptLong: 5 },
    { ...STATE, state: 'ESTABLISHED', count: 3 },
  ],
};

spec('finwait compare', (test) => {
  test('keeps what is left of every connection for a while apart, and says what it means that one is missing', () => {
    const lines = (divergence: Divergence, wide = false) => {
      const { rows, footer } = compared(divergence, wide);
      return [
        ...rows.map(({ missing, state, count }) => `${count} ${state} ${missing}`),
        ...footer.map((line) => line.map(({ text }) => text.split(':')[0]).join('')),
      ];
    };
    assert.equal(lines(COMPARED), [
      ...['2 TIME-WAIT flow', '5 LAST_ACK socket', '3 ESTABLISHED socket'],
      ...['missing flow', 'missing socket', '1,102 flows of connections that have ended, as usual'],
      '10 sockets and 1,200 flows compared',
    ]);
    assert.equal(lines(COMPARED, true).slice(0, 3), [
      ...['2 TIME-WAIT flow', '1100 TIME_WAIT socket', '2 CLOSE socket'],
    ]);
    const none = { ...COMPARED, socketsWithoutFlow: [], flowsWithoutSocket: [] };
    assert.equal(lines(none), ['10 sockets and 1,200 flows compared']);
  });

  test(
    'shows the sockets whose flow was deleted, and says where there is nothing to compare',
    async () => {
      await using ns = await makeNetns('compare-cli');
      await using pairs = ns.start(process.execPath, ['-e', PAIRS, '7000', '3']);
      await pairs.output(/open/);
      const idle = ns.finwait(['compare', '--pause', '100ms']);
      await idle.ended;
      assert.match(idle.stdout, /^not compared: no rule of this network namespace uses conntrack/m);
      await ns.run(
        'nft',
        'add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in ct state invalid drop',
      );
      await using kept = ns.start(process.execPath, ['-e', PAIRS, '7001', '1']);
      await kept.output(/open/);
      const child = startFinwait(['compare', '--pause', '100ms', '--json', '--netns', String(kept.pid)]);
      assert.is((await child.ended).code, 0, child.stderr);
      const [found] = JSON.parse(child.stdout) as Divergence[];
      // The first three began before conntrack was used: it never knew them.
      const forgotten = found?.socketsWithoutFlow[0];
      assert.equal([found?.sockets, found?.flows, forgotten?.count], [8, 1, 6]);
      // Nor is known how old they are.
      assert.equal([forgotten?.ages.unknown, forgotten?.samples[0]?.ageBasis], [6, 'at-least']);
      assert.equal(found?.flowsWithoutSocket, []);
    },
    NEEDS,
  );
});
