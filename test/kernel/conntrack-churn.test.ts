import * as assert from 'uvu/assert';
import { compiled } from '../../bench/programs.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import type { Followed } from './conntrack-follow.ts';
import { ask, startFollower } from './conntrack-follower.ts';
import { flowsByConntrack, flowTexts } from './tables-oracles.ts';

const LIVES = 100_000;
/** Each KEEPth flow outlives the churn. */
const KEEP = 10;
const LARGE_QUEUE = 32 << 20;
const SMALL_QUEUE = 64 << 10;

async function makeFlows(ns: Netns, from: number, to: number): Promise<void> {
  await ns.run(compiled('flows'), 'make', String(from), String(to));
}

/** Flows that begin, change and end. @param perSecond events; 0 is as fast as it goes */
async function churn(ns: Netns, perSecond: number, lives: number): Promise<{ lives: number; kept: number }> {
  const text = await ns.run(compiled('flows'), 'live', String(perSecond), String(lives), String(KEEP));
  return JSON.parse(text) as { lives: number; kept: number };
}

/** Asks until the table is conntrack's; how often that takes depends on what was lost. */
function untilSame(ns: Netns, follower: Child): Promise<Followed> {
  return until('the flows of conntrack in the table', async () => {
    const followed = await ask(follower);
    const theirs = flowTexts(await flowsByConntrack(ns));
    return followed.flows.length === theirs.length && followed.flows.every((flow, at) => flow === theirs[at])
      ? followed
      : undefined;
  });
}

spec('conntrack, followed through a churn', (test) => {
  const needs = ['netns', 'netfilter-conntrack', 'conntrack-tool', 'gcc'] as const;

  for (const how of ['events alone', 'events and dumps at the same time'] as const) {
    test(
      `of ${LIVES} flows has those that are left, by ${how}`,
      async () => {
        await using ns = await makeNetns('churn');
        // Nobody told of these: they come by the first dump.
        await makeFlows(ns, 1_000_000, 1_010_000);
        await using follower = await startFollower(
          ns,
          LARGE_QUEUE,
          ...(how === 'events alone' ? [] : ['dumps' as const]),
        );
        const { lives, kept } = await churn(ns, 60_000, LIVES);
        assert.is(lives, LIVES);
        const told = await ask(follower);
        const theirs = flowTexts(await flowsByConntrack(ns));
        assert.is(theirs.length, 10_000 + kept);
        if (told.counters.conntrack_event_overflows === 0) {
          assert.equal(told.flows, theirs);
          // Each begin and each end was told, and none was guessed.
          assert.is(told.counters.conntrack_begun, LIVES);
          assert.is(told.counters.conntrack_ended, LIVES - kept);
          assert.is(told.counters.conntrack_vanished, 0);
          assert.is(told.counters.conntrack_unknown_ends, 0);
        } else {
          // A machine that is too busy to listen: dumps have to mend it.
          await untilSame(ns, follower);
        }
        assert.is(told.counters.conntrack_undecodable, 0);
        assert.is(told.counters.conntrack_untracked, 0);
      },
      { needs, timeoutMs: 180_000 },
    );
  }

  test(
    'loses events when it does not listen, says so, and has every flow again by its dumps',
    async () => {
      await using ns = await makeNetns('churn');
      await using follower = await startFollower(ns, SMALL_QUEUE);
      await makeFlows(ns, 1_000_000, 1_001_000);
      await untilSame(ns, follower);
      follower.kill('SIGSTOP');
      const { kept } = await churn(ns, 0, 5_000);
      follower.kill('SIGCONT');
      const mended = await untilSame(ns, follower);
      assert.is(mended.flows.length, 1_000 + kept);
      assert.ok((mended.counters.conntrack_event_overflows ?? 0) > 0);
      assert.ok((mended.counters.conntrack_resyncs ?? 0) > 0);
      assert.ok(mended.conditions.includes('CONNTRACK_EVENTS_LOST'), mended.conditions.join());
      // Those that were there before are not taken for new ones, and those that ended unseen are gone.
      follower.kill('SIGSTOP');
      await ns.run('conntrack', '-D', '-p', 'tcp');
      follower.kill('SIGCONT');
      const emptied = await untilSame(ns, follower);
      assert.equal(emptied.flows, []);
    },
    { needs, timeoutMs: 180_000 },
  );

  test(
    'ends in order when it is told to in the middle',
    async () => {
      await using ns = await makeNetns('churn');
      await using follower = await startFollower(ns, LARGE_QUEUE, 'dumps');
      const churning = churn(ns, 40_000, 20_000);
      await ask(follower);
      const { code } = await follower.stop();
      assert.is(code, 0);
      await churning;
    },
    { needs, timeoutMs: 180_000 },
  );
});
