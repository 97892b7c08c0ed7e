import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import type { ProbeResult } from '#contract';
import { spec } from '../harness.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import type { HostRun } from './host-run.ts';
import { openRun } from './host-run.ts';
import { PEER_PORTS } from './peers.ts';

const needs = ['root', 'tun', 'netns', 'setpriv'] as const;

/** Looks until there is something to say other than that all is as it was. */
function change(run: HostRun) {
  return until('a change of the device', async () => {
    const seen = await run.look();
    return seen.kind === 'intact' ? undefined : seen;
  });
}

async function assertReachable(run: HostRun): Promise<void> {
  for (const address of ['127.0.0.1', '::1', '198.18.77.1'])
    assert.is((await run.ping(address))?.what, 'echo-reply', address);
}

async function addresses(ns: Netns): Promise<string[]> {
  const [link] = JSON.parse(await ns.run('ip', '-j', 'address', 'show', 'dev', 'finwait0'));
  return link.addr_info.map(
    (each: { local: string; prefixlen: number }) => `${each.local}/${each.prefixlen}`,
  );
}

spec('a device that others lay hands on', (test) => {
  for (const [what, commands] of Object.entries({
    'set down': ['ip link set finwait0 down'],
    'set down and up again, which takes IPv6 away': ['ip link set finwait0 down', 'ip link set finwait0 up'],
    'robbed of its addresses': ['ip address flush dev finwait0'],
    'robbed of one address': ['ip -6 address flush dev finwait0'],
    'robbed of its routes': ['ip route flush dev finwait0'],
    'given an MTU that IPv6 cannot bear': ['ip link set finwait0 mtu 700'],
  })) {
    test(
      `and that is ${what} is set right again, and says so`,
      async () => {
        await using ns = await makeNetns('guard');
        await using run = await openRun(ns.enter, { footprint: true });
        assert.is((await run.look()).kind, 'intact');
        for (const command of commands) await ns.run('sh', '-c', command);
        const seen = await change(run);
        assert.is(seen.kind, 'restored');
        const { counters } = await run.look();
        assert.is(counters.tun_changes_by_others, 1);
        assert.is(counters.tun_restore_failures, 0);
        await assertReachable(run);
        assert.equal(await addresses(ns), ['198.18.77.1/29', 'fd66:696e:7761:6974::1/64']);
        const [link] = JSON.parse(await ns.run('ip', '-j', 'link', 'show', 'dev', 'finwait0'));
        assert.is(link.mtu, 1500);
        assert.equal(
          (await run.conditions()).map(({ code }) => code),
          ['TUN_CHANGED'],
        );
        const settled = await until('peace', async () => {
          const later = await run.look();
          return later.kind === 'intact' ? later : undefined;
        });
        assert.is(settled.counters.tun_changes_by_others, 1, 'it does not fight itself');
      },
      { needs },
    );
  }

  test(
    'is no matter of other links, and of what else happens to this one',
    async () => {
      await using ns = await makeNetns('others');
      await using run = await openRun(ns.enter);
      await ns.run('ip', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
      await ns.run('ip', 'address', 'add', '10.1.1.1/24', 'dev', 'lan0');
      await ns.run('ip', 'link', 'set', 'lan0', 'up');
      await ns.run('ip', 'link', 'set', 'lan0', 'down');
      assert.is((await run.look()).kind, 'intact');
      await ns.run('ip', 'address', 'add', '10.2.2.2/32', 'dev', 'finwait0');
      const seen = await run.look();
      assert.is(seen.kind, 'intact');
      assert.is(seen.counters.tun_changes_by_others, 0);
      assert.equal(await run.conditions(), []);
    },
    { needs },
  );

  test(
    'and that cannot be set right is broken until it can',
    async () => {
      await using ns = await makeNetns('broken');
      await using run = await openRun(ns.enter);
      // Another device with the engine's own prefix, which the kernel prefers.
      await ns.run('ip', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
      await ns.run('ip', 'link', 'set', 'lan0', 'up');
      await ns.run('ip', 'link', 'set', 'lan1', 'up');
      await ns.run('ip', 'route', 'add', '198.18.77.2/32', 'dev', 'lan0');
      await ns.run('ip', 'link', 'set', 'finwait0', 'down');
      const seen = await change(run);
      if (seen.kind !== 'broken') throw new Error(seen.kind);
      assert.match(seen.condition.message, 'cannot set it right');
      assert.match(seen.condition.hint, 'NetworkManager');
      assert.equal(await run.conditions(), [seen.condition]);
      await ns.run('ip', 'route', 'del', '198.18.77.2/32', 'dev', 'lan0');
      await until('order', async () => ((await run.look()).kind === 'intact' ? true : undefined));
      await assertReachable(run);
    },
    { needs },
  );

  for (const [what, command] of Object.entries({
    removed: 'ip link delete finwait0',
    renamed: 'ip link set finwait0 down; ip link set finwait0 name other0',
    'moved to another namespace': 'ip link set finwait0 netns $NS',
  })) {
    test(
      `and that is ${what} is lost`,
      async () => {
        await using ns = await makeNetns('lost');
        await using other = await makeNetns('other');
        await using run = await openRun(ns.enter);
        await ns.run('sh', '-c', command.replace('$NS', other.name));
        const error = await until('the loss', async () =>
          run.look().then(
            () => undefined,
            (thrown) => thrown,
          ),
        );
        assert.is(error.code, 'TUN_LOST');
        assert.match(error.message, 'finwait0');
      },
      { needs },
    );
  }

  test(
    'and that is set down again and again makes no live listener look filtered',
    async () => {
      await using ns = await makeNetns('blame');
      await using peers = ns.start(process.execPath, ['test/kernel/peers.ts']);
      await peers.output(/ready/);
      const target = `127.0.0.1:${PEER_PORTS.closes}`;
      const options = ['--json', '--count', '20', '--interval', '100ms', '--connect-timeout', '150ms'];
      await using probe = ns.finwait(['probe', ...options, target]);
      await probe.output(/open/);
      for (let i = 0; i < 8; i++) {
        await ns.try('ip', 'link', 'set', 'finwait0', 'down');
        await sleep(100);
      }
      await probe.ended;
      const results = probe.stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as ProbeResult);
      assert.is(results.length, 20, probe.stderr);
      // A busy machine taints some for its own reason: `loop-lag`.
      const blamed = results.filter(({ verdict, tainted }) => verdict !== 'open' && tainted === undefined);
      assert.equal(blamed, []);
      const open = results.filter(({ verdict }) => verdict === 'open');
      assert.ok(open.length >= 6, `${open.length} of 20`);
    },
    { needs },
  );
});
