/** The table of docs/capabilities.md, row by row: what finwait can do with and without each capability. */

import * as assert from 'uvu/assert';
import type { Condition } from '#base/errors.ts';
import type { Holder } from '#contract';
import type { TablesSweep } from '../../daemon/threads/tables-client.ts';
import { rejects, spec } from '../harness.ts';
import { startProgram } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { openRun } from './host-run.ts';
import type { Pod } from './pods.ts';
import { startPod } from './pods.ts';

const needs = ['root', 'tun', 'netns', 'setpriv', 'nft', 'netfilter-conntrack'] as const;
const OPTIONS = { needs, timeoutMs: 180_000 };
const INSPECT = ['net_admin', 'net_raw', 'sys_admin', 'sys_ptrace', 'dac_read_search'];
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];

/** As a container's root runs: these capabilities and no others, and /proc/sys read-only. */
function containerWith(...capabilities: readonly string[]): string[] {
  const readOnly = 'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec "$@"';
  const bounding = ['-all', ...capabilities.map((name) => `+${name}`)].join(',');
  return [
    ...['unshare', '--mount', 'sh', '-ec', readOnly, 'sh'],
    ...['setpriv', '--no-new-privs', '--inh-caps=-all', `--bounding-set=${bounding}`],
  ];
}

function withoutOne(name: string): string[] {
  return containerWith(...INSPECT.filter((each) => each !== name));
}

/**
 * A sweep of a tables worker that runs so: the first that passes, but never the very first, which may meet processes
 * that just begin. On a machine that has much open, processes are found over some sweeps.
 */
async function sweep(
  within: readonly string[],
  { all = false, passes = (_: TablesSweep): boolean => true } = {},
): Promise<TablesSweep> {
  const args = ['test/kernel/tables-watch.ts', ...(all ? ['all'] : [])];
  await using child = startProgram(process.execPath, args, { within });
  const seen = await until(
    'a sweep that passes',
    () => {
      const sweeps = child.stdout.split('\n').slice(1, -1);
      return sweeps.map((line) => JSON.parse(line) as TablesSweep).find(passes);
    },
    120_000,
  );
  // Not every program that runs another hands a milder signal on.
  await child.stop('SIGKILL');
  return seen;
}

function hintOf(conditions: readonly Condition[], code: string): string {
  return conditions.find((each) => each.code === code)?.hint ?? '';
}

function codes(conditions: readonly Condition[]): string[] {
  return conditions.map(({ code }) => code);
}

function holdersOf({ uid }: Pod, { sockets }: TablesSweep): Holder[] {
  return sockets?.holders.filter((holder) => holder.pod?.uid === uid) ?? [];
}

async function withFlow(ns: Netns): Promise<void> {
  await ns.run(
    'nft',
    'add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c ct state new',
  );
  await ns.try('sh', '-c', 'exec 3<>/dev/tcp/127.0.0.1/9 || true');
  await ns.try('ping', '-c', '1', '127.0.0.1');
}

spec('reading the tables', (test) => {
  test(
    'needs no capability for the sockets, and NET_ADMIN for the flows of conntrack',
    async () => {
      await using ns = await makeNetns('caps');
      await withFlow(ns);
      const none = await sweep([...ns.enter, ...containerWith('chown')]);
      assert.ok(none.sockets);
      assert.ok((none.conntrack?.count ?? 0) > 0, 'how full it is can be read all the same');
      assert.ok(codes(none.conditions).includes('CONNTRACK_DENIED'));
      const admin = await sweep([...ns.enter, ...containerWith('net_admin')]);
      assert.not.ok(codes(admin.conditions).includes('CONNTRACK_DENIED'));
    },
    OPTIONS,
  );

  test(
    "in all namespaces works with the capabilities of mode inspect, down to a container's process",
    async () => {
      await using ns = await makeNetns('pod');
      await using pod = await startPod([...ns.enter, ...NOBODY], 2, 1);
      const seen = await sweep(containerWith(...INSPECT), {
        all: true,
        passes: (each) => {
          const holders = holdersOf(pod, each);
          return holders.length === 2 && holders.some(({ process }) => process !== null);
        },
      });
      const [closeWait, timeWait] = holdersOf(pod, seen).sort((a, b) => (a.state < b.state ? -1 : 1));
      assert.equal([closeWait?.count, closeWait?.process?.name], [2, 'node']);
      assert.is(closeWait?.pod?.containerId, pod.containerId);
      assert.is(timeWait?.count, 1);
      assert.not.ok(codes(seen.conditions).includes('NAMESPACES_PARTIAL'));
    },
    OPTIONS,
  );

  test(
    'needs SYS_ADMIN to enter other namespaces',
    async () => {
      await using ns = await makeNetns('pod');
      await using pod = await startPod([...ns.enter, ...NOBODY], 2, 0);
      const seen = await sweep(withoutOne('sys_admin'), { all: true });
      assert.equal(holdersOf(pod, seen), []);
      const condition = seen.conditions.find(({ code }) => code === 'NAMESPACES_PARTIAL');
      assert.match(condition?.hint ?? '', /CAP_SYS_ADMIN.*agent\.capabilities\.sysAdmin\)/);
      assert.ok(seen.sockets && seen.sockets.states.length > 0, 'the rest goes on');
    },
    OPTIONS,
  );

  test(
    'needs SYS_PTRACE to find them',
    async () => {
      await using ns = await makeNetns('pod');
      await using pod = await startPod([...ns.enter, ...NOBODY], 2, 0);
      const seen = await sweep(withoutOne('sys_ptrace'), { all: true });
      assert.equal(holdersOf(pod, seen), []);
      const condition = seen.conditions.find(({ code }) => code === 'NAMESPACES_PARTIAL');
      assert.match(condition?.hint ?? '', /CAP_SYS_PTRACE.*agent\.capabilities\.sysPtrace\)/);
    },
    OPTIONS,
  );

  test(
    'needs DAC_READ_SEARCH for the processes of other users, and counts by pod without it',
    async () => {
      await using ns = await makeNetns('pod');
      await using pod = await startPod([...ns.enter, ...NOBODY], 2, 0);
      const seen = await sweep(withoutOne('dac_read_search'), {
        all: true,
        passes: ({ conditions }) => hintOf(conditions, 'PROCESS_NAMES_PARTIAL').includes('DAC_READ_SEARCH'),
      });
      const [holder] = holdersOf(pod, seen);
      assert.equal([holder?.count, holder?.process, holder?.pod?.containerId], [2, null, undefined]);
      assert.match(
        hintOf(seen.conditions, 'PROCESS_NAMES_PARTIAL'),
        /CAP_DAC_READ_SEARCH.*agent\.capabilities\.dacReadSearch\)/,
      );
    },
    OPTIONS,
  );

  test(
    'needs the PID namespace of the machine to see other processes',
    async () => {
      await using ns = await makeNetns('pidns');
      const within = [...ns.enter, 'unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
      const seen = await sweep([...within, ...containerWith(...INSPECT)], { all: true });
      const condition = seen.conditions.find(({ code }) => code === 'NAMESPACES_PARTIAL');
      assert.match(condition?.hint ?? '', /hostPID/);
    },
    OPTIONS,
  );
});

spec('the TUN device', (test) => {
  test(
    'needs NET_ADMIN, and nothing else but NET_RAW for ::1',
    async () => {
      await using ns = await makeNetns('tun');
      const error = (await rejects(openRun([...ns.enter, ...withoutOne('net_admin')]))) as Condition;
      assert.is(error.code, 'TUN_DENIED');
      await using run = await openRun([...ns.enter, ...containerWith('net_admin')], { footprint: true });
      assert.equal(await run.conditions(), []);
      assert.is((await run.ping('127.0.0.1'))?.what, 'echo-reply');
      const way = await run.way('::1');
      assert.is('condition' in way ? way.condition.code : way.kind, 'LOOPBACK_V6_UNREACHABLE');
      await run.close();
      await using both = await openRun([...ns.enter, ...containerWith('net_admin', 'net_raw')]);
      assert.is((await both.ping('::1'))?.what, 'echo-reply');
    },
    OPTIONS,
  );
});
