/** The test cluster itself: what the tests of the product rely on, and that it goes without a trace. */

import { existsSync, readdirSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { watchLeftovers } from '../support/leftovers.ts';
import { until } from '../support/until.ts';
import { removeCluster } from './clean.ts';
import { clusterUp } from './cluster.ts';
import { apply, kubectl } from './control-plane.ts';
import { BASE_IMAGE, baseArchive, importImage } from './images.ts';
import { NODES, RUN } from './layout.ts';
import { running } from './processes.ts';

const NEEDS = ['root', 'netns', 'nft', 'cluster'] as const;

/** A web server that says which node it is on. */
const SERVER = `require('node:http').createServer((_, res) => res.end(process.env.NODE)).listen(8080)`;

function serverPods(): object[] {
  const metadata = { name: 'server', labels: { app: 'server' } };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata,
      spec: {
        selector: { matchLabels: metadata.labels },
        template: {
          metadata: { labels: metadata.labels },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: 'server',
                image: BASE_IMAGE,
                imagePullPolicy: 'Never',
                command: ['node', '-e', SERVER],
                env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
                readinessProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: metadata.labels, ports: [{ port: 80, targetPort: 8080 }] },
    },
  ];
}

spec(
  'test cluster',
  (test) => {
    test(
      'runs pods on two nodes that reach each other by Service and name, and goes without a trace',
      async () => {
        const watch = watchLeftovers();
        const cgroups = () => readdirSync('/sys/fs/cgroup/pids').filter((name) => name.startsWith('fw-'));
        try {
          await clusterUp((line) => console.log(line));
          const archive = await baseArchive(console.log);
          for (const node of NODES) await importImage(node, archive);
          await apply(...serverPods());
          await kubectl('rollout', 'status', 'daemonset/server', '--timeout=180s');
          const pods = (await kubectl('get', 'pods', '-o', 'name')).trim().split('\n');
          assert.is(pods.length, NODES.length);

          const asked = `
            const seen = new Set();
            const url = 'http://server.default.svc.cluster.local/';
            // The name and the Service's rules reach the nodes when they reach them.
            for (const end = Date.now() + 90_000; seen.size < 2 && Date.now() < end; ) {
              const answer = await fetch(url, { headers: { connection: 'close' } }).catch(() => undefined);
              if (answer !== undefined) seen.add(await answer.text());
            }
            console.log([...seen].sort().join(' '));`;
          for (const pod of pods) {
            const answer = await kubectl('exec', pod, '--', 'node', '--input-type=module', '-e', asked);
            assert.is(answer.trim(), NODES.map(({ name }) => name).join(' '));
          }
          await kubectl('logs', pods[0] ?? '');
        } finally {
          await removeCluster();
        }
        assert.equal(running(), []);
        assert.is(existsSync(RUN), false);
        await until('the cgroups are gone', () => (cgroups().length === 0 ? true : undefined));
        await watch.assertNothingLeft();
      },
      { timeoutMs: 1_200_000, needs: NEEDS },
    );

    test(
      'is taken away after its processes were killed',
      async () => {
        const watch = watchLeftovers();
        await clusterUp((line) => console.log(line));
        await apply(...serverPods());
        await until('pods have sandboxes', () =>
          readdirSync('/run/netns').find((name) => name.startsWith('cni-')),
        );
        for (const { pid } of running()) process.kill(pid, 'SIGKILL');
        await removeCluster();
        assert.equal(running(), []);
        assert.is(existsSync(RUN), false);
        await watch.assertNothingLeft();
      },
      { timeoutMs: 900_000, needs: NEEDS },
    );
  },
  { exclusive: true },
);
