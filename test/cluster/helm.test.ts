/**
 * What docs/install.md says, done on a real cluster of two nodes with a real Collector: install, probe, look, upgrade, lose
 * the leader, uninstall. The tests build on each other.
 */

import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import type { Collector } from '../support/collector.ts';
import { startCollector } from '../support/collector.ts';
import { watchLeftovers } from '../support/leftovers.ts';
import type { CollectedSpan } from '../support/otlp-json.ts';
import { until } from '../support/until.ts';
import { removeCluster } from './clean.ts';
import { clusterUp } from './cluster.ts';
import { apply, kubectl } from './control-plane.ts';
import { backend, backendProbe, DEMO_NAMESPACE, LEAKED, shop } from './demo.ts';
import { baseArchive, importImage } from './images.ts';
import { HOST_ADDRESS, NODES } from './layout.ts';
import { startNodePod } from './node-pod.ts';
import {
  agentOn,
  helmTest,
  inCluster,
  inPod,
  install,
  leaderName,
  loadProductImage,
  makeNamespace,
  NAMESPACE,
  objectsOf,
  onNodes,
  overviewOf,
  uninstall,
  upgrade,
} from './release.ts';

const NEEDS = ['root', 'netns', 'tun', 'nft', 'cluster', 'collector'] as const;
const LIMIT = { timeoutMs: 900_000, needs: NEEDS };
/** Much longer than anything takes that works, also on a slow machine. What it took is printed. */
const PATIENCE_MS = 180_000;
/** What a program that does not take SIGTERM would need to end. */
const GRACE_SECONDS = 120;

const NODE_NAMES = NODES.map(({ name }) => name);
const EXAMPLES = join(import.meta.dirname, '../../examples');

let collector: Collector;
let watch: ReturnType<typeof watchLeftovers>;

/** Whether a span is a probe of `steady` from a node. */
function isSteady(node: string): (span: CollectedSpan) => boolean {
  return ({ name, attributes }) =>
    name === 'tcp probe' &&
    attributes['finwait.probe.name'] === 'steady' &&
    attributes['finwait.node'] === node;
}

function startMsOf({ startNs }: CollectedSpan): number {
  return Number(startNs / 1_000_000n);
}

async function resultsOf(probe: string) {
  const path = ['get', 'handshakeprobe', probe, '--namespace', DEMO_NAMESPACE, '-o', 'json'];
  const { status } = JSON.parse(await kubectl(...path));
  return status?.results ?? [];
}

spec(
  'finwait by Helm',
  (test) => {
    test(
      'a cluster of two nodes is up, with the image in it and programs to look at',
      async () => {
        // What a run that died left is no part of the machine.
        await removeCluster();
        watch = watchLeftovers();
        await clusterUp((line) => console.log(line));
        collector = await startCollector({ host: HOST_ADDRESS });
        const base = await baseArchive(console.log);
        for (const node of NODES) await importImage(node, base);
        await loadProductImage();
        await apply(...backend());
        await kubectl('rollout', 'status', 'daemonset/backend', '-n', DEMO_NAMESPACE, '--timeout=180s');
      },
      { timeoutMs: 1_200_000, needs: NEEDS },
    );

    test(
      'helm install brings first results of both nodes, and helm test passes',
      async () => {
        await makeNamespace();
        const startMs = Date.now();
        const notes = await install({
          'otel.endpoint': collector.httpEndpoint,
          'agent.terminationGracePeriodSeconds': GRACE_SECONDS,
          'operator.terminationGracePeriodSeconds': GRACE_SECONDS,
        });
        const installedMs = Date.now() - startMs;
        await until(
          'a NodeTCPReport of each node',
          async () => {
            const reports = await objectsOf('nodetcpreports');
            const told = reports.filter(({ status }) => status?.agent?.state === 'OK');
            return told.length === NODES.length ? true : undefined;
          },
          PATIENCE_MS,
        );
        const firstMs = Date.now() - startMs;
        console.log(`helm install took ${installedMs} ms, first results of both nodes after ${firstMs} ms`);
        for (const command of ['helm test finwait', 'kubectl get nodetcpreports']) {
          assert.ok(notes.includes(command), notes);
        }
        assert.match(await helmTest(), /all 2 agents report: node-a, node-b/);
      },
      LIMIT,
    );

    test(
      'the image runs the programs as PID 1 of the right user, with its code compiled, and holds no second Node',
      async () => {
        const look = `echo $(cat /proc/1/comm) $(id -u) $(ls compiled | sed 's/.*-//') $(ls node_modules | grep -c node-linux)`;
        const agent = await inPod('daemonset/finwait-agent', 'sh', '-c', look);
        assert.is(agent.trim(), 'finwait agent 0 0 65532 0');
        const operator = await inPod('deployment/finwait-operator', 'sh', '-c', look);
        assert.is(operator.trim(), 'finwait operato 65532 0 65532 0');
        const sockets = await inPod('daemonset/finwait-agent', 'finwait', 'sockets', '--listening', '--json');
        assert.match(sockets, /7463/);
      },
      LIMIT,
    );

    test(
      'every example applies',
      async () => {
        await kubectl('apply', '-f', EXAMPLES);
        await kubectl('wait', '--for=condition=Accepted', 'diagnosispolicies', '--all', '--timeout=180s');
        const told = '--for=jsonpath={.status.observedGeneration}=1';
        await kubectl('wait', told, 'handshakeprobes', '--all', '--all-namespaces', '--timeout=180s');
        console.log(await kubectl('get', 'handshakeprobes,diagnosispolicies', '-A'));
        console.log(await kubectl('describe', 'diagnosispolicies'));
        await kubectl('delete', '-f', EXAMPLES, '--wait=false');
      },
      LIMIT,
    );

    test(
      'each node probes the pods of both nodes, through their Service and directly; the traces are in the Collector',
      async () => {
        await apply(backendProbe('check', { once: true }));
        const wait = ['wait', 'handshakeprobe/check', '--for=condition=Succeeded', '--timeout=180s'];
        await kubectl(...wait, '-n', DEMO_NAMESPACE);
        const results = await resultsOf('check');
        const pods = await objectsOf('pods', DEMO_NAMESPACE);
        for (const from of NODE_NAMES) {
          const ofNode = results.filter(({ node }: { node: string }) => node === from);
          const through = ofNode.filter(({ target }: { target: string }) => target === 'service');
          assert.is(through.length, 1, `${from} through the Service`);
          for (const { spec: pod, status } of pods) {
            const direct = ofNode.find(
              ({ target, address }: { target: string; address: string }) =>
                target === 'pods' && address === `${status.podIP}:80`,
            );
            assert.is(direct?.verdict, 'open', `${from} to the pod on ${pod.nodeName}`);
          }
        }
        const [{ traceId }] = results;
        const spans = await collector.spans((span) => span.traceId === traceId);
        assert.ok(spans.some(({ name }) => name === 'tcp handshake'));
        assert.ok(spans.some(({ name }) => name === 'tcp close'));
        console.log(await kubectl('get', 'handshakeprobes,nodetcpreports', '-A'));
        console.log(await kubectl('describe', 'handshakeprobe/check', '-n', DEMO_NAMESPACE));
        console.log(await kubectl('describe', 'nodetcpreport/node-a'));
      },
      LIMIT,
    );

    test(
      'a probe of a range that the chart forbids says so, and its other targets are probed',
      async () => {
        const service = { name: 'backend' };
        const targets = [
          { name: 'metadata', address: '169.254.169.254', port: 80 },
          { name: 'allowed', service, port: 'http' },
        ];
        await apply(backendProbe('kept-out', { once: true, targets }));
        const about = ['handshakeprobe/kept-out', '-n', DEMO_NAMESPACE];
        await kubectl('wait', ...about, '--for=condition=Accepted=false', '--timeout=180s');
        const jsonpath = 'jsonpath={.status.conditions[?(@.type=="Accepted")].message}';
        assert.match(await kubectl('get', ...about, '-o', jsonpath), /169\.254\.0\.0\/16/);
        await until('the result of the other target', async () => {
          const results: { target: string }[] = await resultsOf('kept-out');
          return results.some(({ target }) => target === 'allowed') ? true : undefined;
        });
        await kubectl('delete', ...about);
      },
      LIMIT,
    );

    test(
      'helm upgrade to mode inspect shows who leaks CLOSE_WAIT and who makes TIME_WAIT',
      async () => {
        await upgrade({ 'agent.mode': 'inspect' });
        await apply(shop());
        const report = await until(
          'the TCPReport of the shop',
          async () => {
            const reports = await objectsOf('tcpreports', DEMO_NAMESPACE);
            return reports.find(
              ({ spec: { workload }, status }) =>
                workload.name === 'shop' &&
                status?.closeWait?.count === LEAKED &&
                status.timeWait.count >= 100,
            );
          },
          PATIENCE_MS,
        );
        assert.is(report.spec.workload.kind, 'Deployment');
        assert.match(report.status.topProcess, /node/);
        console.log(await kubectl('get', 'tcpreports', '-A'));
        console.log(await kubectl('describe', `tcpreport/${report.metadata.name}`, '-n', DEMO_NAMESPACE));
      },
      LIMIT,
    );

    test(
      'in mode inspect the agent knows by the control group of a socket which pod of the node network it belongs to',
      async () => {
        const [node = ''] = NODE_NAMES;
        await using pod = await startNodePod(node, 9777);
        const row = await until(
          'its listener',
          async () => {
            const show = ['finwait', 'sockets', '--listening', '--port', '9777', '--json'];
            const [socket] = JSON.parse(await inPod(await agentOn(node), ...show));
            return socket;
          },
          PATIENCE_MS,
        );
        assert.equal([row.pod?.uid, row.podBy], [pod.uid, 'cgroup']);
        const reports = await objectsOf('nodetcpreports');
        const problems = reports.flatMap(({ status }) => status?.problems ?? []);
        assert.not.ok(problems.some(({ code }: { code: string }) => code === 'CGROUPS_HIDDEN'));
      },
      LIMIT,
    );

    test(
      'killing the leader of two costs no probe result; another leads, and has heard of all nodes',
      async () => {
        await upgrade({ 'operator.replicas': 2 });
        const targets = [{ name: 'service', service: { name: 'backend' }, port: 'http' }];
        await apply(backendProbe('steady', { targets, interval: '1s' }));
        for (const node of NODE_NAMES) {
          await collector.spans(isSteady(node), { count: 5, timeoutMs: 90_000 });
        }

        const killed = await leaderName();
        const killedMs = Date.now();
        await kubectl(
          'delete',
          'pod',
          killed,
          '-n',
          NAMESPACE,
          '--grace-period=0',
          '--force',
          '--wait=false',
        );
        const tookMs = await until(
          'another leader that has heard of both nodes',
          async () => {
            const name = await leaderName();
            if (name === killed || name === '') return undefined;
            const { nodes } = await overviewOf(name).catch(() => ({ nodes: [] }));
            const heard = nodes.filter(({ lastReportMs }) => lastReportMs > killedMs);
            return heard.length === NODES.length ? Date.now() - killedMs : undefined;
          },
          PATIENCE_MS,
        );
        console.log(`another operator led, and had heard of both nodes, after ${tookMs} ms`);

        // Each second has its probe of each node, also those around the kill: a report that was lost would make a gap of
        // five seconds or more. Nothing arrives twice.
        const endMs = Date.now() + 3_000;
        for (const node of NODE_NAMES) {
          const isLate = (span: CollectedSpan) => isSteady(node)(span) && startMsOf(span) > endMs;
          await collector.spans(isLate, { timeoutMs: 90_000 });
          const all = await collector.spans(isSteady(node));
          assert.is(new Set(all.map(({ traceId }) => traceId)).size, all.length, 'a probe came twice');
          const starts = all.map(startMsOf).sort((a, b) => a - b);
          const gaps = starts.slice(1).map((ms, index) => ms - (starts[index] ?? ms));
          assert.ok(Math.max(...gaps) < 5_000, `${node}: ${Math.max(...gaps)} ms without a result`);
        }
      },
      LIMIT,
    );

    test(
      'helm uninstall leaves cluster and nodes as they were, but for what people wrote',
      async () => {
        assert.ok(onNodes().length > 0);
        const logs = await kubectl('logs', 'deployment/finwait-operator', '--namespace', NAMESPACE);
        assert.not.match(logs, /HTTP 403|forbidden/i, 'the operator asks for no more than its roles allow');
        const startMs = Date.now();
        await uninstall();
        const tookMs = Date.now() - startMs;
        assert.ok(tookMs < GRACE_SECONDS * 1000, `uninstall took ${tookMs} ms`);
        await until('the nodes are clean', () => (onNodes().length === 0 ? true : undefined), PATIENCE_MS);
        await until(
          'the cluster is clean',
          async () => {
            const left = await inCluster();
            const kept = ['handshakeprobes.finwait.io', 'diagnosispolicies.finwait.io'];
            const rest = left.filter((name) => !kept.some((kind) => name.endsWith(`/${kind}`)));
            return rest.length === 0 ? true : undefined;
          },
          PATIENCE_MS,
        );
        const probes = await objectsOf('handshakeprobes', DEMO_NAMESPACE);
        assert.is(probes.length, 2, 'the probes are still there');
      },
      LIMIT,
    );

    test(
      'the cluster goes without a trace',
      async () => {
        await collector[Symbol.asyncDispose]();
        await removeCluster();
        await watch.assertNothingLeft();
      },
      LIMIT,
    );
  },
  { exclusive: true },
);
