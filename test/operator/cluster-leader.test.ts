import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { ReportCounts } from '../../operator/fleet/view.ts';
import { LEASES } from '../../operator/kube/resource.ts';
import { startApiServer } from '../cluster/api-server.ts';
import { installCrds } from '../cluster/crds.ts';
import { spec } from '../harness.ts';
import { NAMESPACE, prepareNamespace, requestToken } from '../support/agent-tokens.ts';
import { startAnyOf } from '../support/any-of.ts';
import { startProgram } from '../support/child.ts';
import {
  type ClusterOperator,
  caOf,
  leaderOf,
  mountCa,
  operatorKubeconfig,
  startClusterOperator,
} from '../support/cluster-operator.ts';
import { type Collector, startCollector } from '../support/collector.ts';
import { sampleReport } from '../support/report.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const AGENT = join(import.meta.dirname, '../daemon/agent-child.ts');
const EVERY_MS = 250;

interface LeaseSpec {
  readonly holderIdentity: string;
  readonly leaseDurationSeconds: number;
}

async function twoOperators(
  end: (leader: ClusterOperator, lease: () => Promise<LeaseSpec>) => Promise<void>,
) {
  await using server = await startApiServer();
  await using collector = await startCollector();
  await using dir = await makeTempDir('leader');
  await installCrds(server);
  await prepareNamespace(server, 'ferry');
  const kubeconfig = await operatorKubeconfig(server);
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.httpEndpoint, OTEL_BSP_SCHEDULE_DELAY: '200' };
  const start = (name: string) => startClusterOperator(name, kubeconfig, ['--report-interval', '1s'], env);
  await using first = await start('one');
  await using second = await start('two');
  const leader = await leaderOf([first, second]);
  const other = leader === first ? second : first;
  await using service = await startAnyOf([first.ingestPort, second.ingestPort]);
  await writeFile(join(dir.path, 'token'), await requestToken(server));
  await using agent = startProgram(
    process.execPath,
    [
      ...[
        AGENT,
        '--operator-url',
        `https://localhost:${service.port}`,
        '--token-file',
        join(dir.path, 'token'),
      ],
      ...['--ca-file', await mountCa(server, dir.path), '--state-dir', join(dir.path, 'state')],
      ...['--http-listen', '127.0.0.1:0', '--report-interval', '1s'],
    ],
    { env: { FAKE_EVERY_MS: String(EVERY_MS) } },
  );
  await until(
    'reports at the leader',
    async () => ((await reportsAt(leader))?.applied ?? 0) >= 4 || undefined,
  );
  assert.is(await reportsAt(other), undefined, 'the other takes none');

  const endedMs = performance.now();
  await end(
    leader,
    async () => (await server.client.get(LEASES, NAMESPACE, 'finwait-operator')).spec as LeaseSpec,
  );
  const found = await until('reports at the next leader', () => reportsAt(other), 90_000);
  const awayMs = performance.now() - endedMs;
  assert.ok(found.applied > 0);
  await until(
    'some more',
    async () => ((await reportsAt(other))?.applied ?? 0) >= found.applied + 3 || undefined,
  );
  await agent.stop('SIGTERM');
  assert.is((await reportsAt(other))?.duplicates, 0);
  assert.equal((await other.overview()).operator.conditions, []);
  return { awayMs, ...(await delivered(agent.stdout, collector)) };
}

async function reportsAt(operator: ClusterOperator): Promise<ReportCounts | undefined> {
  return (await operator.overview()).nodes[0]?.reports;
}

/** What of the probe results that the agent had reached the Collector, and how often. */
async function delivered(stdout: string, collector: Collector) {
  const made = [...stdout.matchAll(/^result (\w{32})$/gm)].map(([, id = '']) => id);
  const roots = await collector.spans(({ parentSpanId }) => parentSpanId === '', { count: made.length - 1 });
  const times = Map.groupBy(roots, ({ traceId }) => traceId);
  return {
    made: made.length,
    lost: made.filter((id) => !times.has(id)).length,
    twice: made.filter((id) => (times.get(id)?.length ?? 0) > 1).length,
  };
}

spec('operator: change of the leader', (test) => {
  test(
    'when it is killed, agents are with the next one, and no result is lost',
    async () => {
      const { awayMs, made, lost, twice } = await twoOperators(async (leader, lease) => {
        // It is missed when this has passed; the rest is the machine's.
        assert.is((await lease()).leaseDurationSeconds, 8);
        leader.child.kill('SIGKILL');
        await leader.child.ended;
      });
      console.log(
        `killed: next leader after ${Math.round(awayMs)} ms; ${made} results, ${lost} lost, ${twice} twice`,
      );
      assert.is(lost, 0);
      // Only what the dead leader exported and had no time to acknowledge: the results of one report, which are those
      // of a second, or of some where the machine is slow.
      assert.ok(twice <= 6 * (1000 / EVERY_MS), `${twice} results came twice`);
    },
    { needs: ['cluster', 'collector'], timeoutMs: 300_000 },
  );

  test(
    'when it ends in order, it gives the lead up, and every result comes exactly once',
    async () => {
      const { awayMs, made, lost, twice } = await twoOperators(async (leader, lease) => {
        assert.is((await lease()).holderIdentity, leader.name);
        assert.equal(await leader.child.stop('SIGTERM'), { code: 0, signal: null });
        assert.is.not((await lease()).holderIdentity, leader.name, 'the Lease was given up');
      });
      console.log(
        `ended: next leader after ${Math.round(awayMs)} ms; ${made} results, ${lost} lost, ${twice} twice`,
      );
      assert.equal({ lost, twice }, { lost: 0, twice: 0 });
    },
    { needs: ['cluster', 'collector'], timeoutMs: 300_000 },
  );

  test(
    'when it was frozen and wakes up, it takes nothing that belongs to the next one',
    async () => {
      await using server = await startApiServer();
      await prepareNamespace(server, 'ferry');
      const kubeconfig = await operatorKubeconfig(server);
      await using first = await startClusterOperator('one', kubeconfig);
      await leaderOf([first]);
      await using second = await startClusterOperator('two', kubeconfig);
      const [token, ca] = [await requestToken(server), await caOf(server)];
      assert.is((await first.post(token, sampleReport(), ca)).status, 200);
      first.child.kill('SIGSTOP');
      await leaderOf([second]);
      // Waits at the frozen one until it wakes up, and is the first thing it sees.
      const late = first.post(token, sampleReport({ seq: 2 }), ca);
      first.child.kill('SIGCONT');
      const { status, body } = await late;
      assert.ok(status === 421 || status === 503, `${status}`);
      assert.is(body.error?.code, 'NOT_LEADER');
      assert.is((await second.post(token, sampleReport({ seq: 2 }), ca)).status, 200);
    },
    { needs: ['cluster'], timeoutMs: 300_000 },
  );
});
