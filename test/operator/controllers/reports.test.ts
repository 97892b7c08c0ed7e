/** The reports controller on a real API server; what agents would report is handed in as the fleet's view. */

import * as assert from 'uvu/assert';
import type { NodeTcpReportStatus } from '../../../operator/api/v1alpha1/node-tcp-report.ts';
import type { TcpReportStatus } from '../../../operator/api/v1alpha1/tcp-report.ts';
import { createReportsController } from '../../../operator/controllers/reports/controller.ts';
import type { NodeView } from '../../../operator/fleet/view.ts';
import type { EventInput } from '../../../operator/kube/event-recorder.ts';
import { DIAGNOSIS_POLICIES, NODE_TCP_REPORTS, TCP_REPORTS } from '../../../operator/kube/resource.ts';
import { createInventory } from '../../../operator/workloads/inventory.ts';
import type { ApiServer } from '../../cluster/api-server.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { installCrds } from '../../cluster/crds.ts';
import { spec } from '../../harness.ts';
import { sampleReport } from '../../support/report.ts';
import { until } from '../../support/until.ts';

const NEEDS = { needs: ['cluster' as const], timeoutMs: 300_000 };
const log = { log: () => {} };

interface Scene extends AsyncDisposable {
  readonly server: ApiServer;
  readonly events: EventInput[];
  /** What the agents say now. */
  nodes: NodeView[];
  /** Ahead of the machine's clock. */
  aheadMs: number;
}

async function scene(): Promise<Scene> {
  await using starting = new AsyncDisposableStack();
  const server = starting.use(await startApiServer());
  await installCrds(server);
  await server.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'ferry' } }));
  const events: EventInput[] = [];
  const at = { server, events, nodes: [] as NodeView[], aheadMs: 0 };
  const inventory = createInventory({ client: server.client, log });
  const controller = createReportsController({
    client: server.client,
    inventory,
    fleet: { view: () => at.nodes },
    recorder: { record: (event) => void events.push(event) },
    log,
    nowMs: () => Date.now() + at.aheadMs,
    roundMs: 100,
  });
  inventory.start();
  controller.start();
  starting.defer(() => inventory.stop());
  starting.defer(() => controller.stop());
  const running = starting.move();
  return Object.assign(at, { [Symbol.asyncDispose]: () => running.disposeAsync() });
}

/** A Deployment's pod on the node, as the API server has it; answers its UID. */
async function shopPod(server: ApiServer): Promise<string> {
  const meta = { namespace: 'default', labels: { app: 'shop' } };
  const owner = async (kind: string, name: string) => {
    const uid = await server.kubectl('get', kind, name, '-o', 'jsonpath={.metadata.uid}');
    return { apiVersion: 'apps/v1', kind, name, uid, controller: true };
  };
  const template = { metadata: { labels: meta.labels }, spec: { containers: [{ name: 'app', image: 'x' }] } };
  const selector = { matchLabels: meta.labels };
  const workload = {
    apiVersion: 'apps/v1',
    metadata: { ...meta, name: 'shop' },
    spec: { selector, template },
  };
  await server.apply(JSON.stringify({ ...workload, kind: 'Deployment' }));
  const ownedBy = async (kind: string, name: string) => ({
    ...meta,
    ownerReferences: [await owner(kind, name)],
  });
  const set = { ...(await ownedBy('Deployment', 'shop')), name: 'shop-5d9f' };
  await server.apply(JSON.stringify({ ...workload, kind: 'ReplicaSet', metadata: set }));
  const pod = { ...(await ownedBy('ReplicaSet', 'shop-5d9f')), name: 'shop-5d9f-abcde' };
  const spec = { ...template.spec, nodeName: 'ferry' };
  await server.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: pod, spec }));
  return server.kubectl('get', 'pod', pod.name, '-o', 'jsonpath={.metadata.uid}');
}

function view(
  at: Scene,
  uid: string | undefined,
  closeWait: number,
  changes: Partial<NodeView> = {},
): NodeView {
  const { boot, agent, sockets, conntrack, health } = sampleReport();
  if (sockets === undefined || conntrack === undefined) throw new Error('the sample lacks tables');
  const holder = {
    state: 'CLOSE-WAIT' as const,
    direction: 'outbound' as const,
    process: { pid: 7, name: 'java' },
    attribution: 'socket' as const,
    peer: '10.0.0.9',
    port: 5432,
    count: closeWait,
    oldestMs: 700_000,
  };
  const pods = uid === undefined ? [] : [{ uid, states: [{ state: holder.state, count: closeWait }] }];
  const holders = uid === undefined || closeWait === 0 ? [] : [{ ...holder, pod: { uid } }];
  return {
    name: 'ferry',
    boot,
    seq: 1,
    lastReportMs: Date.now() + at.aheadMs,
    stale: false,
    reports: { applied: 1, duplicates: 0, missing: 0, boots: 1 },
    agent,
    sockets: { ...sockets, holders, pods },
    conntrack,
    health,
    conditions: [],
    probes: [],
    assigned: [],
    ...changes,
  };
}

async function tcpReport(at: Scene, matches: (status: TcpReportStatus) => boolean): Promise<TcpReportStatus> {
  return until('a TCPReport as wanted', async () => {
    const { items } = await at.server.client.list(TCP_REPORTS, { namespace: 'default' });
    const status = items[0]?.status as TcpReportStatus | undefined;
    return status !== undefined && matches(status) ? status : undefined;
  });
}

/** The last Event; it is recorded a moment after the status is written. */
async function told(at: Scene, reason: string): Promise<EventInput> {
  return until(`an Event ${reason}`, () => {
    const last = at.events.at(-1);
    return last?.reason === reason ? last : undefined;
  });
}

spec('reports on a real API server', (test) => {
  test(
    'tell of a workload that does not close, with an Event, and go when it is quiet',
    async () => {
      await using at = await scene();
      const uid = await shopPod(at.server);
      at.nodes = [view(at, uid, 5)];
      await tcpReport(at, ({ closeWait, verdict }) => closeWait.count === 5 && verdict === 'OK');
      assert.equal(at.events, [], 'five are told of and are no problem');
      at.nodes = [view(at, uid, 150)];
      const piled = await tcpReport(at, ({ verdict }) => verdict === 'CLOSE_WAIT piles up');
      assert.equal([piled.topPeer, piled.topProcess, piled.podCount], ['10.0.0.9:5432', 'java', 1]);
      const table = await at.server.kubectl('get', 'tcpr');
      assert.match(table, /^deployment-shop +0 +150 +\S+ +10\.0\.0\.9:5432 +CLOSE_WAIT piles up +\S+$/m);
      assert.ok((table.split('\n')[1] ?? '').length <= 120);
      const event = await told(at, 'CloseWaitPilesUp');
      assert.equal(
        [event?.type, event?.reason, event?.regarding.kind],
        ['Warning', 'CloseWaitPilesUp', 'Deployment'],
      );
      const report = await at.server.client.get(TCP_REPORTS, 'default', 'deployment-shop');
      const owners = report.metadata?.ownerReferences as readonly { kind: string }[];
      assert.is(owners[0]?.kind, 'Deployment', 'it goes with its workload');

      at.nodes = [view(at, uid, 0)];
      await tcpReport(at, ({ closeWait, verdict }) => closeWait.count === 0 && verdict === 'OK');
      at.aheadMs += 6 * 60_000;
      at.nodes = [view(at, uid, 0)];
      await until('the report is gone', async () => {
        const { items } = await at.server.client.list(TCP_REPORTS, { namespace: 'default' });
        return items.length === 0 ? true : undefined;
      });
    },
    NEEDS,
  );

  test(
    'of a node go with it, and say when its agent falls silent',
    async () => {
      await using at = await scene();
      at.nodes = [view(at, undefined, 0)];
      const status = async () =>
        (await at.server.client.get(NODE_TCP_REPORTS, undefined, 'ferry')).status as
          | NodeTcpReportStatus
          | undefined;
      await until('the report', () =>
        status().then(
          (found) => found?.established === 12 || undefined,
          () => undefined,
        ),
      );
      assert.match(await at.server.kubectl('get', 'ntcpr'), /^ferry +OK +probe +12 +3 +2 +0% +71% +\S+$/m);
      const report = await at.server.client.get(NODE_TCP_REPORTS, undefined, 'ferry');
      assert.is(
        (report.metadata?.ownerReferences as readonly { kind: string }[] | undefined)?.[0]?.kind,
        'Node',
      );
      at.nodes = [view(at, undefined, 0, { stale: true })];
      await until('it is silent', async () =>
        (await status())?.agent.state === 'Silent' ? true : undefined,
      );
      await told(at, 'Silent');
      at.nodes = [view(at, undefined, 0)];
      await until('it is back', async () => ((await status())?.agent.state === 'OK' ? true : undefined));
      await told(at, 'AgentReportingAgain');
    },
    NEEDS,
  );

  test(
    'follow the policies, whose status says where they hold',
    async () => {
      await using at = await scene();
      const uid = await shopPod(at.server);
      const closeWait = { reportCount: 1, reportAge: '1s', problemCount: 3, problemAge: '1s' };
      await at.server.client.create(DIAGNOSIS_POLICIES, {
        metadata: { name: 'strict' },
        spec: { closeWait, events: false },
      });
      at.nodes = [view(at, uid, 5)];
      await tcpReport(at, ({ verdict }) => verdict === 'CLOSE_WAIT piles up');
      assert.equal(at.events, [], 'the policy wants no Events');
      const namespaces = (await at.server.kubectl('get', 'ns', '-o', 'name')).trim().split('\n').length;
      await until('the status', async () => {
        const { status } = await at.server.client.get(DIAGNOSIS_POLICIES, undefined, 'strict');
        return (status as { namespaces?: number } | undefined)?.namespaces === namespaces ? true : undefined;
      });
      assert.match(await at.server.kubectl('get', 'dpol'), /^strict +0 +\d+ +3 +1s +false +True/m);
    },
    NEEDS,
  );
});
