import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import * as assert from 'uvu/assert';
import { createFleet } from '../../operator/fleet/fleet.ts';
import type { Overview } from '../../operator/fleet/view.ts';
import type { WebDeps } from '../../operator/web/app.ts';
import { createApp } from '../../operator/web/app.ts';
import { spec } from '../harness.ts';
import { startProgram } from '../support/child.ts';
import { sampleProbe, sampleReport } from '../support/report.ts';

const NODE = 'ferry "one"\n\\two';
const LOG = { log: () => {} };

/** An overview with something in every field. */
function overview(): Overview {
  const fleet = createFleet({ reportIntervalMs: 5000, assignmentOf: () => [] });
  const probes = [
    sampleProbe(),
    sampleProbe({ target: { ...sampleProbe().target, name: 'x' }, verdict: 'filtered' }),
  ];
  for (const node of [NODE, 'silent']) {
    fleet.ledger(node, sampleReport().boot).receive(1);
    fleet.apply(node, sampleReport({ probes }), node === 'silent' ? 0 : 100_000);
  }
  return {
    generatedAtMs: 101_000,
    operator: {
      version: '0.1.0',
      startedAtMs: 1000,
      telemetry: {
        traces: 'failing',
        metrics: 'off',
        endpoint: 'http://c:4318/',
        waiting: 3,
        accepted: 5,
        lost: 1,
      },
      counters: { accepted: 2, 'refused.UNAUTHENTICATED': 1 },
      conditions: [{ code: 'COLLECTOR_UNREACHABLE', message: 'away', hint: 'start it' }],
    },
    nodes: fleet.view(101_000),
  };
}

interface Page {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface Web extends AsyncDisposable {
  readonly port: number;
  page(path: string, options?: { method?: string; host?: string }): Promise<Page>;
}

async function startWeb(changes: Partial<WebDeps> = {}): Promise<Web> {
  const app = createApp({
    overview,
    node: (name) => overview().nodes.find((node) => node.name === name),
    ready: () => true,
    loopbackOnly: true,
    log: LOG,
    ...changes,
  });
  const server = createServer(app);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async page(path, { method = 'GET', host = `127.0.0.1:${port}` } = {}) {
      const sent = request({ port, host: '127.0.0.1', path, method, headers: { host }, agent: false }).end();
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

spec('operator: pages', (test) => {
  test('give the overview as JSON', async () => {
    await using web = await startWeb();
    for (const path of ['/', '/api/v1/overview']) {
      const { status, headers, body } = await web.page(path);
      assert.is(status, 200);
      assert.match(headers['content-type'] ?? '', 'application/json');
      assert.equal(JSON.parse(body), JSON.parse(JSON.stringify(overview())));
    }
  });

  test('give one node by its name, escaped as it must be', async () => {
    await using web = await startWeb();
    const { status, body } = await web.page(`/api/v1/nodes/${encodeURIComponent(NODE)}`);
    assert.is(status, 200);
    assert.is(JSON.parse(body).name, NODE);
    const none = await web.page('/api/v1/nodes/none');
    assert.is(none.status, 404);
    assert.is(JSON.parse(none.body).error.code, 'NOT_FOUND');
    const broken = await web.page('/api/v1/nodes/%ff');
    assert.is(broken.status, 400);
    assert.is(JSON.parse(broken.body).error.code, 'REQUEST_INVALID');
  });

  test('say whether the operator lives and takes reports', async () => {
    let ready = false;
    await using web = await startWeb({ ready: () => ready });
    assert.is((await web.page('/healthz')).status, 200);
    assert.is((await web.page('/readyz')).status, 503);
    ready = true;
    assert.is((await web.page('/readyz')).status, 200);
  });

  test('refuse other methods and unknown paths, as JSON with a hint', async () => {
    await using web = await startWeb();
    const post = await web.page('/', { method: 'POST' });
    assert.is(post.status, 405);
    assert.is(post.headers.allow, 'GET, HEAD');
    const unknown = await web.page('/admin');
    assert.is(unknown.status, 404);
    assert.match(JSON.parse(unknown.body).error.hint, '/api/v1/overview');
    const head = await web.page('/', { method: 'HEAD' });
    assert.is(head.status, 200);
    assert.is(head.body, '');
  });

  test('carry the headers that keep a browser from doing anything else with them', async () => {
    await using web = await startWeb();
    for (const path of ['/', '/nothing', '/metrics']) {
      const { headers } = await web.page(path);
      assert.match(headers['content-security-policy'] as string, "default-src 'none'");
      assert.is(headers['x-content-type-options'], 'nosniff');
      assert.is(headers['cache-control'], 'no-store');
      assert.is(headers['x-powered-by'], undefined);
    }
  });

  test('bound to loopback answer to loopback names only', async () => {
    await using web = await startWeb();
    for (const host of ['localhost', 'LOCALHOST:7460', '127.0.0.1:1', '[::1]:7460']) {
      assert.is((await web.page('/', { host })).status, 200, host);
    }
    for (const host of ['rebound.example', 'localhost.evil.example:7460', '127.evil.example', '10.0.0.1']) {
      const { status, body } = await web.page('/', { host });
      assert.is(status, 403, host);
      assert.is(JSON.parse(body).error.code, 'HOST_NOT_ALLOWED');
    }
    await using open = await startWeb({ loopbackOnly: false });
    assert.is((await open.page('/', { host: 'operator.example' })).status, 200);
  });

  test('that cannot be made say so without telling why, and the log tells', async () => {
    const lines: unknown[] = [];
    await using web = await startWeb({
      overview: () => {
        throw new Error('secret detail');
      },
      log: { log: (...line) => lines.push(line) },
    });
    const { status, body } = await web.page('/');
    assert.is(status, 500);
    assert.is(JSON.parse(body).error.code, 'INTERNAL');
    assert.not.match(body, 'secret');
    assert.match(JSON.stringify(lines), 'secret detail');
  });
});

spec('operator: metrics', (test) => {
  test(
    'are text that promtool accepts without a complaint',
    async () => {
      await using web = await startWeb();
      const { status, headers, body } = await web.page('/metrics');
      assert.is(status, 200);
      assert.is(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
      const checked = await runPromtool(body);
      assert.equal(checked, { code: 0, signal: null, said: '' });
      // The check can fail: promtool knows a counter by its name.
      assert.match((await runPromtool('# TYPE x counter\nx 1\n')).said, '_total');
    },
    { needs: ['promtool'] },
  );

  test('count sockets by state, and keep only the age of a node that is silent', async () => {
    await using web = await startWeb();
    const { body } = await web.page('/metrics');
    const node = 'node="ferry \\"one\\"\\n\\\\two"';
    const lines = body.split('\n');
    for (const line of [
      `finwait_node_connections{${node},state="TIME-WAIT",family="ipv6"} 3`,
      `finwait_node_conntrack_entries{${node}} 420`,
      `finwait_node_probe_targets{${node},verdict="filtered"} 1`,
      `finwait_node_report_age_seconds{${node}} 1`,
      'finwait_node_report_age_seconds{node="silent"} 101',
      'finwait_operator_nodes{state="stale"} 1',
      'finwait_operator_condition{code="COLLECTOR_UNREACHABLE"} 1',
      'finwait_operator_traces_total{delivery="lost"} 1',
      'finwait_operator_events_total{event="refused.UNAUTHENTICATED"} 1',
    ]) {
      assert.ok(lines.includes(line), `${line} is missing in\n${body}`);
    }
    assert.not.match(body, /finwait_node_connections\{node="silent"/);
  });
});

spec('operator: pages of a replica that does not lead', (test) => {
  const nobody = (): Overview => ({ ...overview(), nodes: [] });
  const follower = (port: number, address = 'https://127.0.0.1:7461') =>
    startWeb({
      overview: nobody,
      node: () => undefined,
      leadership: () => ({ leads: false, leader: { name: 'other', address } }),
      port: () => port,
    });

  test('are those of the leader', async () => {
    await using leader = await startWeb({ leadership: () => ({ leads: true }), port: () => 0 });
    await using web = await follower(leader.port);
    assert.is(JSON.parse((await web.page('/')).body).nodes.length, 2);
    const { status, body } = await web.page(`/api/v1/nodes/${encodeURIComponent(NODE)}`);
    assert.equal([status, JSON.parse(body).name], [200, NODE]);
    assert.is((await web.page('/api/v1/nodes/none')).status, 404);
  });

  test('are its own when the leader does not answer, or is no address', async () => {
    await using web = await follower(1);
    assert.equal(JSON.parse((await web.page('/')).body).nodes, []);
    await using named = await follower(1, 'https://example.com:7461');
    assert.equal(JSON.parse((await named.page('/')).body).nodes, []);
  });

  test('are not passed round between two that both take the other for the leader', async () => {
    let port = 0;
    await using first = await startWeb({
      leadership: () => ({ leads: false, leader: { name: 'b', address: 'https://127.0.0.1:1' } }),
      port: () => port,
    });
    await using second = await follower(first.port);
    port = second.port;
    assert.is(JSON.parse((await second.page('/')).body).nodes.length, 2, 'the first answers itself');
  });
});

async function runPromtool(
  metrics: string,
): Promise<{ code: number | null; signal: string | null; said: string }> {
  await using child = startProgram('sh', ['-c', 'printf %s "$METRICS" | promtool check metrics'], {
    env: { METRICS: metrics },
  });
  const { code, signal } = await child.ended;
  return { code, signal, said: child.stdout + child.stderr };
}
