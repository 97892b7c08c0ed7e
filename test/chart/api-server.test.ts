/** What the chart renders is what a real API server takes. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { startApiServer } from '../cluster/api-server.ts';
import { spec } from '../harness.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { CI_VALUES, objects, render, valuesFile } from './helm.ts';

/** Kinds of other products that some values ask for, with a schema that takes anything. */
const FOREIGN = [
  ['cert-manager.io', 'Certificate'],
  ['cert-manager.io', 'Issuer'],
  ['monitoring.coreos.com', 'PodMonitor'],
  ['monitoring.coreos.com', 'ServiceMonitor'],
] as const;

function foreignKind(group: string, kind: string): object {
  const singular = kind.toLowerCase();
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${singular}s.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, singular, plural: `${singular}s` },
      versions: [{ name: 'v1', served: true, storage: true, schema }],
    },
  };
}

spec('chart at the API server', (test) => {
  test(
    'every file of values renders to objects that a real API server takes; the operator passes "restricted"',
    async () => {
      await using server = await startApiServer();
      for (const [group, kind] of FOREIGN) await server.apply(JSON.stringify(foreignKind(group, kind)));
      await server.kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s');
      const label = (level: string) => ({ 'pod-security.kubernetes.io/enforce': level });
      for (const [name, level] of [
        ['finwait', 'privileged'],
        ['strict', 'restricted'],
      ] as const) {
        const metadata = { name, labels: label(level) };
        await server.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata }));
      }
      await using dir = await makeTempDir('rendered');
      const dryRun = (text: string): Promise<string> => {
        const path = join(dir.path, 'objects.yaml');
        writeFileSync(path, text);
        const flags = ['--server-side', '--dry-run=server', '--validate=strict'];
        return server.kubectl('apply', ...flags, '-f', path);
      };
      for (const values of CI_VALUES) {
        const said = await dryRun(await render('--values', valuesFile(values)));
        assert.match(said, /daemonset.apps\/\S+ serverside-applied/, values);
        const operator = (await objects('--values', valuesFile(values))).find(
          ({ kind }) => kind === 'Deployment',
        );
        const metadata = { name: 'operator', namespace: 'strict' };
        const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec: operator?.spec.template.spec };
        assert.match(await dryRun(JSON.stringify(pod)), /pod\/operator serverside-applied/, values);
      }
    },
    { timeoutMs: 600_000, needs: ['helm'] },
  );
});
