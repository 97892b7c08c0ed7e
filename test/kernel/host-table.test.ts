import * as assert from 'uvu/assert';
import type { Condition } from '#base/errors.ts';
import { spec } from '../harness.ts';
import { makeNetns } from '../support/netns.ts';
import { openRun } from './host-run.ts';

const needs = ['root', 'tun', 'netns', 'nft', 'netfilter-conntrack', 'conntrack-tool'] as const;

/** `nft list` with what differs between runs taken away. */
const FOOTPRINT_TABLE = `table inet finwait { # progname
	flags owner

	chain footprint {
		type filter hook prerouting priority mangle; policy accept;
		iifname "finwait0" ct mark set 0x66696e77
		iifname "lo" ip6 saddr fd66:696e:7761:6974::2 ct mark set 0x66696e77
	}
}
`;

spec("finwait's nftables table", (test) => {
  test(
    "marks the engine's flows in conntrack, those to ::1 too, and no others",
    async () => {
      await using ns = await makeNetns('mark');
      await using run = await openRun(ns.enter, { footprint: true });
      assert.equal(await run.conditions(), []);
      const listed = await ns.run('nft', 'list', 'table', 'inet', 'finwait');
      assert.is(listed.replace(/progname .*/, 'progname'), FOOTPRINT_TABLE);

      for (const address of ['127.0.0.1', run.opened.hostV4, '::1', run.opened.hostV6 ?? ''])
        assert.is((await run.ping(address))?.what, 'echo-reply', address);
      await ns.run('ping', '-c', '1', '127.0.0.5');

      const marked = await flows(ns.run, '0x66696e77');
      assert.equal(marked.map(({ from, to }) => `${from} -> ${to}`).toSorted(), [
        '198.18.77.2 -> 127.0.0.1',
        '198.18.77.2 -> 198.18.77.1',
        'fd66:696e:7761:6974::2 -> ::1',
        'fd66:696e:7761:6974::2 -> fd66:696e:7761:6974::1',
      ]);
      const others = await flows(ns.run, '0x0');
      assert.equal(
        others.map(({ to }) => to),
        ['127.0.0.5'],
      );
    },
    { needs },
  );

  test(
    'is not made when nothing needs it, and then conntrack stays idle',
    async () => {
      await using ns = await makeNetns('idle');
      await using run = await openRun(ns.enter);
      await run.ping('127.0.0.1');
      assert.is(await ns.run('nft', 'list', 'ruleset'), '');
      assert.equal([...(await flows(ns.run, '0x0')), ...(await flows(ns.run, '0x66696e77'))], []);
    },
    { needs },
  );

  test(
    'of a second run has a name of its own, and each goes with its own run',
    async () => {
      await using ns = await makeNetns('tables');
      await using first = await openRun(ns.enter, { footprint: true });
      await using second = await openRun(ns.enter, { footprint: true });
      assert.equal(await tables(ns.run), ['inet finwait', 'inet finwait1']);
      await first.kill();
      assert.equal(await tables(ns.run), ['inet finwait1']);
      await using third = await openRun(ns.enter, { footprint: true });
      assert.equal(await tables(ns.run), ['inet finwait', 'inet finwait1']);
      await second.close();
      await third.close();
      assert.equal(await tables(ns.run), []);
    },
    { needs },
  );

  test(
    'outlives neither `nft flush ruleset` by others nor its run',
    async () => {
      await using ns = await makeNetns('flush');
      await using run = await openRun(ns.enter, { footprint: true });
      await ns.run('nft', 'flush', 'ruleset');
      assert.equal(await tables(ns.run), ['inet finwait']);
      await run.kill();
      assert.equal(await tables(ns.run), []);
    },
    { needs },
  );

  test(
    "leaves a table of that name that is somebody else's alone",
    async () => {
      await using ns = await makeNetns('foreign');
      await ns.run('nft', 'add', 'table', 'inet', 'finwait');
      await ns.run('nft', 'add', 'chain', 'inet', 'finwait', 'mine');
      await using run = await openRun(ns.enter, { footprint: true });
      await run.close();
      assert.match(await ns.run('nft', 'list', 'ruleset'), 'chain mine');
    },
    { needs },
  );
});

spec('a firewall that drops', (test) => {
  test(
    'what comes in by the device is told at the start',
    async () => {
      await using ns = await makeNetns('input');
      await ns.run(
        'nft',
        'add table inet fw; add chain inet fw in { type filter hook input priority 0; policy drop; }',
      );
      await using run = await openRun(ns.enter);
      assert.equal(
        (await run.conditions()).map((condition) => [condition.code, target(condition)]),
        [
          ['TUN_UNANSWERED', '198.18.77.1'],
          ['LOOPBACK_V4_UNREACHABLE', '127.0.0.1'],
          ['TUN_UNANSWERED', 'fd66:696e:7761:6974::1'],
          ['LOOPBACK_V6_UNREACHABLE', '::1'],
        ],
      );
    },
    { needs },
  );

  test(
    'only what goes to 127.0.0.0/8 from elsewhere, as on a Kubernetes node, is told as that',
    async () => {
      await using ns = await makeNetns('kubefw');
      await ns.run(
        'nft',
        'add table ip fw; add chain ip fw in { type filter hook input priority 0; }; ' +
          'add rule ip fw in ip saddr != 127.0.0.0/8 ip daddr 127.0.0.0/8 drop',
      );
      await using run = await openRun(ns.enter);
      const [condition, ...more] = await run.conditions();
      assert.equal(more, []);
      assert.is(condition?.code, 'LOOPBACK_V4_UNREACHABLE');
      assert.match(condition?.hint ?? '', 'KUBE-FIREWALL');
    },
    { needs },
  );

  test(
    'pings alone is no fault, because TCP is answered',
    async () => {
      await using ns = await makeNetns('noping');
      await ns.run('sysctl', '-w', 'net.ipv4.icmp_echo_ignore_all=1', 'net.ipv6.icmp.echo_ignore_all=1');
      await using run = await openRun(ns.enter);
      assert.equal(await run.conditions(), []);
    },
    { needs },
  );
});

type Run = (program: string, ...args: string[]) => Promise<string>;

async function tables(run: Run): Promise<string[]> {
  const listed = await run('nft', 'list', 'tables');
  return listed
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace('table ', ''))
    .toSorted();
}

async function flows(run: Run, mark: string): Promise<{ from: string; to: string }[]> {
  const listed = await Promise.all(
    ['ipv4', 'ipv6'].map((family) => run('conntrack', '-L', '-m', mark, '-f', family)),
  );
  return listed
    .join('')
    .split('\n')
    .map((line) => /src=(\S+) dst=(\S+) type=/.exec(line))
    .filter((match) => match !== null)
    .map(([, from = '', to = '']) => ({ from, to }));
}

function target(condition: Condition): string {
  return condition.message.split(' ')[0] ?? '';
}
