import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect } from 'node:net';
import * as assert from 'uvu/assert';
import { createFleet } from '../../operator/fleet/fleet.ts';
import { createApp } from '../../operator/web/app.ts';
import { createWebServer } from '../../operator/web/server.ts';
import { spec } from '../harness.ts';
import { readAnswer } from '../support/ingest.ts';
import { until } from '../support/until.ts';

const LIMITS = { headMs: 200, requestMs: 300, idleMs: 400 };

async function startWeb(connections = 64) {
  const fleet = createFleet({ reportIntervalMs: 5000, assignmentOf: () => [] });
  const app = createApp({
    overview: () => ({
      generatedAtMs: 0,
      operator: {
        version: '0.1.0',
        startedAtMs: 0,
        telemetry: { traces: 'off', metrics: 'off', waiting: 0, accepted: 0, lost: 0 },
        counters: {},
        conditions: [],
      },
      nodes: fleet.view(0),
    }),
    node: () => undefined,
    ready: () => true,
    loopbackOnly: true,
    log: { log: () => {} },
  });
  const web = createWebServer(app, connections, LIMITS);
  await once(web.server.listen(0, '127.0.0.1'), 'listening');
  const { port } = web.server.address() as AddressInfo;
  const open = async (from = '127.0.0.1'): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from });
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  return {
    ...web,
    open,
    async raw(text: string) {
      const socket = await open();
      const answer = readAnswer(socket);
      socket.write(text);
      return answer;
    },
    async [Symbol.asyncDispose]() {
      web.server.close();
      web.connections.cutAll();
      await once(web.server, 'close');
    },
  };
}

spec('operator: faults of HTTP at the pages', (test) => {
  test('are answered as JSON with a hint, and counted', async () => {
    await using web = await startWeb();
    const cases: readonly (readonly [string, number, string])[] = [
      ['nothing like HTTP\r\n\r\n', 400, 'REQUEST_INVALID'],
      ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'REQUEST_INVALID'],
      [`GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'REQUEST_INVALID'],
      ['CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n\r\n', 405, 'METHOD_NOT_ALLOWED'],
      ['GET / HTTP/1.1\r\nhost: localhost\r\nexpect: miracles\r\n\r\n', 417, 'REQUEST_INVALID'],
      ['GET / HTTP/1.1\r\nhost: loc', 408, 'REQUEST_TIMEOUT'],
    ];
    for (const [text, status, code] of cases) {
      const answer = await web.raw(text);
      assert.is(answer.status, status, text.slice(0, 30));
      const { error } = JSON.parse(answer.body);
      assert.is(error.code, code);
      assert.match(error.hint, '/api/v1/overview');
    }
    assert.is(web.counters['web.refused.REQUEST_INVALID'], 4);
    assert.is(web.counters['web.refused.METHOD_NOT_ALLOWED'], 1);
    assert.is(web.counters['web.refused.REQUEST_TIMEOUT'], 1);
  });

  test('an asterisk for a path and an offer to upgrade are requests like others', async () => {
    await using web = await startWeb();
    const close = 'host: localhost\r\nconnection: close';
    assert.is((await web.raw(`GET * HTTP/1.1\r\n${close}\r\n\r\n`)).code, 'NOT_FOUND');
    assert.is((await web.raw(`OPTIONS * HTTP/1.1\r\n${close}\r\n\r\n`)).code, 'METHOD_NOT_ALLOWED');
    const upgrade = `GET / HTTP/1.1\r\n${close}, upgrade\r\nupgrade: websocket\r\n\r\n`;
    assert.is((await web.raw(upgrade)).status, 200);
  });

  test('a connection without a request, or between requests, is closed', async () => {
    await using web = await startWeb();
    const silent = await web.open();
    assert.is((await readAnswer(silent)).status, 408);
    assert.is((await web.raw('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n')).status, 200);
  });

  test('idle connections make room for those that ask something, from their address and from others', async () => {
    await using web = await startWeb(8);
    const idle: Socket[] = [];
    for (let i = 0; i < 12; i++) idle.push(await web.open(i < 6 ? '127.0.0.2' : '127.0.0.3'));
    await until('connections are cut', () => web.counters['web.cut.perAddress'] === 4 || undefined);
    assert.is(
      (await web.raw('GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')).status,
      200,
    );
    assert.is(web.counters['web.cut.total'], 1);
    const [condition] = web.connections.conditions();
    assert.is(condition?.code, 'CONNECTIONS_CUT');
    assert.match(condition?.message ?? '', /all 8 are in use; the last was of address 127\.0\.0\.2/);
    await until(
      'connections are cut',
      () => (idle[0]?.closed === true && idle[6]?.closed === true) || undefined,
    );
    for (const socket of idle) socket.destroy();
  });
});
