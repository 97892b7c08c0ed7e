import { X509Certificate } from 'node:crypto';
import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import type { KubeObject } from '../../operator/kube/client.ts';
import { KubeError } from '../../operator/kube/kube-error.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import type { Keyring, Rotated } from '../../operator/tls/rotation.ts';
import { rotate } from '../../operator/tls/rotation.ts';
import { ensureTlsSecret } from '../../operator/tls/secret.ts';
import { rejects, spec } from '../harness.ts';

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 0, 1);
const NAMES = ['finwait-operator.tcp.svc'];

function trusts(bundle: string, { served }: Rotated): boolean {
  const cas = bundle.match(/-----BEGIN[\s\S]+?END CERTIFICATE-----/g) ?? [];
  return cas.some((ca) => new X509Certificate(served.cert).verify(new X509Certificate(ca).publicKey));
}

spec('operator: TLS of several replicas', (test) => {
  test('begins with nothing, and is then left as it is', async () => {
    const first = await rotate({}, NAMES, START_MS);
    assert.equal(first.made, ['ca', 'server']);
    assert.ok(trusts(first.bundle, first));
    assert.is(new X509Certificate(first.served.cert).checkHost(NAMES[0] ?? ''), NAMES[0]);
    const again = await rotate(first.keyring, NAMES, START_MS + DAY_MS);
    assert.equal(again, { ...first, made: [] });
  });

  test('gets a new server certificate of the same CA in time, and for another name', async () => {
    const first = await rotate({}, NAMES, START_MS);
    const later = await rotate(first.keyring, NAMES, START_MS + 61 * DAY_MS);
    assert.equal(later.made, ['server']);
    assert.is(later.bundle, first.bundle);
    assert.equal((await rotate(first.keyring, ['other.svc'], START_MS)).made, ['server']);
  });

  test('changes its CA in steps, so that at no time an agent meets a certificate it cannot trust', async () => {
    let kept: Keyring = {};
    let bundles: string[] = [];
    const made: string[] = [];
    const dueMs = START_MS + 2433 * DAY_MS;
    let shown: Rotated[] = [];
    for (const nowMs of [START_MS, ...Array.from({ length: 40 }, (_, i) => dueMs + (i * DAY_MS) / 4)]) {
      const step = await rotate(kept, NAMES, nowMs);
      kept = step.keyring;
      made.push(...step.made.filter((what) => what !== 'server'));
      // A replica looks every few minutes, an agent's file follows within some, here: what was true 6 hours ago.
      bundles = [...bundles, step.bundle].slice(-2);
      shown = [...shown, step].slice(-2);
      if (nowMs === START_MS) continue;
      for (const bundle of bundles)
        for (const one of shown.slice(-1)) assert.ok(trusts(bundle, one), `${nowMs}`);
      for (const one of shown) assert.ok(trusts(step.bundle, one), `old certificate at ${nowMs}`);
    }
    assert.equal(made, ['ca', 'next ca', 'change of ca', 'farewell to the previous ca']);
    assert.is(kept['previous-ca.crt'], undefined);
  });

  test('is made anew from what is damaged or of others', async () => {
    const [first, other] = [await rotate({}, NAMES, START_MS), await rotate({}, NAMES, START_MS)];
    const cases: readonly (readonly [Keyring, readonly string[]])[] = [
      [{ ...first.keyring, 'tls.key': 'nonsense' }, ['server']],
      [{ ...first.keyring, 'tls.crt': other.served.cert, 'tls.key': other.served.key }, ['server']],
      [{ ...first.keyring, 'ca.key': other.keyring['ca.key'] ?? '' }, ['ca', 'server']],
    ];
    for (const [kept, made] of cases) assert.equal((await rotate(kept, NAMES, START_MS)).made, made);
    assert.equal((await rotate(first.keyring, NAMES, START_MS + 3651 * DAY_MS)).made, ['ca', 'server']);
  });

  test('is agreed on: who writes second takes what the first wrote', async () => {
    const store = objectStore();
    const objects = { namespace: 'tcp', secret: 's', configMap: 'c' };
    const all = await Promise.all(
      Array.from({ length: 4 }, () => ensureTlsSecret(store, objects, NAMES, START_MS)),
    );
    assert.is(new Set(all.map(({ served }) => served.cert)).size, 1);
    assert.is(new Set(all.map(({ bundle }) => bundle)).size, 1);
    assert.equal(store.objects.get('c')?.data, { 'ca.crt': all[0]?.bundle });
    assert.equal(store.objects.get('s')?.metadata?.labels, { kept: 'yes' });
  });

  test('that cannot be kept is an error that says what is needed', async () => {
    const store = objectStore();
    const objects = { namespace: 'tcp', secret: 'none', configMap: 'c' };
    const error = await rejects(ensureTlsSecret(store, objects, NAMES, START_MS), /Secret none/);
    assert.ok(error instanceof FinwaitError && error.code === 'TLS_SECRET_UNUSABLE');
  });
});

/** As the API server does it: an update of a version that is not the present one is a conflict. */
function objectStore() {
  const objects = new Map<string, KubeObject>(
    ['s', 'c'].map((name) => [
      name,
      { metadata: { name, namespace: 'tcp', resourceVersion: '1', labels: { kept: 'yes' } } },
    ]),
  );
  return {
    objects,
    async get(_resource: Resource, _namespace: string | undefined, name: string) {
      await new Promise(setImmediate);
      const found = objects.get(name);
      if (found === undefined) throw new KubeError(404, 'NotFound', `${name} not found`);
      return found;
    },
    async update(_resource: Resource, object: KubeObject) {
      await new Promise(setImmediate);
      const { name = '', resourceVersion } = object.metadata ?? {};
      const version = objects.get(name)?.metadata?.resourceVersion;
      if (version !== resourceVersion) throw new KubeError(409, 'Conflict', 'changed');
      const updated = {
        ...object,
        metadata: { ...object.metadata, resourceVersion: `${Number(version) + 1}` },
      };
      objects.set(name, updated);
      return updated;
    },
  };
}
