/** Wrong values are refused with words that help; README, schema and the programs' settings know the same values. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { VERSION } from '../../base/version.ts';
import { AGENT_SETTINGS } from '../../daemon/settings.ts';
import { OPERATOR_SETTINGS } from '../../operator/settings.ts';
import { chartValues, withValues } from '../../scripts/chart-readme.ts';
import { rejects, spec } from '../harness.ts';
import { CHART, CI_VALUES, helm, objects, valuesFile } from './helm.ts';

const LIMIT = { timeoutMs: 600_000, needs: ['helm'] as const };

/** A wrong value, and what Helm says to it. */
const REFUSED: readonly (readonly [values: string, says: RegExp])[] = [
  ['agent.mod=probe', /'\/agent': additional properties 'mod' not allowed/],
  ['agnet.mode=probe', /additional properties 'agnet' not allowed/],
  ['agent.resources.limit.cpu=1', /'\/agent\/resources': additional properties 'limit' not allowed/],
  ['agent.mode=privileged', /value must be one of 'observe', 'probe', 'inspect'/],
  ['agent.http.port=0', /'\/agent\/http\/port': minimum: got 0, want 1/],
  ['agent.tun.device=a-name-that-is-too-long', /'\/agent\/tun\/device'.* does not match pattern/],
  ['agent.sweepInterval=5', /'\/agent\/sweepInterval': got number, want string/],
  ['operator.replicas=0', /'\/operator\/replicas': minimum: got 0, want 1/],
  ['operator.reportInterval=soon', /'\/operator\/reportInterval': 'soon' does not match pattern/],
  ['image.digest=latest', /'\/image\/digest': 'latest' does not match pattern/],
  ['tls.mode=none', /value must be one of 'self', 'certManager', 'secret'/],
  ['otel.traces.sampling=2', /'\/otel\/traces\/sampling': maximum: got 2, want 1/],
  ['otel.protocol=http', /value must be one of 'http\/protobuf', 'http\/json', 'grpc'/],
  ['rbac.create=yes', /'\/rbac\/create': got string, want boolean/],
];

/** Values that do not go together, and the way out that the chart names. */
const CONTRADICTIONS: readonly (readonly [values: string, says: RegExp])[] = [
  ['agent.capabilities.netAdmin=false', /set agent\.capabilities\.netAdmin=true, or agent\.mode=observe/],
  ['agent.mode=observe,agent.tun.required=true', /set agent\.mode=probe, or agent\.tun\.required=false/],
  ['agent.mode=observe,agent.probeLocalListeners=true', /or agent\.probeLocalListeners=false/],
  [
    'agent.mode=inspect,agent.capabilities.sysAdmin=false,agent.capabilities.sysPtrace=false',
    /inspects nothing: set/,
  ],
  ['agent.tun.mtu=1000,agent.tun.prefixV6=fd00::/64', /give it 1280 or more/],
  ['tls.mode=secret', /needs tls\.secretName: a Secret .*kubectl create secret/],
  ['tls.secretName=mine', /set tls\.mode=secret, or leave tls\.secretName out/],
  ['tls.caConfigMap=mine', /in mode self the operator fills a ConfigMap of its own/],
  ['tls.mode=certManager', /needs cert-manager, which this cluster does not have: install it first/],
  ['podMonitor.enabled=true', /need the Prometheus operator, which this cluster does not have/],
  ['serviceMonitor.enabled=true', /need the Prometheus operator, which this cluster does not have/],
  ['serviceAccount.agent.create=false', /serviceAccount\.agent\.name must name one that exists/],
  [
    'serviceAccount.agent.name=one,serviceAccount.operator.name=one',
    /every agent could then do what the operator may/,
  ],
  ['otel.headersSecret.name=token', /otel\.endpoint is empty: set it/],
  ['otel.endpoint=collector:4318', /is no URL: write it with http:\/\/ or https:\/\//],
  ['otel.endpoint=http://collector:4318,otel.caSecret.name=ca', /begin it with https:\/\//],
  ['operator.web.port=7461', /one of them must be another/],
  ['networkPolicy.webFrom[0].podSelector.matchLabels.a=b', /without a policy everybody may ask the web port/],
  ['probePolicy.deny={10.0.0.0}', /"10\.0\.0\.0", which is no address range: write it as 10\.0\.0\.0\/8/],
  ['networkPolicy.ingestFrom={everybody}', /networkPolicy\.ingestFrom has "everybody"/],
  ['probePolicy.deny={10.0.0.0/33}', /"10\.0\.0\.0\/33", which is no address range/],
  ['probePolicy.deny={256.0.0.0/8}', /"256\.0\.0\.0\/8", which is no address range/],
  ['probePolicy.allow={fd00::/129}', /"fd00::\/129", which is no address range/],
  ['agent.tun.prefixV4=10.9.0.0/31', /"10\.9\.0\.0\/31", which is no IPv4 prefix of 8 to 30 bits/],
  ['agent.tun.prefixV6=fd00::/127', /"fd00::\/127", which is no IPv6 prefix of 16 to 126 bits/],
  ['agent.http.host=node', /agent\.http\.host is "node", which is no address/],
  ['operator.listenHost=0.0.0.0:7460', /operator\.listenHost is "0\.0\.0\.0:7460", which is no address/],
  ['operator.reportInterval=1h', /operator\.reportInterval is 1h, which is not between 200ms and 5m/],
  ['agent.sweepInterval=99ms', /agent\.sweepInterval is 99ms, which is not between 100ms and 5m/],
];

type Schema = { readonly [key: string]: Schema };

spec('chart values', (test) => {
  for (const [values, says] of [...REFUSED, ...CONTRADICTIONS]) {
    test(
      `${values} is refused with words that help`,
      async () => {
        // Without the API groups of other products.
        await rejects(helm('template', 'finwait', CHART, '--set', values), says);
      },
      LIMIT,
    );
  }

  test(
    'all problems are told at once',
    async () => {
      const values = 'tls.mode=secret,otel.endpoint=collector';
      const error = String(await rejects(helm('template', 'finwait', CHART, '--set', values)));
      assert.match(error, /tls\.secretName/);
      assert.match(error, /otel\.endpoint/);
    },
    LIMIT,
  );

  test('the chart is of the version of the programs', () => {
    const chart = readFileSync(join(CHART, 'Chart.yaml'), 'utf8');
    assert.match(chart, new RegExp(`^version: ${VERSION}$`, 'm'));
    assert.match(chart, new RegExp(`^appVersion: ${VERSION}$`, 'm'));
  });

  test('every value has a comment, and README.md is made of them', () => {
    const readme = readFileSync(join(CHART, 'README.md'), 'utf8');
    assert.is(readme, withValues(readme), 'run node scripts/chart-readme.ts');
    assert.ok(chartValues().length > 5);
  });

  test('the schema knows every value, and no other', () => {
    const schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'));
    const inValues = chartValues().flatMap(({ values }) => values.map(({ path }) => path));
    for (const path of inValues) assert.ok(schemaAt(schema, path), `values.schema.json lacks ${path}`);
    for (const path of schemaPaths(schema, schema, '')) {
      const known = inValues.some((value) => path === value || path.startsWith(`${value}.`));
      assert.ok(known || path === 'global', `values.yaml lacks ${path} of the schema`);
    }
  });

  test('the schema admits nothing beside what it names', () => {
    const schema = readFileSync(join(CHART, 'values.schema.json'), 'utf8');
    const check = (node: unknown, where: string): void => {
      if (typeof node !== 'object' || node === null) return;
      if ('properties' in node) {
        assert.is((node as Schema).additionalProperties, false, `${where} lacks additionalProperties: false`);
      }
      for (const [key, child] of Object.entries(node)) check(child, `${where}/${key}`);
    };
    check(JSON.parse(schema), '');
  });

  test(
    'every variable set is a setting of the program it is for, whose parser takes its value',
    async () => {
      const seen = new Set<string>();
      for (const file of CI_VALUES) {
        for (const { kind, spec: workload } of await objects('--values', valuesFile(file))) {
          if (kind !== 'DaemonSet' && kind !== 'Deployment') continue;
          const table = kind === 'DaemonSet' ? AGENT_SETTINGS : OPERATOR_SETTINGS;
          const byEnv = new Map(Object.values(table).map((setting) => [setting.env, setting]));
          for (const { name, value } of workload.template.spec.containers[0].env) {
            if (!name.startsWith('FINWAIT_')) continue;
            seen.add(`${kind} ${name}`);
            const setting = byEnv.get(name);
            assert.ok(setting, `${file}: ${kind} sets ${name}, which is no setting`);
            if (value === undefined) continue;
            const items = setting.kind === 'list' ? value.split(',') : [value];
            for (const item of items.map((text: string) => text.replace('$(HOST_IP)', '10.0.0.1'))) {
              const parsed: { ok: boolean } = setting.parse(item);
              assert.ok(parsed.ok, `${file}: ${name}=${item} is not taken: ${JSON.stringify(parsed)}`);
            }
          }
        }
      }
      assert.ok(seen.size > 25);
    },
    LIMIT,
  );
});

function resolve(root: Schema, node: Schema | undefined): Schema | undefined {
  const ref = node?.$ref as unknown as string | undefined;
  return ref === undefined ? node : resolve(root, root.$defs?.[ref.replace('#/$defs/', '')]);
}

function schemaAt(root: Schema, path: string): Schema | undefined {
  return path
    .split('.')
    .reduce<Schema | undefined>((node, key) => resolve(root, node)?.properties?.[key], root);
}

/** Paths of all leaves: what has no properties of its own. */
function schemaPaths(root: Schema, node: Schema, path: string): string[] {
  const { properties } = resolve(root, node) ?? {};
  if (properties === undefined) return [path];
  return Object.entries(properties).flatMap(([key, child]) =>
    schemaPaths(root, child, path === '' ? key : `${path}.${key}`),
  );
}
