import { existsSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { rejects, spec } from '../harness.ts';
import { startProgram } from '../support/child.ts';
import { watchLeftovers } from '../support/leftovers.ts';
import { joinNetns, makeNetns } from '../support/netns.ts';
import { freePorts } from '../support/ports.ts';
import { isAlive } from '../support/processes.ts';

spec('child', (test) => {
  test('output() waits for a line and gives its match; what came before counts', async () => {
    await using child = startProgram('sh', ['-c', 'echo port 80; sleep 0.1; echo port 443; exec sleep 60']);
    const [, port] = await child.output(/port (4\d+)/);
    assert.is(port, '443');
    assert.is((await child.output(/port (\d+)/))[1], '80');
  });

  test('output() fails with all that was printed when the program ends first', async () => {
    await using child = startProgram('sh', ['-c', 'echo no luck >&2; exit 3']);
    await rejects(child.output(/luck/), /the program ended \(3\) before[\s\S]*no luck/);
  });

  test('a program that does not end in time is killed, and that is a failure', async () => {
    const child = startProgram('sh', ['-c', "trap '' TERM; echo up; while :; do sleep 0.1; done"]);
    await child.output(/up/);
    await rejects(child.stop('SIGTERM', 200), /did not end within 200 ms of SIGTERM/);
    assert.ok(!isAlive(child.pid));
  });

  test('a descendant that keeps the output open does not keep the end from being seen', async () => {
    await using child = startProgram('sh', ['-c', 'sleep 62 & echo $!']);
    const [pid] = await child.output(/\d+/);
    assert.is((await child.ended).code, 0);
    process.kill(Number(pid), 'SIGKILL');
  });

  test('a program that does not exist is an error of the one who waits for it', async () => {
    await rejects(startProgram('no-such-program', []).ended, /ENOENT/);
  });

  test('the end of the scope ends the program', async () => {
    let pid = 0;
    {
      await using child = startProgram('sleep', ['60']);
      pid = child.pid;
      assert.ok(isAlive(pid));
    }
    assert.ok(!isAlive(pid));
  });

  test('free ports are as many as asked for and all different', async () => {
    assert.is(new Set(await freePorts(20)).size, 20);
  });
});

spec('netns', (test) => {
  const needs = ['root', 'netns'] as const;

  test(
    'two namespaces joined by a cable reach one another by IPv4 and IPv6',
    async () => {
      await using a = await makeNetns('a');
      await using b = await makeNetns('b');
      await joinNetns(a, b, {
        addressesA: ['10.9.0.1/24', 'fd00:9::1/64'],
        addressesB: ['10.9.0.2/24', 'fd00:9::2/64'],
      });
      const accept = "const s = require('node:net').createServer().listen(80, '::', () => console.log('up'))";
      await using server = b.start(process.execPath, ['-e', accept]);
      await server.output(/up/);
      for (const host of ['10.9.0.2', 'fd00:9::2']) {
        const connect = `require('node:net').connect(80, '${host}', function () { console.log('open'); this.destroy() })`;
        assert.is(await a.run(process.execPath, '-e', connect), 'open\n');
      }
    },
    { needs },
  );

  test(
    'at the end of the scope the namespace and what ran in it are gone',
    async () => {
      let name = '';
      let pid = 0;
      {
        await using ns = await makeNetns('gone');
        name = ns.name;
        const child = ns.start('sh', ['-c', 'echo up; exec sleep 60']);
        await child.output(/up/);
        pid = child.pid;
      }
      assert.ok(!existsSync(`/run/netns/${name}`));
      assert.ok(!isAlive(pid));
    },
    { needs },
  );

  test(
    'what a killed run left is taken away by the next; what a living one has is not',
    async () => {
      await using mine = await makeNetns('mine');
      const dead = startProgram('sh', ['-c', 'ip netns add fw-$$-dead-1; echo $$']);
      const [pid] = await dead.output(/\d+/);
      await dead.ended;
      assert.ok(existsSync(`/run/netns/fw-${pid}-dead-1`));
      await using other = await makeNetns('other');
      assert.ok(!existsSync(`/run/netns/fw-${pid}-dead-1`));
      assert.ok(existsSync(`/run/netns/${mine.name}`) && existsSync(`/run/netns/${other.name}`));
    },
    { needs },
  );
});

spec('leftovers', (test) => {
  const needs = ['root', 'netns', 'nft', 'ss'] as const;
  const CHANGES: Readonly<Record<string, readonly [change: string, seen: RegExp]>> = {
    'a link': ['ip link add name fwtest0 type veth peer name fwtest1', /left: link: fwtest0/],
    'an address': ['ip address add 198.18.9.1/32 dev lo', /left: address: lo .*198\.18\.9\.1/],
    'a route': ['ip route add blackhole 198.18.9.0/24', /left: route: blackhole 198\.18\.9\.0/],
    'a rule': ['ip rule add from 198.18.9.1 lookup 77', /left: rule: .*198\.18\.9\.1/],
    'an nftables table': ['nft add table inet finwait', /left: nftables: table inet finwait/],
    'a setting': [
      'sysctl -q -w net.ipv4.ip_forward=1',
      /left: setting: ipv4\/ip_forward:1[\s\S]*gone: .*forward:0/,
    ],
  };
  for (const [what, [change, seen]] of Object.entries(CHANGES)) {
    test(
      `${what} that stays is found`,
      async () => {
        await using ns = await makeNetns('left');
        const watch = watchLeftovers(ns.enter);
        await watch.assertNothingLeft();
        await ns.run('sh', '-c', change);
        await rejects(watch.assertNothingLeft(100), seen);
      },
      { needs },
    );
  }

  test(
    'a process that stays is found, even one that left its session and its parent',
    async () => {
      await using ns = await makeNetns('left');
      const watch = watchLeftovers(ns.enter);
      await ns.start('sh', ['-c', 'setsid sleep 61 & echo started'], { env: watch.env }).output(/started/);
      await rejects(watch.assertNothingLeft(100), /left: process \d+ sleep 61/);
    },
    { needs },
  );
});
