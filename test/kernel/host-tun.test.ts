import * as assert from 'uvu/assert';
import type { Condition } from '#base/errors.ts';
import { rejects, spec } from '../harness.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { openRun } from './host-run.ts';

const needs = ['root', 'tun', 'netns'] as const;

spec('the TUN device on the host', (test) => {
  test(
    'has its addresses, its MTU and no other address, and is up',
    async () => {
      await using ns = await makeNetns('tun');
      await using run = await openRun(ns.enter, { mtu: 1400 });
      assert.equal(run.opened, {
        device: 'finwait0',
        mtu: 1400,
        engineV4: '198.18.77.2',
        engineV6: 'fd66:696e:7761:6974::2',
        hostV4: '198.18.77.1',
        hostV6: 'fd66:696e:7761:6974::1',
      });
      const [link] = JSON.parse(await ns.run('ip', '-j', 'address', 'show', 'dev', 'finwait0'));
      assert.is(link.mtu, 1400);
      assert.is(link.txqlen, 4096);
      assert.ok(link.flags.includes('UP'));
      assert.equal(
        link.addr_info.map((each: { local: string; prefixlen: number }) => `${each.local}/${each.prefixlen}`),
        ['198.18.77.1/29', 'fd66:696e:7761:6974::1/64'],
      );
      assert.equal(await run.conditions(), []);
    },
    { needs },
  );

  for (const end of ['close', 'kill'] as const) {
    test(
      `is gone with its routes after ${end === 'kill' ? 'SIGKILL' : 'the end of the run'}`,
      async () => {
        await using ns = await makeNetns('gone');
        await using run = await openRun(ns.enter, { footprint: true });
        assert.match(await ns.run('ip', 'route'), '198.18.77.0/29 dev finwait0');
        await run[end]();
        assert.equal(await linkNames(ns), ['lo']);
        assert.is(await ns.run('ip', 'route'), '');
        assert.is(await ns.run('nft', 'list', 'ruleset'), '');
      },
      { needs: [...needs, 'nft'] },
    );
  }

  test(
    'lets the engine reach every kind of address of this machine',
    async () => {
      await using ns = await makeNetns('reach');
      await addLink(ns, 'lan0');
      await ns.run('ip', 'address', 'add', '10.1.2.3/24', 'dev', 'lan0');
      await ns.run('ip', 'address', 'add', 'fd00:1::3/64', 'dev', 'lan0', 'nodad');
      await using run = await openRun(ns.enter);
      for (const address of [
        '127.0.0.1',
        '127.8.9.10',
        '198.18.77.1',
        '10.1.2.3',
        '::1',
        'fd66:696e:7761:6974::1',
        'fd00:1::3',
      ]) {
        assert.equal(await run.way(address), { kind: 'local' }, address);
        const answer = await run.ping(address);
        assert.is(answer?.what, 'echo-reply', address);
      }
      assert.equal(await run.way('::ffff:127.0.0.1'), { kind: 'local' });
    },
    { needs },
  );

  test(
    'says why the engine cannot reach what it cannot',
    async () => {
      await using ns = await makeNetns('none');
      await ns.run('ip', 'route', 'add', 'prohibit', '10.7.0.0/16');
      await ns.run('ip', 'route', 'add', 'blackhole', '10.8.0.0/16');
      await using run = await openRun(ns.enter);
      const codes: Record<string, string> = {};
      for (const address of [
        '0.0.0.0',
        '224.0.0.1',
        '255.255.255.255',
        '198.18.77.7',
        '198.18.77.2',
        '8.8.8.8',
        '10.7.1.1',
        '10.8.1.1',
        '::',
        'ff02::1',
        'fe80::1',
        '2001:db8::1',
        'fd66:696e:7761:6974::2',
        'not an address',
      ]) {
        const way = await run.way(address);
        codes[address] = way.kind === 'none' ? way.condition.code : way.kind;
        if (way.kind === 'none') assert.ok(way.condition.hint.length > 10, address);
      }
      assert.equal(codes, {
        '0.0.0.0': 'TARGET_NOT_UNICAST',
        '224.0.0.1': 'TARGET_NOT_UNICAST',
        '255.255.255.255': 'TARGET_NOT_UNICAST',
        '198.18.77.7': 'TARGET_NOT_UNICAST',
        '198.18.77.2': 'TARGET_NOT_UNICAST',
        '8.8.8.8': 'NO_ROUTE',
        '10.7.1.1': 'NO_ROUTE',
        '10.8.1.1': 'NO_ROUTE',
        '::': 'TARGET_NOT_UNICAST',
        'ff02::1': 'TARGET_NOT_UNICAST',
        'fe80::1': 'NO_ROUTE',
        '2001:db8::1': 'NO_ROUTE',
        'fd66:696e:7761:6974::2': 'TARGET_NOT_UNICAST',
        'not an address': 'TARGET_NOT_UNICAST',
      });
    },
    { needs },
  );

  test(
    'lets nothing to 127.0.0.0/8 in when somebody has switched that off, and then says so',
    async () => {
      await using ns = await makeNetns('localnet');
      await using run = await openRun(ns.enter);
      await ns.run('sysctl', '-w', 'net.ipv4.conf.finwait0.route_localnet=0');
      const way = await run.way('127.0.0.1');
      assert.is(way.kind === 'none' ? way.condition.code : way.kind, 'LOOPBACK_V4_UNREACHABLE');
      assert.equal(await run.way(run.opened.hostV4), { kind: 'local' });
    },
    { needs },
  );

  test(
    'of a second run gets the next name, and prefixes that do not overlap; both work',
    async () => {
      await using ns = await makeNetns('two');
      const runs = await Promise.all([openRun(ns.enter), openRun(ns.enter), openRun(ns.enter)]);
      try {
        const sorted = runs.map((run) => run.opened).toSorted((a, b) => (a.device < b.device ? -1 : 1));
        assert.equal(
          sorted.map(({ device, engineV4, engineV6 }) => [device, engineV4, engineV6]),
          [
            ['finwait0', '198.18.77.2', 'fd66:696e:7761:6974::2'],
            ['finwait1', '198.18.77.10', 'fd66:696e:7761:6975::2'],
            ['finwait2', '198.18.77.18', 'fd66:696e:7761:6976::2'],
          ],
        );
        for (const run of runs) {
          assert.is((await run.ping('127.0.0.1'))?.destination, run.opened.engineV4);
          assert.is((await run.ping('::1'))?.destination, run.opened.engineV6);
        }
      } finally {
        for (const run of runs) await run.kill();
      }
    },
    { needs },
  );

  test(
    'is refused under a name that is taken when no other will do, also one that is no TUN device',
    async () => {
      await using ns = await makeNetns('busy');
      await ns.run('ip', 'tuntap', 'add', 'finwait0', 'mode', 'tun');
      await addLink(ns, 'finwait1');
      const busy = (await rejects(openRun(ns.enter, { deviceExact: true }))) as Condition;
      assert.is(busy.code, 'TUN_BUSY');
      assert.match(busy.message, 'finwait0');
      await using run = await openRun(ns.enter);
      assert.is(run.opened.device, 'finwait2');
    },
    { needs },
  );

  test(
    'goes round routes that overlap its own choice of prefix, and names the route that overlaps a configured one',
    async () => {
      await using ns = await makeNetns('prefix');
      await addLink(ns, 'vpn0');
      await ns.run('ip', 'route', 'add', '198.18.0.0/16', 'dev', 'vpn0');
      await ns.run('ip', 'route', 'add', 'default', 'dev', 'vpn0');
      await ns.run('ip', '-6', 'route', 'add', 'fd66:696e:7761:6974::/64', 'dev', 'vpn0');
      await ns.run('ip', '-6', 'route', 'add', 'default', 'dev', 'vpn0');
      {
        await using run = await openRun(ns.enter);
        assert.is(run.opened.engineV4, '198.19.77.2');
        assert.is(run.opened.engineV6, 'fd66:696e:7761:6994::2');
      }
      const v4 = (await rejects(openRun(ns.enter, { prefixV4: '198.18.200.0/24' }))) as Condition;
      assert.is(v4.code, 'TUN_PREFIX_IN_USE');
      assert.match(v4.message, '198.18.0.0/16 dev vpn0');
      const v6 = (await rejects(openRun(ns.enter, { prefixV6: 'fd66:696e:7761::/48' }))) as Condition;
      assert.match(v6.message, 'fd66:696e:7761:6974::/64 dev vpn0');
      assert.equal(await linkNames(ns), ['lo', 'peer-vpn0', 'vpn0'], 'a refused start leaves no device');

      await using run = await openRun(ns.enter, { prefixV4: '10.200.0.0/30', prefixV6: 'fd77::/126' });
      assert.is(run.opened.engineV4, '10.200.0.2');
      assert.is(run.opened.engineV6, 'fd77::2');
      assert.is((await run.ping('10.200.0.1'))?.what, 'echo-reply');
    },
    { needs },
  );

  test(
    'counts what its queue had no room for',
    async () => {
      await using ns = await makeNetns('drops');
      await using run = await openRun(ns.enter);
      assert.equal(await run.dropped(), { toEngine: 0, fromEngine: 0 });
      // Nobody reads while this runs, and the device's queue holds 100 packets.
      await ns.run('ip', 'link', 'set', run.opened.device, 'txqueuelen', '100');
      await ns.try('ping', '-q', '-f', '-l', '700', '-w', '1', run.opened.engineV4);
      assert.ok((await run.dropped()).toEngine > 0);
    },
    { needs },
  );
});

async function linkNames(ns: Netns): Promise<string[]> {
  const links: { ifname: string }[] = JSON.parse(await ns.run('ip', '-j', 'link'));
  return links.map((link) => link.ifname).toSorted();
}

async function addLink(ns: Netns, name: string): Promise<void> {
  await ns.run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `peer-${name}`);
  for (const end of [name, `peer-${name}`]) await ns.run('ip', 'link', 'set', end, 'up');
}
