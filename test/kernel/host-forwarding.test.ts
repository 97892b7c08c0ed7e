import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Condition } from '#base/errors.ts';
import type { HostTunConfig, Way } from '../../daemon/kernel/host-tun.ts';
import { spec } from '../harness.ts';
import { ROOT } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { joinNetns, makeNetns } from '../support/netns.ts';
import type { TempDir } from '../support/temp-dir.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import type { HostRun } from './host-run.ts';
import { openRun } from './host-run.ts';

const needs = ['root', 'tun', 'netns', 'nft', 'netfilter-conntrack'] as const;

const V4 = {
  own: '10.99.1.1',
  far: '10.99.1.2',
  beyond: '10.99.2.9',
  setting: 'net.ipv4.conf.eth0.forwarding',
};
const V6 = { own: 'fd99:1::1', far: 'fd99:1::2', setting: 'net.ipv6.conf.eth0.force_forwarding' };
const OFF = {
  [V4.setting]: '0',
  [V6.setting]: '0',
  'net.ipv4.ip_forward': '0',
  'net.ipv6.conf.all.forwarding': '0',
};

/** A machine with forwarding off, and another that knows no route back to the engine. */
interface Pair extends AsyncDisposable {
  readonly near: Netns;
  readonly far: Netns;
  readonly stateDir: string;
  open(config?: Partial<HostTunConfig>): Promise<HostRun>;
  settings(): Promise<Record<string, string>>;
}

async function makePair(): Promise<Pair> {
  const near = await makeNetns('near');
  const far = await makeNetns('far');
  const state: TempDir = await makeTempDir('host-state');
  await joinNetns(near, far, {
    addressesA: [`${V4.own}/24`, `${V6.own}/64`],
    addressesB: [`${V4.far}/24`, `${V6.far}/64`],
  });
  await near.run('sysctl', '-w', ...Object.entries(OFF).map(([name, value]) => `${name}=${value}`));
  return {
    near,
    far,
    stateDir: state.path,
    open: (config) =>
      openRun(near.enter, { allowForwarding: true, footprint: true, stateDir: state.path, ...config }),
    settings: async () => {
      const names = Object.keys(OFF);
      const values = (await near.run('sysctl', '-n', ...names)).trim().split('\n');
      return Object.fromEntries(names.map((name, i) => [name, values[i] ?? '']));
    },
    async [Symbol.asyncDispose]() {
      await far[Symbol.asyncDispose]();
      await near[Symbol.asyncDispose]();
      await state[Symbol.asyncDispose]();
    },
  };
}

spec('forwarding', (test) => {
  for (const family of [V4, V6]) {
    const name = family === V4 ? 'IPv4' : 'IPv6';
    test(
      `reaches another machine by ${name}, masqueraded, and the answers come back to the engine's own address`,
      async () => {
        await using pair = await makePair();
        await using run = await pair.open();
        assert.equal(await pair.settings(), OFF, 'nothing is switched on before a target needs it');
        assert.equal(await run.way(family.far), { kind: 'forward' });
        assert.equal(await pair.settings(), { ...OFF, [family.setting]: '1' }, 'the least that is enough');

        const engine = family === V4 ? run.opened.engineV4 : run.opened.engineV6;
        assert.equal(await run.ping(family.far), {
          source: family.far,
          destination: engine,
          what: 'echo-reply',
        });
        // A port where nobody listens: TCP goes through, too.
        const closed = await run.segment({ address: family.far, port: 9, flags: 2, seq: 1, ack: 0 });
        assert.equal([closed?.what, closed?.destination], ['ACK RST', engine]);

        await run.close();
        assert.equal(await pair.settings(), OFF);
        assert.equal(readdirSync(pair.stateDir), []);
        assert.is(await pair.near.run('nft', 'list', 'ruleset'), '');
      },
      { needs },
    );
  }

  test(
    'does not masquerade what stays on this machine',
    async () => {
      await using pair = await makePair();
      await using run = await pair.open();
      for (const { far } of [V4, V6]) {
        await run.way(far);
        assert.is((await run.ping(far))?.what, 'echo-reply');
      }
      for (const own of ['127.0.0.1', '::1', V4.own, V6.own])
        assert.is((await run.ping(own))?.what, 'echo-reply', own);
      const flows = await Promise.all(
        ['ipv4', 'ipv6'].map((family) => pair.near.run('conntrack', '-L', '-f', family)),
      );
      // A flow's source, its destination, and where the answers are sent.
      const ends = [...flows.join('').matchAll(/src=(\S+) dst=(\S+) type.*src=\S+ dst=(\S+) type/g)];
      const masqueraded = ends.filter(([, source, , answers]) => source !== answers);
      assert.is(ends.length, 6);
      assert.equal(
        masqueraded.map(([, , target, answers]) => [target, answers]),
        [V4, V6].map(({ far, own }) => [far, own]),
      );
    },
    { needs: [...needs, 'conntrack-tool'] },
  );

  test(
    'shows the other machine the address of this one',
    async () => {
      await using pair = await makePair();
      await using server = pair.far.start(process.execPath, ['-e', ECHO_PEER]);
      const [, port] = await server.output(/port (\d+)/);
      await using run = await pair.open();
      await run.way(V4.far);
      const to = { address: V4.far, port: Number(port) };
      const synAck = await run.segment({ ...to, flags: 2, seq: 100, ack: 0 });
      assert.is(synAck?.what, 'ACK SYN');
      const next = ((synAck?.seq ?? 0) + 1) >>> 0;
      // The last ACK of the handshake carries FIN: the server's own FIN is the answer.
      await run.segment({ ...to, flags: 0x11, seq: 101, ack: next });
      await server.output(new RegExp(`peer ${V4.own}`));
    },
    { needs },
  );

  test(
    'changes what docs/host-changes.md lists and nothing else',
    async () => {
      await using pair = await makePair();
      const all = () => pair.near.run('sysctl', '-a', '-e', '-r', '^net[.](ipv4|ipv6|core)');
      const before = new Set((await all()).split('\n'));
      await using run = await pair.open();
      for (const { far } of [V4, V6]) await run.way(far);
      const changed = (await all()).split('\n').filter((line) => !before.has(line));
      const ofDevice = changed.filter((line) => line.includes('.finwait0.'));
      assert.equal(changed.filter((line) => !ofDevice.includes(line)).toSorted(), [
        `${V4.setting} = 1`,
        `${V6.setting} = 1`,
      ]);
      const page = readFileSync(join(ROOT, 'docs/host-changes.md'), 'utf8');
      const listed = [...page.matchAll(/^\| `(net\.\S+)` \| (\d) \|/gm)].map(
        ([, name, value]) => `${name} = ${value}`,
      );
      assert.is(listed.length, 5);
      for (const line of listed) assert.ok(ofDevice.includes(line), line);
      const table = await pair.near.run('nft', 'list', 'table', 'inet', 'finwait');
      const inPage = table
        .replace(/ # progname .*/, '')
        .trimEnd()
        .replaceAll(/^(?=.)/gm, '    ');
      assert.ok(page.includes(inPage), inPage);
    },
    { needs },
  );

  test(
    'that is off and not allowed is the reason a target is out of reach; the hint says how to allow it',
    async () => {
      await using pair = await makePair();
      await using run = await pair.open({ allowForwarding: false });
      for (const family of [V4, V6]) {
        const condition = blocked(await run.way(family.far));
        assert.is(condition.code, 'FORWARDING_OFF');
        assert.match(condition.hint, '--allow-forwarding');
        assert.match(condition.hint, `sysctl -w ${family.setting}=1`);
      }
      assert.equal(await pair.settings(), OFF);
      assert.not.match(await pair.near.run('nft', 'list', 'ruleset'), 'masquerade');
    },
    { needs },
  );

  test(
    'that is on already is used without being allowed, and left on',
    async () => {
      await using pair = await makePair();
      const on = {
        ...OFF,
        'net.ipv4.ip_forward': '1',
        [V4.setting]: '1',
        'net.ipv6.conf.all.forwarding': '1',
      };
      await pair.near.run('sysctl', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
      await using run = await pair.open({ allowForwarding: false, footprint: false });
      for (const family of [V4, V6]) {
        assert.equal(await run.way(family.far), { kind: 'forward' });
        assert.is((await run.ping(family.far))?.what, 'echo-reply');
      }
      await run.close();
      assert.equal(await pair.settings(), on);
    },
    { needs },
  );

  test(
    'that a killed run left on is switched off by the next start',
    async () => {
      await using pair = await makePair();
      await using killed = await pair.open();
      await killed.way(V4.far);
      await killed.way(V6.far);
      await killed.kill();
      assert.equal(await pair.settings(), { ...OFF, [V4.setting]: '1', [V6.setting]: '1' });
      await using next = await pair.open({ allowForwarding: false });
      assert.equal(await pair.settings(), OFF);
      assert.equal(await next.conditions(), []);
      assert.equal(readdirSync(pair.stateDir), []);
    },
    { needs },
  );

  test(
    'that a killed run left on is done with when the device is gone',
    async () => {
      await using pair = await makePair();
      await using killed = await pair.open();
      await killed.way(V4.far);
      await killed.kill();
      await pair.near.run('ip', 'link', 'delete', 'eth0');
      await using next = await pair.open();
      assert.equal(await next.conditions(), []);
      assert.equal(readdirSync(pair.stateDir), []);
    },
    { needs },
  );

  for (const end of ['close', 'kill'] as const) {
    test(
      `shared by two runs is switched off when the last of them ends, the first by ${end}`,
      async () => {
        await using pair = await makePair();
        await using first = await pair.open();
        await first.way(V4.far);
        await using second = await pair.open();
        assert.equal(await second.way(V4.far), { kind: 'forward' });
        await first[end]();
        await using third = await pair.open({ allowForwarding: false });
        assert.is((await pair.settings())[V4.setting], '1');
        assert.is((await second.ping(V4.far))?.what, 'echo-reply');
        await second.close();
        assert.equal(await pair.settings(), OFF);
        assert.is(blocked(await third.way(V4.far)).code, 'FORWARDING_OFF');
      },
      { needs },
    );
  }

  test(
    'past a chain that drops by policy is told as a doubt, with its name',
    async () => {
      await using pair = await makePair();
      const chain = 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }';
      await pair.near.run('nft', `add table ip filter; ${chain}`);
      await using run = await pair.open();
      assert.equal(await run.conditions(), []);
      assert.equal(await run.way(V4.far), { kind: 'forward' });
      assert.equal(await run.way(V6.far), { kind: 'forward' });
      const [condition, ...more] = await run.conditions();
      assert.equal(more, [], 'the chain is of IPv4 only');
      assert.is(condition?.code, 'FORWARDING_DROPPED');
      assert.match(condition?.message ?? '', 'ip filter FORWARD');
      assert.is(await run.ping(V4.far), undefined);
    },
    { needs },
  );

  test(
    'where policy routing refuses what comes in by the device is told as no route',
    async () => {
      await using pair = await makePair();
      await pair.near.run('ip', 'rule', 'add', 'iif', 'finwait0', 'to', V4.far, 'prohibit');
      await using run = await pair.open();
      const condition = blocked(await run.way(V4.far));
      assert.is(condition.code, 'NO_ROUTE');
      assert.match(condition.message, 'EACCES');
      assert.match(condition.message, 'come in by finwait0');
    },
    { needs },
  );

  test(
    'is not switched on when there is nowhere to write down what to take back',
    async () => {
      await using pair = await makePair();
      await using run = await pair.open({ stateDir: '/proc/finwait' });
      assert.is(blocked(await run.way(V4.far)).code, 'STATE_DIR_UNUSABLE');
      assert.equal(await pair.settings(), OFF);
    },
    { needs },
  );
});

const ECHO_PEER = `
  const server = require('node:net').createServer((socket) => {
    console.log('peer', socket.remoteAddress.replace('::ffff:', ''));
    socket.on('error', () => {}).end();
  });
  server.listen(0, () => console.log('port', server.address().port));
`;

function blocked(way: Way): Condition {
  if (way.kind !== 'none') throw new Error(`expected no way, got ${way.kind}`);
  return way.condition;
}
