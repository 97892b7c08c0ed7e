import { once } from 'node:events';
import { connect } from 'node:net';
import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import type { AgentServer, AgentStatus } from '../../daemon/http.ts';
import { serveAgent } from '../../daemon/http.ts';
import { rejects, spec } from '../harness.ts';

const ANY_PORT = { host: '127.0.0.1', port: 0 };
const CONDITION = { code: 'TUN_MISSING', message: 'there is no /dev/net/tun', hint: 'modprobe tun' } as const;

function status(changes: Partial<AgentStatus> = {}): AgentStatus {
  return {
    heartbeatsMs: () => ({ tables: 5, engine: 29_999 }),
    waitingFor: () => [],
    conditions: () => [],
    metrics: () => '# nothing\n',
    ...changes,
  };
}

async function serving(
  changes: Partial<AgentStatus>,
  body: (url: string, server: AgentServer) => Promise<void>,
) {
  const server = await serveAgent(ANY_PORT, status(changes));
  try {
    await body(`http://127.0.0.1:${server.port}`, server);
  } finally {
    await server.close();
  }
}

spec('agent HTTP server', (test) => {
  test('is alive while every worker gave a sign of life within ten seconds', () =>
    serving({}, async (url) => {
      const response = await fetch(`${url}/healthz`);
      assert.is(response.status, 200);
      assert.equal(await response.json(), {
        healthy: true,
        hanging: [],
        heartbeatsMs: { tables: 5, engine: 29_999 },
      });
    }));

  test('is not alive when a worker hangs, and names it', () =>
    serving({ heartbeatsMs: () => ({ tables: 5, engine: 30_001 }) }, async (url) => {
      const response = await fetch(`${url}/healthz`);
      assert.is(response.status, 503);
      assert.equal(((await response.json()) as { hanging: unknown }).hanging, ['engine']);
    }));

  test('is not ready while something is missing, and gives what and why', () =>
    serving({ waitingFor: () => ['the TCP engine'], conditions: () => [CONDITION] }, async (url) => {
      const response = await fetch(`${url}/readyz`);
      assert.is(response.status, 503);
      assert.equal(await response.json(), {
        ready: false,
        waitingFor: ['the TCP engine'],
        conditions: [CONDITION],
      });
    }));

  test('is ready in spite of conditions when nothing is missing', () =>
    serving({ conditions: () => [CONDITION] }, async (url) => {
      assert.is((await fetch(`${url}/readyz?verbose`)).status, 200);
    }));

  test('serves metrics in the text format of Prometheus', () =>
    serving({}, async (url) => {
      const response = await fetch(`${url}/metrics`);
      assert.match(response.headers.get('content-type') ?? '', 'text/plain; version=0.0.4');
      assert.is(await response.text(), '# nothing\n');
    }));

  test('answers HEAD without a body, refuses other methods, and lists its paths for unknown ones', () =>
    serving({}, async (url) => {
      const head = await fetch(`${url}/healthz`, { method: 'HEAD' });
      assert.equal([head.status, await head.text()], [200, '']);
      assert.ok(Number(head.headers.get('content-length')) > 0);
      const post = await fetch(`${url}/metrics`, { method: 'POST', body: 'x'.repeat(100_000) });
      assert.equal([post.status, post.headers.get('allow')], [405, 'GET, HEAD']);
      for (const path of ['/', '/metrics/', '/constructor', '//x', '/%00']) {
        const unknown = await fetch(url + path);
        assert.is(unknown.status, 404, path);
        assert.match(await unknown.text(), '/readyz');
      }
    }));

  test('refuses headers beyond its limit and survives what is not HTTP', () =>
    serving({}, async (url, server) => {
      const large = await fetch(url, { headers: { 'x-large': 'x'.repeat(20_000) } });
      assert.is(large.status, 431);
      const socket = connect(server.port, '127.0.0.1');
      socket.end('\x16\x03\x01 not http\r\n\r\n').resume();
      await once(socket, 'close');
      assert.is((await fetch(`${url}/healthz`)).status, 200);
    }));

  test('says that a port is taken, and how to learn by whom', () =>
    serving({}, async (_url, { port }) => {
      const error = await rejects(serveAgent({ host: '127.0.0.1', port }, status()));
      assert.ok(error instanceof FinwaitError && error.code === 'PORT_IN_USE');
      assert.match(error.message, `127.0.0.1:${port}`);
      assert.match(error.hint, `--local-port ${port}`);
    }));

  test('says that an address is not of this machine', async () => {
    const error = await rejects(serveAgent({ host: '192.0.2.1', port: 1 }, status()));
    assert.ok(error instanceof FinwaitError && error.code === 'LISTEN_FAILED');
  });
});
