import { statSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { Divergence } from '#contract';
import type { PortRow } from '../../cli/ports-view.ts';
import type { PortUse } from '../../daemon/track/port-pressure.ts';
import { spec } from '../harness.ts';
import { startPod } from '../kernel/pods.ts';
import { runFinwait, startFinwait } from '../support/child.ts';
import { makeNetns } from '../support/netns.ts';

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
      assert.match(await ended('ports', '--nat'), /^0 destinations/m);
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
      assert.match(nat.stdout, /^0 destinations/m);
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

spec('finwait compare', (test) => {
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
      assert.equal([found?.sockets, found?.flows, found?.socketsWithoutFlow[0]?.count], [8, 1, 6]);
      assert.equal(found?.flowsWithoutSocket, []);
    },
    NEEDS,
  );
});
