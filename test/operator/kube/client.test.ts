import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { createKubeClient } from '../../../operator/kube/client.ts';
import { KubeError } from '../../../operator/kube/kube-error.ts';
import { CONFIG_MAPS } from '../../../operator/kube/resource.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { until } from '../../support/until.ts';

function kubeconfigFor(dir: string, server: Server): string {
  const { port } = server.address() as AddressInfo;
  const path = join(dir, 'kubeconfig');
  const cluster = { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true };
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  return path;
}

async function end(server: Server): Promise<void> {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

spec('the client of the API server', (test) => {
  test(
    'creates, gets, patches, applies, lists in pages and deletes, with typed failures',
    async () => {
      await using server = await startApiServer();
      const { client } = server;
      const metadata = { namespace: 'default', name: 'shop' };
      await client.create(CONFIG_MAPS, { metadata, data: { a: '1' } });
      const twice = await client.create(CONFIG_MAPS, { metadata }).catch((error: unknown) => error);
      assert.ok(twice instanceof KubeError);
      assert.equal([twice.status, twice.reason], [409, 'AlreadyExists']);
      const patched = await client.patch(CONFIG_MAPS, 'default', 'shop', { data: { b: '2' } });
      assert.equal(patched.data, { a: '1', b: '2' });
      const applied = await client.apply(CONFIG_MAPS, { metadata, data: { b: '3' } }, { fieldManager: 'me' });
      assert.equal(applied.data, { a: '1', b: '3' }, 'what others own stays');
      const stale = await client
        .update(CONFIG_MAPS, { ...patched, data: { c: '4' } })
        .catch((error: unknown) => error);
      assert.ok(stale instanceof KubeError && stale.reason === 'Conflict');
      const page = await client.list(CONFIG_MAPS, { namespace: 'default', limit: 1 });
      assert.is(page.items.length, 1);
      await client.delete(CONFIG_MAPS, 'default', 'shop');
      await client.delete(CONFIG_MAPS, 'default', 'shop');
      const gone = await client.get(CONFIG_MAPS, 'default', 'shop').catch((error: unknown) => error);
      assert.ok(gone instanceof KubeError && gone.status === 404);
    },
    { needs: ['cluster'], timeoutMs: 180_000 },
  );

  test(
    'owns what it applies and nothing else, and takes it back from others',
    async () => {
      await using server = await startApiServer();
      const { client } = server;
      const metadata = { namespace: 'default', name: 'shared' };
      const apply = (fieldManager: string, data: object) =>
        client.apply(CONFIG_MAPS, { metadata, data }, { fieldManager });
      await apply('other', { theirs: '1', both: '1' });
      await apply('finwait', { both: '2', mine: '2' });
      const map = (data: object) => JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
      assert.match(await server.apply(map({ both: '4' })).catch(String), /conflict with "finwait"/);
      assert.equal((await apply('finwait', { mine: '3' })).data, { theirs: '1', mine: '3' });
      const owners = (await client.get(CONFIG_MAPS, 'default', 'shared')).metadata?.managedFields;
      const fields = (owners as { manager: string; fieldsV1: { 'f:data': object } }[]).map(
        ({ manager, fieldsV1 }) => `${manager} ${Object.keys(fieldsV1['f:data'])}`,
      );
      assert.equal(fields.sort(), ['finwait f:mine', 'other f:theirs']);
    },
    { needs: ['cluster'], timeoutMs: 180_000 },
  );

  test(
    'lists 1200 objects in pages that belong together',
    async () => {
      await using server = await startApiServer();
      const { client } = server;
      const names = Array.from({ length: 1200 }, (_, i) => `map-${String(i).padStart(4, '0')}`);
      for (const some of Array.from({ length: 24 }, (_, i) => names.slice(i * 50, i * 50 + 50)))
        await Promise.all(
          some.map((name) => client.create(CONFIG_MAPS, { metadata: { namespace: 'default', name } })),
        );
      const sizes: number[] = [];
      const versions = new Set<string>();
      const found = new Set<string | undefined>();
      let next: string | undefined;
      do {
        const page = await client.list(CONFIG_MAPS, {
          namespace: 'default',
          limit: 500,
          metadataOnly: true,
          ...(next === undefined ? {} : { continue: next }),
        });
        for (const { metadata, kind } of page.items) {
          assert.is(kind, 'PartialObjectMetadata');
          found.add(metadata?.name);
        }
        sizes.push(page.items.length);
        versions.add(page.resourceVersion);
        next = page.continue;
        await client.create(CONFIG_MAPS, {
          metadata: { namespace: 'default', name: `late-${sizes.length}` },
        });
      } while (next !== undefined);
      assert.equal(sizes.slice(0, 2), [500, 500]);
      assert.is(versions.size, 1, 'all pages are of one moment');
      assert.ok(names.every((name) => found.has(name)));
      assert.not.ok(found.has('late-1'));
    },
    { needs: ['cluster'], timeoutMs: 300_000 },
  );

  test(
    'goes on at once when its token was revoked and a new one is in the file',
    async () => {
      await using server = await startApiServer();
      await using dir = await makeTempDir('token');
      const file = join(dir.path, 'token');
      await server.kubectl('create', 'serviceaccount', 'reader');
      await server.kubectl('create', 'role', 'maps', '--verb=list', '--resource=configmaps');
      const to = ['--role=maps', '--serviceaccount=default:reader'];
      await server.kubectl('create', 'rolebinding', 'maps', ...to);
      await server.kubectl('create', 'secret', 'generic', 'life-of-the-token');
      const bound = ['--bound-object-kind=Secret', '--bound-object-name=life-of-the-token'];
      const old = await server.kubectl('create', 'token', 'reader', ...bound);
      writeFileSync(file, old);
      const open = (name: string, user: object) =>
        createKubeClient({ kubeconfig: server.kubeconfigFor(name, user) });
      const client = await open('rotated', { 'token-file': file });
      const stuck = await open('stuck', { token: old });
      const list = { namespace: 'default', limit: 1 };
      await client.list(CONFIG_MAPS, list);
      await server.kubectl('delete', 'secret', 'life-of-the-token');
      // The API server remembers for some seconds that it took the token.
      await until(
        'the old token is refused',
        async () => {
          const error = await stuck.list(CONFIG_MAPS, list).catch((error: unknown) => error);
          return (error instanceof KubeError && error.status === 401) || undefined;
        },
        30_000,
      );
      const refused = await client.list(CONFIG_MAPS, list).catch((error: unknown) => error);
      assert.ok(refused instanceof KubeError && refused.reason === 'Unauthorized');
      writeFileSync(file, await server.kubectl('create', 'token', 'reader'));
      await client.list(CONFIG_MAPS, list);
      client.close();
      stuck.close();
    },
    { needs: ['cluster'], timeoutMs: 180_000 },
  );
});

spec('a connection that the server closes just as it is used again', (test) => {
  test('is no failure', async () => {
    await using dir = await makeTempDir('stale');
    const served = new Map<Socket, number>();
    const server = createServer((request, response) => {
      const { socket } = request;
      served.set(socket, (served.get(socket) ?? 0) + 1);
      if (request.url?.endsWith('/refused') || served.get(socket) === 2) return void socket.resetAndDestroy();
      response.end('{"kind":"ConfigMap"}');
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const kubeconfig = kubeconfigFor(dir.path, server);
    const client = await createKubeClient({ kubeconfig });
    for (const name of ['a', 'b']) assert.is((await client.get(CONFIG_MAPS, 'web', name)).kind, 'ConfigMap');
    assert.is(served.size, 2, 'the second request began on the connection of the first');
    const failed = await client.get(CONFIG_MAPS, 'web', 'refused').catch((error: unknown) => error);
    assert.ok(failed instanceof KubeError && failed.reason === 'Unreachable');
    client.close();
    await end(server);
  });

  test('says of an answer that does not come, or does not end, that it was not there in time', async () => {
    await using dir = await makeTempDir('kubeconfig');
    const server = createServer((request, response) => {
      if (request.url?.endsWith('/endless')) response.write('{');
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const client = await createKubeClient({ kubeconfig: kubeconfigFor(dir.path, server) });
    for (const name of ['silent', 'endless']) {
      const signal = AbortSignal.timeout(100);
      const failed = await client.get(CONFIG_MAPS, 'web', name, { signal }).catch((error: unknown) => error);
      assert.ok(failed instanceof KubeError);
      assert.equal([failed.reason, failed.message], ['Timeout', 'get configmaps: no answer in time'], name);
    }
    client.close();
    await end(server);
  });
});
