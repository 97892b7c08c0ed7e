import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { ask, startFollower } from './conntrack-follower.ts';

const QUEUE_BYTES = 1 << 20;
const RULES =
  'add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in ct state invalid drop';
const REFUSED = "require('node:net').connect(9, '127.0.0.1').on('error', () => console.log('refused'))";

/** A flow that no packet makes, with time left, and its deletion. */
async function makeAndDelete(ns: Netns, state: string, port: number): Promise<void> {
  const name = ['-p', 'tcp', '-s', '192.0.2.1', '-d', '192.0.2.2', '--sport', String(port), '--dport', '9'];
  await ns.run('conntrack', '-I', ...name, '-t', '100', '--state', state);
  await ns.run('conntrack', '-D', ...name);
}

spec('the last word of the kernel', (test) => {
  test(
    'tells a refusal from a flow that was taken away, as a full table does it',
    async () => {
      await using ns = await makeNetns('ends');
      await ns.run('nft', RULES);
      await using follower = await startFollower(ns, QUEUE_BYTES);
      await ns.run(process.execPath, '-e', REFUSED);
      for (const [at, state] of ['SYN_SENT', 'TIME_WAIT', 'ESTABLISHED'].entries()) {
        await makeAndDelete(ns, state, 1_000 + at);
      }
      const { activity } = await until('four ends', async () => {
        const followed = await ask(follower);
        const ends = followed.activity?.ends ?? [];
        return ends.reduce((sum, { count }) => sum + count, 0) < 4 ? undefined : followed;
      });
      assert.equal(
        activity?.ends.toSorted((a, b) => a.count - b.count),
        [
          { reason: 'refused', count: 1 },
          { reason: 'removed', count: 3 },
        ],
      );
    },
    { needs: ['netns', 'netfilter-conntrack', 'conntrack-tool', 'nft'] },
  );
});
