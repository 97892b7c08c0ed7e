/** Parts of the host part that this kernel's own features hide: what older kernels and other machines have. */

import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { openForwarding } from '../../daemon/kernel/host-forwarding.ts';
import { cleanLeftovers, takeBackAll } from '../../daemon/kernel/host-leftovers.ts';
import { HostState } from '../../daemon/kernel/host-state.ts';
import { setns } from '../../daemon/kernel/libc.ts';
import { createOwnTable, Nftables } from '../../daemon/kernel/nftables-table.ts';
import { Routing } from '../../daemon/kernel/routing.ts';
import { readSetting } from '../../daemon/kernel/sysctl.ts';
import { spec } from '../harness.ts';
import type { Netns } from '../support/netns.ts';
import { joinNetns, makeNetns } from '../support/netns.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const needs = ['root', 'netns', 'nft'] as const;
const CLONE_NEWNET = 0x4000_0000;

/** Runs synchronous code with this thread in a network namespace. */
function inside<T>(ns: Netns, run: () => T): T {
  const there = openSync(`/run/netns/${ns.name}`, 'r');
  const back = openSync('/proc/thread-self/ns/net', 'r');
  try {
    assert.is(setns(there, CLONE_NEWNET), 0);
    return run();
  } finally {
    assert.is(setns(back, CLONE_NEWNET), 0);
    closeSync(there);
    closeSync(back);
  }
}

function tableNames(): string[] {
  using nftables = new Nftables();
  return nftables.tables().map((table) => table.name);
}

function clean(dir: string): void {
  using routing = new Routing();
  assert.equal(cleanLeftovers(dir, routing), []);
}

/** What a killed run leaves: its file without the lock that it held. */
function asIfKilled(dir: string): void {
  for (const file of readdirSync(dir)) {
    const path = join(dir, file);
    const text = readFileSync(path, 'utf8');
    writeFileSync(`${path}.new`, text);
    // A new inode under the old name: the lock is the old one's.
    renameSync(`${path}.new`, path);
  }
}

spec('on a kernel before 5.12, whose tables outlive their socket', (test) => {
  test(
    'a run removes its table at its end',
    async () => {
      await using ns = await makeNetns('own');
      await using dir = await makeTempDir('host-state');
      inside(ns, () => {
        using state = HostState.create(dir.path, 'finwait0');
        using table = createOwnTable({
          owned: false,
          outlives: (name) => state.record({ kind: 'table', name }),
        });
        assert.equal(tableNames(), [table.name]);
      });
      assert.equal(inside(ns, tableNames), []);
      assert.equal(readdirSync(dir.path), []);
    },
    { needs },
  );

  test(
    'the next start removes what a killed run left, and nothing of a living one',
    async () => {
      await using ns = await makeNetns('left');
      await using dir = await makeTempDir('host-state');
      inside(ns, () => {
        const makeTable = (state: HostState) =>
          createOwnTable({ owned: false, outlives: (name) => state.record({ kind: 'table', name }) });
        const killed = HostState.create(dir.path, 'finwait0');
        makeTable(killed);
        asIfKilled(dir.path);
        using living = HostState.create(dir.path, 'finwait1');
        using livingTable = makeTable(living);
        assert.equal(tableNames().toSorted(), ['finwait', 'finwait1']);
        clean(dir.path);
        assert.equal(tableNames(), [livingTable.name]);
        assert.is(readdirSync(dir.path).length, 1);
        clean(dir.path);
        assert.equal(tableNames(), [livingTable.name]);
      });
    },
    { needs },
  );

  test(
    'a table that a later run owns under the name of a killed one stays',
    async () => {
      await using ns = await makeNetns('later');
      await using dir = await makeTempDir('host-state');
      inside(ns, () => {
        const killed = HostState.create(dir.path, 'finwait0');
        killed.record({ kind: 'table', name: 'finwait' });
        asIfKilled(dir.path);
        using _later = createOwnTable({ outlives: () => assert.unreachable('this kernel knows owners') });
        clean(dir.path);
        assert.equal(tableNames(), ['finwait']);
      });
    },
    { needs },
  );
});

spec('what a run has written down', (test) => {
  const setting = '/proc/sys/net/ipv4/conf/eth0/forwarding';

  for (const { title, edit, expected } of [
    { title: 'is taken back', edit: (text: string) => text, expected: '0' },
    {
      title: 'is not taken back after a restart of the machine, which did that',
      edit: (text: string) => text.replace(/"boot":"[^"]*"/, '"boot":"another"'),
      expected: '1',
    },
    {
      title: 'is taken back when the last line was cut short by the kill',
      edit: (text: string) => `${text}{"kind":"setting","pa`,
      expected: '0',
    },
    {
      title: 'is believed only where it is a setting that finwait changes',
      edit: (text: string) => text.replace('/conf/eth0/forwarding', '/conf/eth0/../../../../kernel/panic'),
      expected: '1',
    },
    {
      title: 'is believed only where it is a value that finwait sets',
      edit: (text: string) => text.replace('"was":"0"', '"was":"0; reboot"'),
      expected: '1',
    },
  ]) {
    test(
      title,
      async () => {
        await using ns = await makeNetns('file');
        await using other = await makeNetns('other');
        await joinNetns(ns, other);
        await using dir = await makeTempDir('host-state');
        inside(ns, () => {
          writeFileSync(setting, '1');
          HostState.create(dir.path, 'finwait0').record({
            kind: 'setting',
            path: setting,
            was: '0',
            set: '1',
          });
          asIfKilled(dir.path);
          const [file = ''] = readdirSync(dir.path);
          const path = join(dir.path, file);
          writeFileSync(path, edit(readFileSync(path, 'utf8')));
          clean(dir.path);
          assert.is(readSetting(setting), expected);
          assert.equal(readdirSync(dir.path), [], 'it is done with');
        });
      },
      { needs },
    );
  }

  test('is in a directory that goes with it when it was made for it, and stays when it was there', async () => {
    await using dir = await makeTempDir('host-state');
    const made = join(dir.path, 'made', 'for', 'it');
    const first = HostState.create(made, 'finwait0');
    const second = HostState.create(made, 'finwait1');
    first[Symbol.dispose]();
    assert.is(readdirSync(made).length, 1, 'the other run still uses it');
    second[Symbol.dispose]();
    HostState.create(dir.path, 'finwait0')[Symbol.dispose]();
    assert.ok(existsSync(dir.path));
    HostState.create(made.replace('it', 'one'), 'finwait0')[Symbol.dispose]();
    assert.not.ok(existsSync(made.replace('it', 'one')));
  });

  test(
    'is tried again at the next start when it cannot be taken back',
    async () => {
      await using ns = await makeNetns('stuck');
      await using other = await makeNetns('other');
      await joinNetns(ns, other);
      await using dir = await makeTempDir('host-state');
      inside(ns, () => {
        writeFileSync(setting, '1');
        const state = HostState.create(dir.path, 'finwait0');
        state.record({ kind: 'setting', path: setting, was: '0', set: '1' });
        // A setting that reads as it was set and that nobody can write.
        state.record({ kind: 'setting', path: '/proc/sys/kernel/ostype', was: '0', set: 'Linux' });
        using routing = new Routing();
        takeBackAll(state, routing);
        assert.is(readSetting(setting), '0');
        assert.is(readdirSync(dir.path).length, 1);
      });
    },
    { needs },
  );

  test(
    'in another network namespace is left to a start there',
    async () => {
      await using ns = await makeNetns('here');
      await using other = await makeNetns('there');
      await using dir = await makeTempDir('host-state');
      inside(other, () => HostState.create(dir.path, 'finwait0').record({ kind: 'table', name: 'finwait' }));
      asIfKilled(dir.path);
      inside(ns, () => clean(dir.path));
      assert.is(readdirSync(dir.path).length, 1);
      inside(other, () => clean(dir.path));
      assert.equal(readdirSync(dir.path), []);
    },
    { needs },
  );
});

spec('IPv6 forwarding on a kernel before 6.17, which has it for all devices only', (test) => {
  const all = '/proc/sys/net/ipv6/conf/all/forwarding';

  const ensure = (dir: string) => {
    using routing = new Routing();
    const state = HostState.create(dir, 'finwait0');
    const parts = { routing, device: 'finwait0', allow: true, stateDir: dir, state: () => state };
    const condition = openForwarding({ ...parts, forceForwarding: false }).ensure(6, 'eth0');
    const during = readSetting(all);
    takeBackAll(state, routing);
    return { condition, during, after: readSetting(all) };
  };

  test(
    'is switched on for all, and taken back',
    async () => {
      await using ns = await makeNetns('all6');
      await using dir = await makeTempDir('host-state');
      const { condition, during, after } = inside(ns, () => ensure(dir.path));
      assert.is(condition, undefined);
      assert.equal([during, after], ['1', '0']);
    },
    { needs },
  );

  test(
    'shared by two runs stays on until the last of them ends',
    async () => {
      await using ns = await makeNetns('both6');
      await using dir = await makeTempDir('host-state');
      inside(ns, () => {
        using routing = new Routing();
        const [first, second] = ['finwait0', 'finwait1'].map((device) => {
          const state = HostState.create(dir.path, device);
          const parts = { routing, device, allow: true, stateDir: dir.path, state: () => state };
          assert.is(openForwarding({ ...parts, forceForwarding: false }).ensure(6, 'eth0'), undefined);
          return () => takeBackAll(state, routing);
        });
        first?.();
        assert.is(readSetting(all), '1');
        second?.();
        assert.is(readSetting(all), '0');
      });
    },
    { needs },
  );

  test(
    'is not switched on where that would lose a default route that a router has advertised',
    async () => {
      await using ns = await makeNetns('ra6');
      await using router = await makeNetns('router');
      await using dir = await makeTempDir('host-state');
      await joinNetns(ns, router, { addressesA: ['fd99:1::1/64'] });
      await ns.run('ip', '-6', 'route', 'add', 'default', 'via', 'fd99:1::2', 'dev', 'eth0', 'proto', 'ra');
      const refused = inside(ns, () => ensure(dir.path));
      assert.is(refused.condition?.code, 'FORWARDING_OFF');
      assert.match(refused.condition?.hint ?? '', 'net.ipv6.conf.eth0.accept_ra=2');
      assert.is(refused.during, '0');
      await ns.run('sysctl', '-w', 'net.ipv6.conf.eth0.accept_ra=2');
      assert.is(inside(ns, () => ensure(dir.path)).condition, undefined);
    },
    { needs },
  );
});
