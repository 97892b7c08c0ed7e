import { X509Certificate } from 'node:crypto';
import * as assert from 'uvu/assert';
import { CONTRACT_LIMITS } from '#contract';
import { SECRETS } from '../../operator/kube/resource.ts';
import { startApiServer } from '../cluster/api-server.ts';
import { spec } from '../harness.ts';
import {
  foreignKey,
  NAMESPACE,
  ownKey,
  prepareNamespace,
  requestToken,
  resigned,
} from '../support/agent-tokens.ts';
import { caOf, leaderOf, operatorKubeconfig, startClusterOperator } from '../support/cluster-operator.ts';
import { sampleReport } from '../support/report.ts';
import { until } from '../support/until.ts';

spec('operator: in a cluster', (test) => {
  test(
    'knows agents by tokens that the API server vouches for, and takes the node from nothing else',
    async () => {
      await using server = await startApiServer();
      await prepareNamespace(server, 'ferry');
      await using operator = await startClusterOperator('one', await operatorKubeconfig(server));
      await leaderOf([operator]);
      const ca = await caOf(server);
      const good = await requestToken(server);
      const accepted = await operator.post(good, sampleReport(), ca);
      assert.is(accepted.status, 200);
      assert.is(accepted.body.seq, 1);
      assert.is((await operator.overview()).nodes[0]?.name, 'ferry');

      const past = { iat: 1_700_000_000, nbf: 1_700_000_000, exp: 1_700_003_600 };
      const elsewhere = sampleReport({ seq: 2, agent: { ...sampleReport().agent, node: 'barge' } });
      const tooLarge = ' '.repeat(CONTRACT_LIMITS.bodyBytes + 1);
      const own = ownKey(server);
      const cases: readonly (readonly [string, string, number, string, unknown?])[] = [
        ['a stranger’s word', 'not-a-token-of-anything', 401, 'UNAUTHENTICATED'],
        ['another cluster’s', resigned(good, foreignKey(), {}), 401, 'UNAUTHENTICATED'],
        ['expired', resigned(good, own, past), 401, 'TOKEN_EXPIRED'],
        [
          'another audience’s',
          await requestToken(server, { audience: 'vault' }),
          401,
          'TOKEN_WRONG_AUDIENCE',
        ],
        [
          'another ServiceAccount’s',
          await requestToken(server, { account: 'default', pod: undefined }),
          403,
          'TOKEN_WRONG_ACCOUNT',
        ],
        ['bound to no pod', await requestToken(server, { pod: undefined }), 403, 'TOKEN_WITHOUT_NODE'],
        ['with another node in the report', good, 403, 'NODE_MISMATCH', elsewhere],
        ['with a body over the bound', good, 413, 'REPORT_TOO_LARGE', tooLarge],
      ];
      for (const [what, token, status, code, body = sampleReport({ seq: 2 })] of cases) {
        const answer = await operator.post(token, body as string, ca);
        assert.is(answer.body.error?.code, code, `${what}: ${answer.body.error?.message}`);
        assert.is(answer.status, status, what);
        assert.ok((answer.body.error?.hint ?? '').length > 10, what);
      }
      // Our own signature with a claim made up is as good as the API server's: only its review tells.
      const forged = resigned(good, foreignKey(), { 'kubernetes.io': { node: { name: 'barge' } } });
      assert.is((await operator.post(forged, sampleReport({ seq: 2 }), ca)).status, 401);

      const { operator: view, nodes } = await operator.overview();
      assert.equal(
        nodes.map(({ name }) => name),
        ['ferry'],
      );
      assert.is(nodes[0]?.reports.applied, 1);
      assert.is(view.objects?.pods, 1);
      for (const [, , , code] of cases) assert.ok((view.counters[`refused.${code}`] ?? 0) > 0, code);
      assert.ok((view.counters['reviews.asked'] ?? 0) < 8, 'one for each token that could be good');

      await server.kubectl('delete', 'pod', 'agent', '-n', NAMESPACE, '--grace-period=0', '--force');
      assert.is((await operator.post(good, sampleReport({ seq: 2 }), ca)).status, 200, 'remembered');
      assert.equal(await operator.child.stop('SIGTERM'), { code: 0, signal: null });
    },
    { needs: ['cluster'], timeoutMs: 300_000 },
  );

  test(
    'says that it may not ask, and that the Secret it needs is not there',
    async () => {
      await using server = await startApiServer();
      await prepareNamespace(server, 'ferry');
      const kubeconfig = await operatorKubeconfig(server);
      const absent = await startClusterOperator('one', kubeconfig, ['--tls-secret', 'none']).catch(String);
      assert.match(String(absent), 'TLS_SECRET_UNUSABLE');
      assert.match(String(absent), 'Secret none');

      await server.kubectl('delete', 'clusterrole', `${NAMESPACE}-finwait-operator`);
      await using operator = await startClusterOperator('one', kubeconfig);
      await leaderOf([operator]);
      const answer = await operator.post(await requestToken(server), sampleReport(), await caOf(server));
      assert.is(answer.status, 503);
      assert.is(answer.body.error?.code, 'REVIEW_FAILED');
      assert.match(answer.body.error?.message ?? '', 'tokenreviews');
      assert.is(answer.retryAfter, '2');
    },
    { needs: ['cluster'], timeoutMs: 300_000 },
  );

  test(
    'shares one TLS identity between replicas, for the names it was given',
    async () => {
      await using server = await startApiServer();
      await prepareNamespace(server, 'ferry');
      const kubeconfig = await operatorKubeconfig(server);
      const names = ['--tls-name', `finwait-operator.${NAMESPACE}.svc`];
      const replicas = await Promise.all(
        ['one', 'two', 'three'].map((name) => startClusterOperator(name, kubeconfig, names)),
      );
      await using cleanup = new AsyncDisposableStack();
      for (const replica of replicas) cleanup.use(replica);
      const { data } = await server.client.get(SECRETS, NAMESPACE, 'finwait-tls');
      const cert = Buffer.from((data as Record<string, string>)['tls.crt'] ?? '', 'base64').toString();
      assert.ok(new X509Certificate(cert).checkHost(`finwait-operator.${NAMESPACE}.svc`));
      const leader = await leaderOf(replicas);
      const token = await requestToken(server);
      const ca = await caOf(server);
      for (const replica of replicas) {
        const knowsLeader = async () => (await replica.overview()).operator.leadership?.leader;
        // Until it has heard of one it answers 503.
        await until(`${replica.name} has heard of the leader`, knowsLeader);
        const { status, body } = await replica.post(token, sampleReport(), ca);
        assert.is(status, replica === leader ? 200 : 421, replica.name);
        if (replica === leader) continue;
        assert.is(body.error?.code, 'NOT_LEADER');
        assert.is(body.leader, `https://127.0.0.1:${leader.ingestPort}`);
        const view = (await replica.overview()).operator.leadership;
        assert.equal(view, { leads: false, leader: { name: leader.name, address: body.leader } });
        const readiness = await fetch(`http://127.0.0.1:${replica.webPort}/readyz`);
        assert.is(readiness.status, 200);
        assert.equal(await readiness.json(), { status: 'ready', leadership: view });
      }
    },
    { needs: ['cluster'], timeoutMs: 300_000 },
  );

  test(
    'forgets a node that was deleted, when its agent has fallen silent',
    async () => {
      await using server = await startApiServer();
      await prepareNamespace(server, 'ferry');
      await using operator = await startClusterOperator('one', await operatorKubeconfig(server));
      await leaderOf([operator]);
      const [token, ca] = [await requestToken(server), await caOf(server)];
      assert.is((await operator.post(token, sampleReport(), ca)).status, 200);
      const nodes = async () => (await operator.overview()).nodes;
      await until('it is silent', async () => (await nodes())[0]?.stale || undefined, 30_000);
      await server.kubectl('delete', 'node', 'ferry');
      await until('it is forgotten', async () => (await nodes()).length === 0 || undefined, 30_000);
      assert.is((await operator.overview()).operator.counters.nodesForgotten, 1);
    },
    { needs: ['cluster'], timeoutMs: 180_000 },
  );
});
