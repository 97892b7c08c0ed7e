import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { HANDSHAKE_PROBES } from '../../operator/kube/resource.ts';
import { startApiServer } from '../cluster/api-server.ts';
import { installCrds } from '../cluster/crds.ts';
import { spec } from '../harness.ts';
import { NAMESPACE, prepareNamespace, requestToken } from '../support/agent-tokens.ts';
import { startAnyOf } from '../support/any-of.ts';
import type { Child } from '../support/child.ts';
import { startFinwait } from '../support/child.ts';
import type { ClusterOperator } from '../support/cluster-operator.ts';
import { caOf, leaderOf, operatorKubeconfig, startClusterOperator } from '../support/cluster-operator.ts';
import { sampleProbe, sampleReport } from '../support/report.ts';
import { until } from '../support/until.ts';

const NEEDS = { needs: ['cluster' as const], timeoutMs: 300_000 };
/** A request is given 15 s: a stop that waited for one would take longer. */
const SHORT_MS = 10_000;

/** How long it takes to end in order. */
async function stopMs(child: Child): Promise<number> {
  const startMs = performance.now();
  assert.equal(await child.stop('SIGTERM'), { code: 0, signal: null }, child.stderr);
  return performance.now() - startMs;
}

interface Stalled extends AsyncDisposable {
  readonly operator: ClusterOperator;
}

/** An operator that leads and writes a status, to an API server that has just ceased to answer. */
async function stalled(): Promise<Stalled> {
  await using starting = new AsyncDisposableStack();
  const server = starting.use(await startApiServer());
  await installCrds(server);
  await prepareNamespace(server, 'ferry');
  const way = starting.use(await startAnyOf([server.port]));
  const kubeconfig = await operatorKubeconfig(server, way.port);
  const operator = starting.use(await startClusterOperator('one', kubeconfig));
  await leaderOf([operator]);
  const metadata = { name: 'shop', namespace: NAMESPACE };
  const targets = [{ name: 'shop', address: '10.0.0.7', port: 80 }];
  const probe = { apiVersion: 'finwait.io/v1alpha1', kind: 'HandshakeProbe', metadata, spec: { targets } };
  await server.apply(JSON.stringify(probe));
  const { uid, generation } = await until('its first status', async () => {
    const { metadata, status } = await server.client.get(HANDSHAKE_PROBES, NAMESPACE, 'shop');
    return status === undefined ? undefined : metadata;
  });
  const token = await requestToken(server);
  const ca = await caOf(server);
  assert.is((await operator.post(token, sampleReport({ probes: [] }), ca)).status, 200);
  way.stall();
  const ref = `${NAMESPACE}/shop/shop/${uid}/${generation}`;
  const target = { name: 'shop', host: '10.0.0.7', port: 80, origin: 'user' as const, ref };
  const report = sampleReport({ seq: 2, probes: [sampleProbe({ target })] });
  assert.is((await operator.post(token, report, ca)).status, 200);
  // Nothing tells that a write is under way; it begins a fifth of a second after the result.
  await sleep(1000);
  const running = starting.move();
  return { operator, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

spec('operator: when the API server takes requests and does not answer', (test) => {
  test(
    'a leader that writes stops and waits for no answer',
    async () => {
      await using at = await stalled();
      const took = await stopMs(at.operator.child);
      assert.ok(took < SHORT_MS, `${took} ms`);
      assert.not.match(at.operator.child.stderr, 'shop could not be handled');
    },
    NEEDS,
  );

  test(
    'a term that is lost ends and waits for no answer, and another can begin',
    async () => {
      await using at = await stalled();
      const view = () => at.operator.overview();
      await until('the lead is lost', async () => !(await view()).operator.leadership?.leads || undefined);
      // What was known is forgotten when the term has ended.
      await until('the term has ended', async () => (await view()).nodes.length === 0 || undefined, SHORT_MS);
    },
    NEEDS,
  );

  test(
    'one that has not got its certificate yet stops and waits for no answer',
    async () => {
      await using server = await startApiServer();
      await prepareNamespace(server, 'ferry');
      await using way = await startAnyOf([server.port]);
      way.stall();
      const kubeconfig = await operatorKubeconfig(server, way.port);
      const names = ['--kubeconfig', kubeconfig, '--namespace', NAMESPACE, '--pod-name', 'one'];
      const listen = ['--ingest-listen', '127.0.0.1:0', '--web-listen', '127.0.0.1:0'];
      await using child = startFinwait([
        ...['operator', '--kubernetes', ...names, ...listen],
        ...['--tls-mode', 'secret'],
      ]);
      await way.reached;
      const took = await stopMs(child);
      assert.ok(took < SHORT_MS, `${took} ms`);
      assert.match(child.stderr, 'stopping before it was ready');
    },
    NEEDS,
  );
});
