import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { startProgram } from '../support/child.ts';
import type { Left } from './namespaces-churn.ts';

const CHURN = `${import.meta.dirname}/namespaces-churn.ts`;
/** Without the processes of others, and without the mounts of namespaces that others make. */
const ISOLATED = [
  ...['unshare', '--net', '--pid', '--fork', '--mount-proc', '--kill-child', '--'],
  ...['sh', '-c', 'umount --recursive /run/netns 2>/dev/null; exec "$@"', 'sh'],
];
const PODS = 12;
const ROUNDS = 9;

spec('sweeps of namespaces that come and go', (test) => {
  test(
    'go on, keep nothing of what has gone, and leave each thread where it was',
    async () => {
      const args = [CHURN, String(PODS), String(ROUNDS)];
      await using churn = startProgram(process.execPath, args, { within: ISOLATED });
      const [line] = await churn.output(/^\{.*\}$/m, { timeoutMs: 150_000 });
      const left = JSON.parse(line) as Left;
      assert.ok(left.seen >= PODS);
      assert.ok((left.counters.namespaces_found ?? 0) >= (PODS * ROUNDS) / 3);
      assert.is(left.counters.namespaces_vanished, left.counters.namespaces_found);
      assert.is(left.counters.namespace_failures, 0);
      assert.is(left.counters.sockets_undecodable, 0);
      assert.ok(left.socketsAfter <= left.socketsBefore, `${left.socketsAfter} of ${left.socketsBefore}`);
      assert.is(left.namespaces, 1);
      const { code } = await churn.ended;
      assert.is(code, 0);
    },
    { needs: ['root', 'netns', 'gcc'], timeoutMs: 180_000 },
  );
});
