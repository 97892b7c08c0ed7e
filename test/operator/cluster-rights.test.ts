/** The operator's rights are those the chart gives it: none is missing, and none is there that it does not use. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { ProbeResult } from '#contract';
import { HANDSHAKE_PROBES, LEASES, PODS, TCP_REPORTS } from '../../operator/kube/resource.ts';
import type { ApiServer } from '../cluster/api-server.ts';
import { startApiServer } from '../cluster/api-server.ts';
import { installCrds } from '../cluster/crds.ts';
import { spec } from '../harness.ts';
import { NAMESPACE, prepareNamespace, requestToken } from '../support/agent-tokens.ts';
import type { ClusterOperator } from '../support/cluster-operator.ts';
import { caOf, leaderOf, operatorKubeconfig, startClusterOperator } from '../support/cluster-operator.ts';
import { sampleProbe, sampleReport } from '../support/report.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const USER = `system:serviceaccount:${NAMESPACE}:finwait-operator`;
const TARGET = { name: 'shop', address: '10.0.0.7', port: 80 };

/** A line of the API server's audit log, as far as it matters here. */
interface Audited {
  readonly user: { readonly username: string };
  readonly verb: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** `VERB GROUP/RESOURCE` of what the roles of the operator allow. */
async function allowed(server: ApiServer): Promise<string[]> {
  const roles = await Promise.all([
    server.kubectl('get', 'clusterrole', `${NAMESPACE}-finwait-operator`, '-o', 'json'),
    server.kubectl('get', 'role', '-n', NAMESPACE, 'finwait-operator', '-o', 'json'),
  ]);
  const rules = roles.flatMap((role) => (JSON.parse(role) as { rules: readonly Rule[] }).rules);
  const rights = rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
    ),
  );
  return [...new Set(rights)].sort();
}

function requested(path: string): { used: Set<string>; refused: Set<string> } {
  const used = new Set<string>();
  const refused = new Set<string>();
  for (const line of readFileSync(path, 'utf8').trim().split('\n')) {
    const { user, verb, objectRef, responseStatus } = JSON.parse(line) as Audited;
    if (user.username !== USER || objectRef?.resource === undefined) continue;
    const { apiGroup = '', resource, subresource } = objectRef;
    const what = `${apiGroup}/${resource}${subresource === undefined ? '' : `/${subresource}`}`;
    if (responseStatus?.code === 403) refused.add(`${verb} ${what}`);
    used.add(`${verb} ${what}`);
    // Applying what is not there needs the right to create it.
    if (verb === 'patch' && responseStatus?.code === 201) used.add(`create ${what}`);
  }
  return { used, refused };
}

/** An API server that writes down who asked for what. */
async function audited(dir: string): Promise<{ server: ApiServer; path: string }> {
  const policy = join(dir, 'policy.json');
  const path = join(dir, 'audit.log');
  const rules = [{ level: 'Metadata', omitStages: ['RequestReceived'] }];
  writeFileSync(policy, JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules }));
  const flags = [`--audit-policy-file=${policy}`, `--audit-log-path=${path}`, '--audit-log-mode=blocking'];
  return { server: await startApiServer({ flags }), path };
}

/** Posts reports of the node, numbered. */
async function agentOf(server: ApiServer, operator: ClusterOperator) {
  const token = await requestToken(server);
  const ca = await caOf(server);
  const pod = await server.client.get(PODS, NAMESPACE, 'agent');
  const uid = pod.metadata?.uid ?? '';
  const { sockets } = sampleReport();
  if (sockets === undefined) throw new Error('the sample has no sockets');
  let seq = 0;
  return async (probes: readonly ProbeResult[]): Promise<void> => {
    seq++;
    const pods = [{ uid, states: [{ state: 'TIME-WAIT' as const, count: 500 }] }];
    const report = sampleReport({ seq, probes, sockets: { ...sockets, holders: [], pods } });
    const answer = await operator.post(token, report, ca);
    assert.is(answer.status, 200, JSON.stringify(answer.body));
  };
}

spec("The operator's rights", (test) => {
  test(
    'are what the chart gives it: all its requests are allowed, and every right is used',
    async () => {
      await using dir = await makeTempDir('audit');
      const { server, path } = await audited(dir.path);
      await using _ = server;
      await installCrds(server);
      await prepareNamespace(server, 'ferry');
      const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
      const metadata = { name: 'finwait-operator', namespace: NAMESPACE };
      await server.apply(JSON.stringify({ ...lease, metadata }));
      const made = { apiVersion: 'finwait.io/v1alpha1' };
      const named = (name: string) => ({ name, namespace: NAMESPACE });
      await server.apply(
        JSON.stringify({ ...made, kind: 'DiagnosisPolicy', metadata: { name: 'all' }, spec: {} }),
      );
      const spec = { targets: [TARGET], interval: '1s' };
      await server.apply(JSON.stringify({ ...made, kind: 'HandshakeProbe', metadata: named('shop'), spec }));
      // A report of another version of the kind, which has to make room.
      const workload = { apiVersion: 'v0', kind: 'Pod', name: 'agent' };
      await server.apply(
        JSON.stringify({ ...made, kind: 'TCPReport', metadata: named('pod-agent'), spec: { workload } }),
      );

      await using operator = await startClusterOperator('one', await operatorKubeconfig(server));
      await leaderOf([operator]);
      const report = await agentOf(server, operator);
      const probe = await server.client.get(HANDSHAKE_PROBES, NAMESPACE, 'shop');
      const ref = [NAMESPACE, 'shop', 'shop', probe.metadata?.uid, probe.metadata?.generation].join('/');
      const result = (verdict: 'open' | 'refused'): ProbeResult =>
        sampleProbe({
          id: crypto.randomUUID().replaceAll('-', ''),
          target: { name: 'shop', host: TARGET.address, port: TARGET.port, origin: 'user', ref },
          remote: { address: TARGET.address, port: TARGET.port },
          startUs: Date.now() * 1000,
          verdict,
        });
      // The second refusal is one more of the same Event.
      for (const verdict of ['refused', 'open', 'refused'] as const) {
        const wanted = verdict === 'open' ? 'True' : 'False';
        await until(`the probe is told as ${verdict}`, async () => {
          await report([result(verdict)]);
          const { status } = await server.client.get(HANDSHAKE_PROBES, NAMESPACE, 'shop');
          const conditions = (status ?? {}) as { conditions?: { type: string; status: string }[] };
          const ready = conditions.conditions?.find(({ type }) => type === 'Ready');
          return ready?.status === wanted || undefined;
        });
      }
      await until('the report of the workload is that of its kind', async () => {
        await report([]);
        const { spec } = await server.client
          .get(TCP_REPORTS, NAMESPACE, 'pod-agent')
          .catch(() => ({ spec: {} }));
        return (spec as { workload?: { apiVersion: string } }).workload?.apiVersion === 'v1' || undefined;
      });
      await server.client.delete(LEASES, NAMESPACE, 'finwait-operator');
      await until('the Lease is there again', () =>
        server.client.get(LEASES, NAMESPACE, 'finwait-operator').then(
          () => true,
          () => undefined,
        ),
      );

      const rights = await allowed(server);
      const unused = () => rights.filter((right) => !requested(path).used.has(right));
      await until('every right is used', () => unused().length === 0 || undefined, 20_000).catch(() => {});
      assert.equal(unused(), [], 'rights that nobody needs');
      assert.equal([...requested(path).refused], [], 'requests that are refused');
    },
    { needs: ['cluster', 'helm'], timeoutMs: 300_000 },
  );
});
