import { readdirSync, readlinkSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { PodSockets, SocketSummary } from '#contract';
import type { TablesHandle, TablesSweep } from '../../daemon/threads/tables-client.ts';
import { startTables } from '../../daemon/threads/tables-client.ts';
import { spec } from '../harness.ts';
import { startProgram } from '../support/child.ts';
import { makeMachine } from '../support/machine.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import type { Pod } from './pods.ts';
import { startPod } from './pods.ts';
import { sweepWhere } from './tables-sweeps.ts';

const needs = ['root', 'netns'] as const;

async function withTables(use: (tables: TablesHandle) => Promise<void>): Promise<void> {
  const tables = startTables({ sweepIntervalMs: 200, allNamespaces: true });
  try {
    await use(tables);
  } finally {
    await tables.stop();
  }
}

/** A sweep that begins after this call and tells what is looked for. */
function sweepWith<T>(
  tables: TablesHandle,
  what: string,
  look: (sweep: TablesSweep) => T | undefined,
): Promise<T> {
  const sinceMs = Date.now();
  return until(what, () => {
    const sweep = tables.latest();
    return sweep === undefined || sweep.atMs < sinceMs ? undefined : look(sweep);
  });
}

function statesOf(sockets: SocketSummary | undefined, uid: string): Record<string, number> | undefined {
  const pod = sockets?.pods?.find((each: PodSockets) => each.uid === uid);
  return pod === undefined
    ? undefined
    : Object.fromEntries(pod.states.map(({ state, count }) => [state, count]));
}

spec('the sockets of pods', (test) => {
  test(
    'are counted exactly, in namespaces of their own and in that of the host, and their holders have pod and container',
    async () => {
      await using host = await makeNetns('host');
      await using ns = await makeNetns('pod');
      // A report has room for a hundred groups: those of others would not leave these in it.
      await using machine = await makeMachine(host);
      await using pod = await startPod([...ns.enter, ...machine.enter], 3, 4);
      await using hostPod = await startPod([...host.enter, ...machine.enter], 2, 0);
      const within = [...host.enter, ...machine.enter];
      await using watch = startProgram(process.execPath, ['test/kernel/tables-watch.ts', 'all'], { within });
      const holdersOf = ({ sockets }: TablesSweep, { uid }: Pod) =>
        sockets?.holders.filter((holder) => holder.pod?.uid === uid) ?? [];
      // The pod of a control group may be known before its process is.
      const sweep = await sweepWhere(watch, 'both pods and their processes', (each) =>
        [pod, hostPod].every((of) => holdersOf(each, of).some(({ process }) => process !== null)),
      );
      const { sockets } = sweep;
      assert.equal(statesOf(sockets, pod.uid), {
        LISTEN: 1,
        'FIN-WAIT-2': 3,
        'CLOSE-WAIT': 3,
        'TIME-WAIT': 4,
      });
      assert.equal(statesOf(sockets, hostPod.uid), { LISTEN: 1, 'FIN-WAIT-2': 2, 'CLOSE-WAIT': 2 });
      assert.equal(
        holdersOf(sweep, pod)
          .map(({ state, count, pod: of, process }) => [state, count, of?.containerId, process?.name])
          .sort(),
        [
          ['CLOSE-WAIT', 3, pod.containerId, 'node'],
          // The side that closed first has no process any more: all that is known is whose namespace it is.
          ['TIME-WAIT', 4, undefined, undefined],
        ],
      );
      assert.equal(
        holdersOf(sweep, hostPod).map(({ state, count, pod: of }) => [state, count, of?.containerId]),
        [['CLOSE-WAIT', 2, hostPod.containerId]],
      );
      const port = Number(/ready (\d+)/.exec(pod.child.stdout)?.[1]);
      const hostPort = Number(/ready (\d+)/.exec(hostPod.child.stdout)?.[1]);
      const ports = sockets?.listeners.map(({ local }) => local.port);
      assert.ok(ports?.includes(hostPort), 'a listener that can be probed');
      assert.not.ok(ports?.includes(port) && port !== hostPort, 'one in another namespace cannot');
    },
    { needs: [...needs, 'setpriv'], timeoutMs: 180_000 },
  );

  test(
    'of a namespace that goes away are forgotten, and nothing holds it back',
    async () => {
      await withTables(async (tables) => {
        const uid = await (async () => {
          await using ns = await makeNetns('gone');
          await using pod = await startPod(ns.enter, 1, 0);
          await sweepWith(tables, 'the pod', ({ sockets }) => statesOf(sockets, pod.uid));
          return pod.uid;
        })();
        const sweep = await sweepWith(tables, 'its end', (each) =>
          statesOf(each.sockets, uid) === undefined ? each : undefined,
        );
        assert.ok((sweep.counters.namespaces_vanished ?? 0) > 0);
        assert.equal(
          sweep.conditions.filter(({ code }) => code === 'NAMESPACES_PARTIAL'),
          [],
        );
      });
    },
    { needs, timeoutMs: 180_000 },
  );

  test(
    'of idle pods cost no question to the kernel',
    async () => {
      await using ns = await makeNetns('idle');
      await using _sleeper = ns.start('sleep', ['60']);
      await using listener = await makeNetns('listen');
      await using pod = await startPod(listener.enter, 0, 0);
      await withTables(async (tables) => {
        await sweepWith(tables, 'the pod', ({ sockets }) => statesOf(sockets, pod.uid));
        const spared = (sweep: TablesSweep) => sweep.counters.namespace_reads_spared ?? 0;
        const before = await sweepWith(tables, 'a first sweep', (sweep) => sweep);
        const after = await sweepWith(tables, 'spared questions', (sweep) =>
          spared(sweep) >= spared(before) + 6 ? sweep : undefined,
        );
        assert.equal(statesOf(after.sockets, pod.uid), { LISTEN: 1 });
      });
    },
    { needs, timeoutMs: 180_000 },
  );

  test(
    'are read without any thread of the process staying in their namespaces',
    async () => {
      await using ns = await makeNetns('threads');
      await using pod = await startPod(ns.enter, 1, 1);
      const own = readlinkSync('/proc/self/ns/net');
      await withTables(async (tables) => {
        await sweepWith(tables, 'the pod', ({ sockets }) => statesOf(sockets, pod.uid));
        const threads = readdirSync('/proc/self/task').map((id) =>
          readlinkSync(`/proc/self/task/${id}/ns/net`),
        );
        assert.equal([...new Set(threads)], [own]);
      });
    },
    { needs, timeoutMs: 180_000 },
  );

  test(
    'are not looked for where nobody asked for it',
    async () => {
      await using ns = await makeNetns('unasked');
      await using pod = await startPod(ns.enter, 1, 0);
      const tables = startTables({ sweepIntervalMs: 200 });
      try {
        const { sockets, counters } = await sweepWith(tables, 'a sweep', (sweep) => sweep);
        assert.is(sockets?.pods, undefined);
        assert.is(
          sockets?.holders.some((holder) => holder.pod?.uid === pod.uid),
          false,
        );
        assert.is(counters.namespaces_found, undefined);
      } finally {
        await tables.stop();
      }
    },
    { needs },
  );
});
