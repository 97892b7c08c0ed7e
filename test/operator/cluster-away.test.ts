import * as assert from 'uvu/assert';
import { startApiServer } from '../cluster/api-server.ts';
import { spec } from '../harness.ts';
import { prepareNamespace, requestToken } from '../support/agent-tokens.ts';
import { startAnyOf } from '../support/any-of.ts';
import { caOf, leaderOf, operatorKubeconfig, startClusterOperator } from '../support/cluster-operator.ts';
import { sampleReport } from '../support/report.ts';
import { until } from '../support/until.ts';

spec('operator: without its API server', (test) => {
  test(
    'knows whom it knew, gives its lead up in time, and leads again when the API server is back',
    async () => {
      await using server = await startApiServer();
      await prepareNamespace(server, 'ferry');
      const way = await startAnyOf([server.port]);
      const kubeconfig = await operatorKubeconfig(server, way.port);
      await using operator = await startClusterOperator('one', kubeconfig);
      await leaderOf([operator]);
      const [known, stranger] = [await requestToken(server), await requestToken(server)];
      const ca = await caOf(server);
      const before = await operator.post(known, sampleReport(), ca);
      assert.is(before.status, 200);

      await way[Symbol.asyncDispose]();
      assert.is((await operator.post(known, sampleReport({ seq: 2 }), ca)).status, 200);
      const asked = await operator.post(stranger, sampleReport({ seq: 3 }), ca);
      assert.equal([asked.status, asked.body.error?.code, asked.retryAfter], [503, 'REVIEW_FAILED', '2']);

      const led = await until('the lead is given up', async () => {
        const { status, retryAfter, body } = await operator.post(known, sampleReport({ seq: 3 }), ca);
        return body.error?.code === 'NOT_LEADER' ? { status, retryAfter } : undefined;
      });
      assert.equal(led, { status: 503, retryAfter: '1' });
      const alone = await operator.overview();
      assert.equal(alone.nodes, [], 'what it knew would grow old');
      assert.ok(alone.operator.conditions.some(({ code }) => code === 'KUBE_API_FAILED'));
      assert.is((await fetch(`http://127.0.0.1:${operator.webPort}/readyz`)).status, 200);

      const again = await startAnyOf([server.port], way.port);
      await leaderOf([operator]);
      const after = await operator.post(known, sampleReport({ seq: 3 }), ca);
      assert.is(after.status, 200);
      assert.is.not(
        after.body.instance,
        before.body.instance,
        'a term of its own: agents send again what is open',
      );

      await again[Symbol.asyncDispose]();
      assert.equal(await operator.child.stop('SIGTERM'), { code: 0, signal: null }, 'and it can end');
    },
    { needs: ['cluster'], timeoutMs: 300_000 },
  );
});
