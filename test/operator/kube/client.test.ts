import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { createKubeClient } from '../../../operator/kube/client.ts';
import { KubeError } from '../../../operator/kube/kube-error.ts';
import { CONFIG_MAPS } from '../../../operator/kube/resource.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

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
    { needs: ['cluster'], timeoutMs: 90_000 },
  );

  test(
    'goes on with a token that was rotated under it',
    async () => {
      await using server = await startApiServer();
      await using dir = await makeTempDir('token');
      const file = join(dir.path, 'token');
      writeFileSync(file, 'expired');
      const client = await createKubeClient({
        kubeconfig: server.kubeconfigFor('rotated', { 'token-file': file }),
      });
      const refused = await client.list(CONFIG_MAPS).catch((error: unknown) => error);
      assert.ok(refused instanceof KubeError && refused.status === 401);
      writeFileSync(file, 'administrator-of-the-test');
      assert.ok((await client.list(CONFIG_MAPS, { namespace: 'default' })).resourceVersion !== '');
      client.close();
    },
    { needs: ['cluster'], timeoutMs: 90_000 },
  );
});
