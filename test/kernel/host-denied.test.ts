import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Condition } from '#base/errors.ts';
import { rejects, spec } from '../harness.ts';
import { joinNetns, makeNetns } from '../support/netns.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { openRun } from './host-run.ts';

const needs = ['root', 'tun', 'netns', 'setpriv'] as const;

/** Runs a program with mounts of its own, changed first. */
function mounted(change: string): string[] {
  return ['unshare', '--mount', 'sh', '-ec', `${change}; exec "$@"`, 'sh'];
}

function without(...capabilities: readonly string[]): string[] {
  const dropped = capabilities.map((name) => `-${name}`).join(',');
  return ['setpriv', `--bounding-set=${dropped}`, `--inh-caps=${dropped}`];
}

const READ_ONLY_SYSCTL = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys';

spec('a machine that does not allow it', (test) => {
  test(
    'without /dev/net/tun: TUN_MISSING, and how to get it',
    async () => {
      await using ns = await makeNetns('notun');
      const within = [...ns.enter, ...mounted('mount -t tmpfs none /dev/net')];
      const error = (await rejects(openRun(within))) as Condition;
      assert.is(error.code, 'TUN_MISSING');
      assert.match(error.hint, 'modprobe tun');
      assert.match(error.hint, 'CharDevice');
    },
    { needs },
  );

  test(
    'with a /dev/net/tun that may not be opened: TUN_DENIED',
    async () => {
      await using ns = await makeNetns('nodev');
      // Devices do not work on a mount with nodev, as in a container that is not given them.
      const change = 'mount -t tmpfs -o nodev none /dev/net && mknod /dev/net/tun c 10 200';
      const error = (await rejects(openRun([...ns.enter, ...mounted(change)]))) as Condition;
      assert.is(error.code, 'TUN_DENIED');
      assert.match(error.message, 'EACCES');
      assert.match(error.hint, 'NET_ADMIN');
    },
    { needs },
  );

  test(
    'with a device cgroup that forbids it, as under runc 1.2.0 to 1.2.3: TUN_DENIED names that',
    async () => {
      await using ns = await makeNetns('cgroup');
      const cgroup = `/sys/fs/cgroup/devices/${ns.name}`;
      mkdirSync(cgroup);
      try {
        writeFileSync(join(cgroup, 'devices.deny'), 'c 10:200 rwm');
        const enter = `echo $$ > ${cgroup}/cgroup.procs; exec "$@"`;
        const error = (await rejects(openRun([...ns.enter, 'sh', '-ec', enter, 'sh']))) as Condition;
        assert.is(error.code, 'TUN_DENIED');
        assert.match(error.message, 'device cgroup');
        assert.match(error.hint, 'runc 1.2.0 to 1.2.3');
      } finally {
        rmdirSync(cgroup);
      }
    },
    { needs: [...needs, 'device-cgroup'] },
  );

  test(
    'without NET_ADMIN: TUN_DENIED names the capability',
    async () => {
      await using ns = await makeNetns('nocap');
      const error = (await rejects(openRun([...ns.enter, ...without('net_admin')]))) as Condition;
      assert.is(error.code, 'TUN_DENIED');
      assert.match(error.message, 'finwait0 cannot be made: EPERM');
      assert.match(error.hint, 'NET_ADMIN is missing');
    },
    { needs },
  );

  test(
    'with NET_ADMIN over another namespace only: TUN_DENIED says so',
    async () => {
      await using ns = await makeNetns('userns');
      const within = [...ns.enter, 'unshare', '--user', '--map-root-user'];
      const error = (await rejects(openRun(within))) as Condition;
      assert.is(error.code, 'TUN_DENIED');
      assert.match(error.hint, 'not over this network namespace');
    },
    { needs },
  );

  test(
    'without NET_RAW all but ::1 is reached, and ::1 says what is missing',
    async () => {
      await using ns = await makeNetns('noraw');
      await using run = await openRun([...ns.enter, ...without('net_raw')]);
      assert.equal(await run.conditions(), []);
      assert.is((await run.ping('127.0.0.1'))?.what, 'echo-reply');
      const way = await run.way('::1');
      if (way.kind !== 'none') throw new Error(`a way to ::1: ${way.kind}`);
      assert.is(way.condition.code, 'LOOPBACK_V6_UNREACHABLE');
      assert.match(way.condition.hint, 'NET_RAW');
    },
    { needs },
  );

  test(
    'with a read-only /proc/sys everything but IPv6 forwarding works, as netlink sets the rest',
    async () => {
      await using near = await makeNetns('near');
      await using far = await makeNetns('far');
      await using state = await makeTempDir('host-state');
      await joinNetns(near, far, {
        addressesA: ['10.99.1.1/24', 'fd99:1::1/64'],
        addressesB: ['10.99.1.2/24', 'fd99:1::2/64'],
      });
      const off = ['net.ipv4.conf.eth0.forwarding', 'net.ipv6.conf.eth0.force_forwarding'];
      await near.run('sysctl', '-w', ...off.map((name) => `${name}=0`));
      const within = [...near.enter, ...mounted(READ_ONLY_SYSCTL)];
      await using run = await openRun(within, { allowForwarding: true, stateDir: state.path });
      assert.equal(await run.conditions(), []);
      for (const address of ['127.0.0.1', '::1'])
        assert.is((await run.ping(address))?.what, 'echo-reply', address);
      assert.equal(await run.way('10.99.1.2'), { kind: 'forward' });
      assert.is((await run.ping('10.99.1.2'))?.what, 'echo-reply');
      const v6 = await run.way('fd99:1::2');
      if (v6.kind !== 'none') throw new Error(`a way to fd99:1::2: ${v6.kind}`);
      assert.is(v6.condition.code, 'FORWARDING_OFF');
      assert.match(v6.condition.message, 'read-only');
      await run.close();
      assert.is(await near.run('sysctl', '-n', ...off), '0\n0\n');
    },
    { needs: [...needs, 'nft'] },
  );
});

spec('IPv6 that is switched off', (test) => {
  for (const { where, settings, mtu, hint } of [
    { where: 'on the machine', settings: ['all'], mtu: 1500, hint: 'net.ipv6.conf.all.disable_ipv6=0' },
    { where: 'by an MTU below 1280', settings: [], mtu: 1000, hint: '--mtu' },
  ]) {
    test(
      `${where} leaves IPv4, and a condition says why`,
      async () => {
        await using ns = await makeNetns('nov6');
        for (const name of settings) await ns.run('sysctl', '-w', `net.ipv6.conf.${name}.disable_ipv6=1`);
        await using run = await openRun(ns.enter, { mtu, footprint: true });
        assert.is(run.opened.engineV6, undefined);
        const [condition, ...more] = await run.conditions();
        assert.equal(more, []);
        assert.is(condition?.code, 'IPV6_OFF');
        assert.match(condition?.hint ?? '', hint);
        assert.is((await run.ping('127.0.0.1'))?.what, 'echo-reply');
        const way = await run.way('::1');
        assert.is(way.kind === 'none' ? way.condition.code : way.kind, 'IPV6_OFF');
      },
      { needs: [...needs, 'nft'] },
    );
  }

  test(
    'for new devices only does not touch the TUN device',
    async () => {
      await using ns = await makeNetns('defv6');
      await ns.run('sysctl', '-w', 'net.ipv6.conf.default.disable_ipv6=1');
      await using run = await openRun(ns.enter);
      assert.equal(await run.conditions(), []);
      assert.is((await run.ping('::1'))?.what, 'echo-reply');
    },
    { needs },
  );
});

spec('a configuration that cannot be', (test) => {
  for (const [title, config, message] of [
    ['a device name with a slash', { device: 'fin/0' }, 'a device cannot be named "fin/0"'],
    ['a device name that is too long', { device: 'finwait-is-a-tun' }, 'cannot be named'],
    ['an MTU of 0', { mtu: 0 }, 'an MTU cannot be 0'],
    ['a prefix with host bits', { prefixV4: '10.0.0.1/24' }, 'prefix 10.0.0.1/24'],
    ['a prefix of the wrong family', { prefixV6: '10.0.0.0/24' }, 'prefix 10.0.0.0/24'],
  ] as const) {
    test(
      `${title} is CONFIG_INVALID`,
      async () => {
        await using ns = await makeNetns('config');
        const error = (await rejects(openRun(ns.enter, config))) as Condition;
        assert.is(error.code, 'CONFIG_INVALID');
        assert.match(error.message, message);
      },
      { needs },
    );
  }
});
