import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import * as assert from 'uvu/assert';
import type { KubeClient, KubeObject } from '../../../operator/kube/client.ts';
import { createKubeClient } from '../../../operator/kube/client.ts';
import type { Reflector, ReflectorTiming } from '../../../operator/kube/reflector.ts';
import { createReflector } from '../../../operator/kube/reflector.ts';
import { CONFIG_MAPS } from '../../../operator/kube/resource.ts';
import type { ApiServer } from '../../cluster/api-server.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { spec } from '../../harness.ts';
import { until } from '../../support/until.ts';

const NEEDS = { needs: ['cluster' as const], timeoutMs: 300_000 };
const FAST = { retryFirstMs: 20, retryMaxMs: 200 };

const seen = (look: () => boolean): Promise<true> =>
  until(look.toString(), () => look() || undefined, 20_000);

function reflect(
  client: Pick<KubeClient, 'list' | 'watch'>,
  timing: Partial<ReflectorTiming> = FAST,
  metadataOnly = false,
): Reflector<string> & AsyncDisposable {
  const slim = (object: KubeObject): string =>
    String((object.data as { v?: string } | undefined)?.v ?? object.metadata?.labels?.v);
  const options = { client, resource: CONFIG_MAPS, namespace: 'default', labelSelector: 'test=yes' };
  const reflector = createReflector({ ...options, metadataOnly, slim, log: { log: () => {} }, timing });
  reflector.start();
  return Object.assign(reflector, { [Symbol.asyncDispose]: () => reflector.stop() });
}

function put(server: ApiServer, name: string, v: string): Promise<KubeObject> {
  const metadata = { namespace: 'default', name, labels: { test: 'yes', v } };
  return server.client.apply(CONFIG_MAPS, { metadata, data: { v } }, { fieldManager: 'test' });
}

/** A way to the server that can be cut. */
async function proxyTo(port: number) {
  const sockets = new Set<Socket>();
  let refuses = false;
  const server = createServer((near) => {
    if (refuses) return void near.destroy();
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    cut(stay: boolean) {
      refuses = stay;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      refuses = false;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

spec('a reflector on a real API server', (test) => {
  test(
    'lists in pages and follows what is added, changed and removed',
    async () => {
      await using server = await startApiServer();
      await Promise.all(Array.from({ length: 25 }, (_, i) => put(server, `m${i}`, '1')));
      const changes: string[] = [];
      const lists: number[] = [];
      const client: Pick<KubeClient, 'list' | 'watch'> = {
        watch: server.client.watch,
        list: async (...args) => {
          const page = await server.client.list(...args);
          lists.push(page.items.length);
          return page;
        },
      };
      await using maps = reflect(client, { ...FAST, pageSize: 10 });
      maps.onChange((key, now, before) => changes.push(`${key} ${before}->${now}`));
      await maps.synced;
      assert.equal(lists, [10, 10, 5]);
      assert.is(maps.size, 25);
      await put(server, 'm3', '2');
      await put(server, 'new', '1');
      await server.client.delete(CONFIG_MAPS, 'default', 'm4');
      await seen(() => maps.get('default/new') === '1' && maps.get('default/m4') === undefined);
      assert.is(maps.get('default/m3'), '2');
      assert.equal(changes.slice(-3), [
        'default/m3 1->2',
        'default/new undefined->1',
        'default/m4 1->undefined',
      ]);
    },
    NEEDS,
  );

  test(
    'keeps metadata alone where no more is asked for',
    async () => {
      await using server = await startApiServer();
      await put(server, 'one', '7');
      await using maps = reflect(server.client, FAST, true);
      await maps.synced;
      assert.is(maps.get('default/one'), '7', 'from the label: the data did not come');
      await put(server, 'one', '8');
      await seen(() => maps.get('default/one') === '8');
    },
    NEEDS,
  );

  test(
    'goes on after its connection was cut, and says while it cannot',
    async () => {
      await using server = await startApiServer();
      await using proxy = await proxyTo(server.port);
      const kubeconfig = server.kubeconfigFor('cut', { token: 'administrator-of-the-test' }, proxy.port);
      const client = await createKubeClient({ kubeconfig });
      await using maps = reflect(client);
      await maps.synced;
      proxy.cut(true);
      await put(server, 'meanwhile', '1');
      await seen(() => maps.conditions().length > 0);
      assert.is(maps.conditions()[0]?.code, 'KUBE_API_FAILED');
      assert.is(maps.get('default/meanwhile'), undefined);
      proxy.mend();
      await seen(() => maps.get('default/meanwhile') === '1');
      assert.equal(maps.conditions(), []);
      proxy.cut(true);
      await seen(() => maps.conditions().length > 0);
      proxy.mend();
      await seen(() => maps.conditions().length === 0);
      assert.is(maps.counters.lists, 1, 'it watched on from where it was');
      client.close();
    },
    NEEDS,
  );

  test(
    'lists again when its version is too old, and finds what was removed meanwhile',
    async () => {
      await using server = await startApiServer({ flags: ['--watch-cache=false'] });
      await put(server, 'stays', '1');
      await put(server, 'goes', '1');
      await using proxy = await proxyTo(server.port);
      const kubeconfig = server.kubeconfigFor('old', { token: 'administrator-of-the-test' }, proxy.port);
      const client = await createKubeClient({ kubeconfig });
      await using maps = reflect(client);
      await maps.synced;
      proxy.cut(true);
      await server.client.delete(CONFIG_MAPS, 'default', 'goes');
      const { metadata } = await put(server, 'last', '1');
      await compact(server.etcdUrl, Number(metadata?.resourceVersion));
      proxy.mend();
      await seen(() => maps.get('default/last') === '1');
      assert.is(maps.get('default/goes'), undefined);
      assert.is(maps.get('default/stays'), '1');
      assert.is(maps.counters.lists, 2);
      client.close();
    },
    NEEDS,
  );

  test(
    'says which right is missing',
    async () => {
      await using server = await startApiServer();
      const kubeconfig = server.kubeconfigFor('nobody', {
        token: 'administrator-of-the-test',
        as: 'nobody',
      });
      const client = await createKubeClient({ kubeconfig });
      await using maps = reflect(client);
      await seen(() => maps.conditions().length > 0);
      const [condition] = maps.conditions();
      assert.is(condition?.code, 'KUBE_API_FORBIDDEN');
      assert.match(condition?.hint ?? '', /the right to list configmaps/);
      client.close();
    },
    NEEDS,
  );
});

/** Makes etcd forget all versions before one, as it does by itself every five minutes. */
async function compact(etcdUrl: string, revision: number): Promise<void> {
  const response = await fetch(`${etcdUrl}/v3/kv/compaction`, {
    method: 'POST',
    body: JSON.stringify({ revision: String(revision), physical: true }),
  });
  assert.ok(response.ok, await response.text());
}
