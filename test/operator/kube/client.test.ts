import * as assert from 'uvu/assert';
import { KubeError } from '../../../operator/kube/kube-error.ts';
import { CONFIG_MAPS } from '../../../operator/kube/resource.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { spec } from '../../harness.ts';

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
});
