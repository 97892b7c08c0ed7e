import * as assert from 'uvu/assert';
import { DEFAULT_POLICY } from '../../../operator/api/v1alpha1/diagnosis-policy.ts';
import { DIAGNOSIS_POLICIES, HANDSHAKE_PROBES } from '../../../operator/kube/resource.ts';
import type { ApiServer } from '../../cluster/api-server.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { installCrds } from '../../cluster/crds.ts';
import { spec } from '../../harness.ts';
import { until } from '../../support/until.ts';

const NEEDS = { needs: ['cluster' as const], timeoutMs: 300_000 };
const TARGET = { name: 'shop', address: '10.0.0.7', port: 80 };

function probe(spec: object): string {
  const metadata = { name: `p-${crypto.randomUUID()}`, namespace: 'default' };
  return JSON.stringify({ apiVersion: 'finwait.io/v1alpha1', kind: 'HandshakeProbe', metadata, spec });
}

function policy(spec: object): string {
  const metadata = { name: `p-${crypto.randomUUID()}` };
  return JSON.stringify({ apiVersion: 'finwait.io/v1alpha1', kind: 'DiagnosisPolicy', metadata, spec });
}

async function refusalOf(server: ApiServer, object: string): Promise<string> {
  return server.apply(object).then(
    () => 'it was accepted',
    (error: Error) => error.message,
  );
}

/** What is wrong in each, and what the person is told. */
const WRONG_PROBES: readonly (readonly [spec: object, told: RegExp])[] = [
  [{}, /spec\.targets: Required value/],
  [{ targets: [] }, /should have at least 1 items/],
  [{ targets: [{ name: 'a', port: 80 }] }, /give exactly one of address, host and service/],
  [{ targets: [{ ...TARGET, host: 'shop' }] }, /give exactly one of address, host and service/],
  [{ targets: [{ ...TARGET, address: 'shop' }] }, /a name goes into host/],
  [{ targets: [{ ...TARGET, address: '10.0.0.0/8' }] }, /give an IPv4 or IPv6 address/],
  [{ targets: [{ name: 'a', host: 'not a host', port: 80 }] }, /should match/],
  [{ targets: [{ ...TARGET, port: 0 }] }, /give a number from 1 to 65535/],
  [{ targets: [{ ...TARGET, port: 65_536 }] }, /give a number from 1 to 65535/],
  [{ targets: [{ ...TARGET, port: 'http' }] }, /only a port of a Service has a name/],
  [{ targets: [{ name: 'a', service: { name: 'shop' }, port: 'HTTP!' }] }, /name of a Service's port/],
  [
    { targets: [{ name: 'a', service: { name: 'shop', via: 'Pods' }, port: 80 }] },
    /Unsupported value: "Pods"/,
  ],
  [{ targets: [TARGET, TARGET] }, /[Dd]uplicate/],
  [{ targets: [{ ...TARGET, name: 'Not_A_Name' }] }, /should match/],
  [{ targets: [TARGET], once: true, interval: '10s' }, /give once or interval, not both/],
  [{ targets: [TARGET], interval: '0s' }, /give a time from 1s to 24h/],
  [{ targets: [TARGET], interval: '25h' }, /give a time from 1s to 24h/],
  [{ targets: [TARGET], interval: '' }, /give a time from 1s to 24h/],
  [{ targets: [TARGET], interval: 'soon' }, /should match/],
  [{ targets: [TARGET], limits: { handshake: '6m' } }, /give a time from 10ms to 5m/],
  [{ targets: [TARGET], limits: { close: '1ms' } }, /give a time from 10ms to 5m/],
  [{ targets: [TARGET], expect: { verdict: 'Fast' } }, /Unsupported value: "Fast"/],
  [{ targets: [TARGET], expect: { handshakeWithin: '0s' } }, /give a time up to 5m/],
  [
    { targets: [TARGET], expect: { verdict: 'Denied', handshakeWithin: '1s' } },
    /handshakeWithin goes with the verdict Open/,
  ],
  [
    { targets: [TARGET], nodes: { selector: { matchExpressions: [{ key: 'a', operator: 'In' }] } } },
    /values go with the operators In and NotIn/,
  ],
];

const WRONG_POLICIES: readonly (readonly [spec: object, told: RegExp])[] = [
  [{ priority: 5000 }, /should be less than or equal to 1000/],
  [{ closeWait: { reportCount: 200 } }, /problemCount must not be smaller than reportCount/],
  [{ closeWait: { problemAge: '10s' } }, /problemAge must not be shorter than reportAge/],
  [{ closeWait: { reportAge: '25h', problemAge: '25h' } }, /at most 24h/],
  [{ timeWait: { reportCount: 30_000 } }, /noticeCount must not be smaller than reportCount/],
  [{ conntrack: { problemPercent: 0 } }, /should be greater than or equal to 1/],
  [{ conntrack: { problemTimeToFull: 'x' } }, /should match/],
  [
    { namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] } },
    /values go with the operators In and NotIn/,
  ],
];

spec('custom resources on a real API server', (test) => {
  test(
    'refuse what is wrong with a message that helps, and fill in the defaults',
    async () => {
      await using server = await startApiServer();
      await installCrds(server);
      for (const [spec, told] of WRONG_PROBES) {
        assert.match(await refusalOf(server, probe(spec)), told, JSON.stringify(spec));
      }
      for (const [spec, told] of WRONG_POLICIES) {
        assert.match(await refusalOf(server, policy(spec)), told, JSON.stringify(spec));
      }
      const service = { name: 'a', service: { name: 'shop' }, port: 'http' };
      const made = await server.client.create(HANDSHAKE_PROBES, {
        metadata: { namespace: 'default', name: 'defaults' },
        spec: { targets: [TARGET, service, { name: 'h', host: 'shop.web.svc', port: 443 }] },
      });
      const { limits, expect, targets } = made.spec as Record<string, unknown>;
      assert.equal(limits, { handshake: '10s', exchange: '10s', close: '5s' });
      assert.equal(expect, { verdict: 'Open' });
      assert.equal((targets as { service?: unknown }[])[1]?.service, { name: 'shop', via: 'ClusterIP' });
      const filled = await server.client.create(DIAGNOSIS_POLICIES, { metadata: { name: 'all' }, spec: {} });
      assert.equal(filled.spec, DEFAULT_POLICY, 'the operator assumes the same defaults');
    },
    NEEDS,
  );

  test(
    'are explained by kubectl, and shown in columns that fit 120 characters',
    async () => {
      await using server = await startApiServer();
      await installCrds(server);
      for (const path of [
        'hsp.spec.targets',
        'tcpr.status.closeWait',
        'ntcpr.status.conntrack',
        'dpol.spec.closeWait',
      ]) {
        // The schemas are published a moment after the resources are served.
        const text = await until(path, () => server.kubectl('explain', path).catch(() => undefined), 30_000);
        assert.match(text, /DESCRIPTION:\n {4}\S/, path);
        assert.not.match(text, /<no description>/, path);
      }
      await server.apply(probe({ targets: [TARGET] }));
      const header = (await server.kubectl('get', 'hsp')).split('\n')[0] ?? '';
      assert.match(header, /^NAME +TARGETS +RESULT +EXPECTED +HANDSHAKE +CLOSE +LAST +AGE$/);
      await server.apply(policy({}));
      assert.match(await server.kubectl('get', 'finwait', '-A'), /NAMESPACES +CW-PROBLEM/);
    },
    NEEDS,
  );
});
