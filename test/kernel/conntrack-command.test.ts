/** `finwait conntrack` on flows of the kernel: events as they come, one flow deleted, what the processors count. */

import * as assert from 'uvu/assert';
import type { FlowEvent } from '../../cli/conntrack-events.ts';
import type { FlowGroup } from '../../cli/conntrack-groups.ts';
import type { FlowRow } from '../../cli/conntrack-rows.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { runFinwait, startProgram } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { joinNetns, makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { startPod } from './pods.ts';

const needs = ['root', 'netns', 'netfilter-conntrack', 'conntrack-tool'] as const;
const COMMAND = ['cli/main.ts', 'conntrack'];

type End = readonly [address: string, port: number];

/** A flow that no packet makes. */
function makeFlow(ns: Netns, source: End, destination: End, ...more: string[]): Promise<string> {
  return ns.run(
    'conntrack',
    ...named('-I', source, destination),
    '-t',
    '100',
    '--state',
    'ESTABLISHED',
    ...more,
  );
}

function named(command: string, source: End, destination: End): string[] {
  const [from, fromPort] = [source[0], String(source[1])];
  const [to, toPort] = [destination[0], String(destination[1])];
  return [command, '-p', 'tcp', '-s', from, '-d', to, '--sport', fromPort, '--dport', toPort];
}

/** Makes flows until the program tells of one: then it listens. */
async function listening(ns: Netns, child: Child): Promise<void> {
  let port = 1;
  await until('an event', async () => {
    await makeFlow(ns, ['192.0.2.1', port++], ['192.0.2.2', 9]);
    return child.stdout.includes('192.0.2.2') ? true : undefined;
  });
}

function eventsIn(child: Child): FlowEvent[] {
  return child.stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as FlowEvent)
    .filter(({ destination }) => destination.port !== 9);
}

function row({ event, state, source, zone, mark, reason }: FlowEvent): string {
  const flow = `${event} ${state} ${source.address} ${source.port} zone ${zone} mark ${mark}`;
  return reason === null ? flow : `${flow} ${reason}`;
}

const SERVER = `require('node:net').createServer().listen(7000, '10.9.0.1', () => console.log('listening'))`;
const CLIENT = `require('node:net').connect(7000, '10.9.0.1', () => console.log('open'))`;

const A: End = ['10.0.0.1', 40_000];
const B: End = ['10.0.0.2', 443];

spec('finwait conntrack on the kernel', (test) => {
  test(
    'tells what begins, changes and ends, of both families and in zones, until Ctrl-C',
    async () => {
      await using ns = await makeNetns('events');
      await makeFlow(ns, ['192.0.2.1', 60_000], ['192.0.2.2', 9]);
      await using child = ns.start(process.execPath, [...COMMAND, '--events', '--json']);
      await listening(ns, child);
      await makeFlow(ns, A, B);
      await makeFlow(ns, A, B, '-w', '7');
      await makeFlow(ns, ['fd00::1', 1], ['fd00::2', 2]);
      await ns.run('conntrack', ...named('-U', A, B), '--mark', '5');
      await ns.run('conntrack', ...named('-D', ['fd00::1', 1], ['fd00::2', 2]));
      const events = await until('all events', () => {
        const seen = eventsIn(child);
        return seen.some(({ event }) => event === 'ended') ? seen : undefined;
      });
      // What conntrack changes it changes twice.
      assert.equal(
        [...new Set(events.map(row))],
        [
          'begun ESTABLISHED 10.0.0.1 40000 zone 0 mark 0',
          'begun ESTABLISHED 10.0.0.1 40000 zone 7 mark 0',
          'begun ESTABLISHED fd00::1 1 zone 0 mark 0',
          'changed ESTABLISHED 10.0.0.1 40000 zone 0 mark 5',
          'ended ESTABLISHED fd00::1 1 zone 0 mark 0 removed',
        ],
      );
      assert.is((await child.stop('SIGINT')).code, 0);
      assert.is(child.stderr, '');
    },
    { needs },
  );

  test(
    'tells only of flows that the filters let pass, and stops after as many as are wanted',
    async () => {
      await using ns = await makeNetns('events');
      const filters = ['--zone', '7', '--zone', '9', '--limit', '2', '--json'];
      await using child = ns.start(process.execPath, [...COMMAND, '--events', ...filters]);
      let port = 1;
      await until('the end', async () => {
        for (const zone of ['5', '7', '9']) {
          await ns.try(
            'conntrack',
            ...named('-I', [A[0], port], B),
            '-t',
            '9',
            '--state',
            'CLOSE',
            '-w',
            zone,
          );
        }
        port++;
        return child.stdout.split('\n').length > 2 ? true : undefined;
      });
      assert.is((await child.ended).code, 0);
      assert.equal(
        eventsIn(child)
          .map(({ zone }) => zone)
          .sort(),
        [7, 9],
      );
    },
    { needs },
  );

  test(
    'ends when nobody reads it any more',
    async () => {
      await using ns = await makeNetns('events');
      const line = `"${process.execPath}" ${COMMAND.join(' ')} --events | head -n 1; echo "\${PIPESTATUS[0]}"`;
      await using child = ns.start('bash', ['-c', line]);
      let port = 1;
      await until('the end', async () => {
        await ns.try('conntrack', ...named('-I', [A[0], port++], B), '-t', '9', '--state', 'CLOSE');
        return /\n0\n$/.test(child.stdout) ? true : undefined;
      });
      assert.is((await child.ended).code, 0);
    },
    { needs },
  );

  test(
    'says how fast the table fills when it is watched, and that no events come where nothing uses conntrack',
    async () => {
      await using ns = await makeNetns('unused');
      await using watched = ns.start(process.execPath, [...COMMAND, '--watch', '--interval', '100ms']);
      await watched.output(/^table: 0 \/ [\d,]+ \(0 %\); no rule/m);
      await watched.output(/^table: 0 \/ [\d,]+ \(0 %\), steady; no rule/m);
      await using events = ns.start(process.execPath, [...COMMAND, '--events']);
      await events.output(/^finwait: note: CONNTRACK_UNUSED: /m, { stream: 'stderr' });
    },
    { needs },
  );

  test(
    'deletes one flow by its name and zone, and only with --yes',
    async () => {
      await using ns = await makeNetns('delete');
      const name = ['10.0.0.1:40000', '10.0.0.2:443'];
      await makeFlow(ns, A, B);
      await makeFlow(ns, A, B, '-w', '7');
      await makeFlow(ns, ['fd00::1', 1], ['fd00::2', 2]);
      const remove = (...args: string[]) => ns.try(process.execPath, ...COMMAND, 'delete', ...args);
      const left = async () =>
        (await ns.run('conntrack', '-L')).split('\n').filter((line) => line.startsWith('tcp')).length;

      const asked = await remove(...name);
      assert.is(asked.code, 2);
      assert.match(asked.stdout, /^would delete ESTABLISHED 10\.0\.0\.1:40000 → 10\.0\.0\.2:443\n.*sockets/);
      assert.match(asked.stderr, /nothing was done: --yes is missing/);
      assert.is(await left(), 3);

      const done = await remove(...name, '--yes');
      assert.equal([done.code, done.stderr], [0, '']);
      assert.match(done.stdout, /^deleted ESTABLISHED 10\.0\.0\.1:40000/);
      assert.match(await ns.run('conntrack', '-L'), /zone=7/);
      assert.is(await left(), 2);

      const swapped = await remove('[fd00::2]:2', '[fd00::1]:1', '--yes');
      assert.is(swapped.code, 1);
      assert.match(swapped.stderr, /FLOW_NOT_FOUND[\s\S]*the flow is \[fd00::1\]:1 \[fd00::2\]:2\n/);
      assert.is(await left(), 2);

      const again = await remove(...name, '--yes');
      assert.is(again.code, 1);
      assert.match(again.stderr, /FLOW_NOT_FOUND/);

      assert.is((await remove(...name, '--zone', '7', '--yes')).code, 0);
      assert.is(await left(), 1);
      const outside = await runFinwait([
        ...['conntrack', 'delete', '[fd00::1]:1', '[fd00::2]:2'],
        ...['--yes', '--netns', `/run/netns/${ns.name}`],
      ]);
      assert.is(outside.code, 0, outside.stderr);
      assert.is(await left(), 0);
    },
    { needs },
  );

  test(
    'tells whose flows are, by process and by pod, in a namespace that is named',
    async () => {
      await using node = await makeNetns('owners');
      await using other = await makeNetns('owners');
      await joinNetns(node, other, { addressesA: ['10.9.0.1/24'], addressesB: ['10.9.0.2/24'] });
      const rules =
        'add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in ct state invalid drop';
      await node.run('nft', rules);
      await using server = node.start(process.execPath, ['-e', SERVER]);
      await server.output(/listening/);
      await using pod = await startPod(other.enter, 0, 0);
      await using client = startProgram(process.execPath, ['-e', CLIENT], {
        within: [...pod.enter, ...other.enter],
      });
      await client.output(/open/);
      const json = async <T>(...args: string[]) => {
        const { stdout, stderr } = await runFinwait(['conntrack', '--json', '--netns', node.name, ...args]);
        assert.is(stderr, '');
        return JSON.parse(stdout) as T[];
      };
      const [flow, ...more] = await json<FlowRow>('--owners');
      assert.equal(
        [flow?.opener?.pod?.uid, flow?.opener?.process?.pid, flow?.acceptor?.process?.pid, more.length],
        [pod.uid, client.pid, server.pid, 0],
      );
      assert.equal(
        (await json<FlowGroup>('--by', 'pod')).map(({ pod: uid, count }) => [uid, count]),
        [[pod.uid, 1]],
      );
      assert.equal(
        (await json<FlowGroup>('--by', 'process')).map((group) => [group.process?.pid, group.count]),
        [[client.pid, 1]],
      );
      for (const [filter, count] of [
        [['--process', String(server.pid)], 1],
        [['--process', '1'], 0],
        [['--pod', pod.uid.slice(0, 8)], 1],
        [['--pod', 'none'], 1],
      ] as const) {
        assert.is((await json(...filter)).length, count, filter.join(' '));
      }
      const within = ['--netns', node.name, '--pod', 'absent', '--pod', 'none'];
      const absent = await runFinwait(['conntrack', ...within]);
      assert.match(absent.stdout, /^1 of 1 TCP flows$/m);
      assert.match(
        absent.stderr,
        /^finwait: note: NAMESPACE_NOT_FOUND: .* of a pod "absent"\n {2}hint: .*\n$/,
      );
      const blind = [...node.enter, 'setpriv', '--bounding-set=-all,+net_admin', '--inh-caps=-all', '--'];
      const unseen = await runFinwait(['conntrack', '--process', String(server.pid)], { within: blind });
      assert.match(unseen.stdout, /^0 of 1 TCP flows/m);
      assert.match(unseen.stderr, /^finwait: note: PROCESS_NAMES_PARTIAL: /);
    },
    // Each command looks at all processes and network namespaces of the machine.
    { needs: [...needs, 'nft', 'setpriv'], timeoutMs: 240_000 },
  );

  test(
    'tells what the processors count, as conntrack does',
    async () => {
      await using ns = await makeNetns('stats');
      const rows = JSON.parse(await ns.run(process.execPath, ...COMMAND, '--stats', '--json')) as {
        name: string;
        total: number;
        cpus: number[];
      }[];
      const theirs = (await ns.run('conntrack', '-S')).split('\n').filter(Boolean);
      const drop = rows.find(({ name }) => name === 'drop');
      assert.is(drop?.cpus.length, theirs.length);
      assert.is(drop?.total, 0);
      assert.ok(rows.some(({ name }) => name === 'chainTooLong'));
    },
    { needs },
  );
});
