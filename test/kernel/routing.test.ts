import * as assert from 'uvu/assert';
import { NoAnswer } from '../../daemon/kernel/netlink-socket.ts';
import { Routing } from '../../daemon/kernel/routing.ts';
import { spec } from '../harness.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { openRun } from './host-run.ts';
import { rtnetlinkPorts, sprayNetlink } from './netlink-spray.ts';

const LOCALHOST = { destination: Uint8Array.of(127, 0, 0, 1) };
const needs = ['root', 'tun', 'netns'] as const;

spec('questions to the routing of the kernel', (test) => {
  test(
    'are asked again on another socket when somebody has filled the queue of the first',
    () => {
      const before = rtnetlinkPorts();
      using routing = new Routing();
      const own = rtnetlinkPorts().filter((port) => !before.includes(port));
      assert.is(own.length, 1);
      assert.ok(sprayNetlink(own) > 100);
      const answer = routing.lookUp(LOCALHOST);
      assert.ok(answer.ok && answer.route.type === 'local');
      assert.is(routing.counters.unanswered, 1);
      assert.ok(routing.link(1)?.up);
    },
    { needs },
  );

  test(
    'fail when nobody but strangers speaks, and never answer in their name',
    async () => {
      using routing = new Routing();
      const answers = { ok: 0, noAnswer: 0 };
      for (let i = 0; i < 50; i++) {
        sprayNetlink(rtnetlinkPorts());
        try {
          const answer = routing.lookUp(LOCALHOST);
          assert.ok(answer.ok, 'strangers do not decide that there is no route');
          answers.ok++;
        } catch (error) {
          if (!(error instanceof NoAnswer)) throw error;
          answers.noAnswer++;
        }
      }
      assert.is(answers.ok + answers.noAnswer, 50);
      assert.ok(answers.ok > 0);
    },
    { needs },
  );
});

spec('a machine whose netlink sockets are flooded', (test) => {
  test(
    'has ways, or does not know; and the device is not called broken',
    async () => {
      await using ns = await makeNetns('spray');
      await using run = await openRun(ns.enter);
      await using spray = ns.start(process.execPath, ['test/kernel/netlink-spray.ts', '4']);
      await spray.output(/spraying/);
      const kinds = new Set<string>();
      const endMs = performance.now() + 2_000;
      while (performance.now() < endMs) {
        const way = await run.way('127.0.0.1');
        kinds.add('condition' in way ? `${way.kind} ${way.condition.code}` : way.kind);
        kinds.add(`look ${(await run.look()).kind}`);
      }
      for (const kind of kinds) assert.match(kind, /^(local|unknown NETLINK_FAILED|look (intact|restored))$/);
      assert.ok(((await run.look()).counters.netlink_foreign_sender ?? 0) > 0, 'strangers are counted');
      await spray.ended;
      await until('the way', async () => ((await run.way('127.0.0.1')).kind === 'local' ? true : undefined));
    },
    { needs },
  );
});
