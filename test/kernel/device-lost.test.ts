import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Condition } from '#base/errors.ts';
import { spec } from '../harness.ts';
import { makeNetns } from '../support/netns.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const needs = ['root', 'tun', 'netns'] as const;

spec('an agent whose TUN device is removed', (test) => {
  test(
    'makes another one, and tells what happened without calling it a bug',
    async () => {
      await using ns = await makeNetns('lost');
      await using dir = await makeTempDir('lost');
      const token = join(dir.path, 'token');
      writeFileSync(token, 'token');
      const args = ['agent', '--token-file', token, '--state-dir', join(dir.path, 'state')];
      await using agent = ns.finwait([...args, '--sweep-interval', '200ms']);
      await agent.output(/the TCP engine runs/, { stream: 'stderr' });
      await ns.run('ip', 'link', 'delete', 'finwait0');
      await agent.output(/the TCP engine runs.*the TCP engine runs/s, { stream: 'stderr' });
      assert.match(await ns.run('ip', '-br', 'link'), 'finwait0');
      const conditions = await until('readiness', async () => {
        const { code, stdout } = await ns.try('curl', '-sf', 'http://127.0.0.1:7463/readyz');
        return code === 0 ? (JSON.parse(stdout).conditions as Condition[]) : undefined;
      });
      assert.ok(conditions.some(({ code }) => code === 'TUN_LOST'));
      assert.not.match(agent.stderr, /bug of finwait|WORKER_DIED/);
      assert.is((await agent.stop()).code, 0);
      assert.not.match(await ns.run('ip', '-br', 'link'), 'finwait0');
    },
    { needs },
  );

  test(
    'is one of two on a machine: neither notices what happens in the network of the other',
    async () => {
      await using dir = await makeTempDir('two');
      await using a = await makeNetns('nodea');
      await using b = await makeNetns('nodeb');
      const token = join(dir.path, 'token');
      writeFileSync(token, 'token');
      const start = (ns: typeof a, name: string) =>
        ns.finwait(['agent', '--token-file', token, '--state-dir', join(dir.path, name), '--footprint']);
      await using first = start(a, 'a');
      await using second = start(b, 'b');
      for (const agent of [first, second])
        await agent.output(/the TCP engine runs device=finwait0/, { stream: 'stderr' });
      await first.stop();
      assert.match(await b.run('ip', '-br', 'link'), 'finwait0');
      const { stdout } = await b.try('curl', '-s', 'http://127.0.0.1:7463/metrics');
      assert.match(stdout, /engine_events_total\{event="tun_changes_by_others"\} 0/);
    },
    { needs },
  );
});
