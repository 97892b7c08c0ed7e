import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { PushConfig, Pusher, PushOutcome } from '../../../daemon/report/push.ts';
import { createPusher } from '../../../daemon/report/push.ts';
import { networkCondition } from '../../../daemon/report/push-conditions.ts';
import { spec } from '../../harness.ts';
import { freePorts } from '../../support/ports.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { BOOT, makeReport } from './fixtures.ts';
import type { Behaviour, Receiver } from './https-receiver.ts';
import { acknowledge, respond, startReceiver } from './https-receiver.ts';

const BODY = JSON.stringify(makeReport(3, 1));
const TOKEN = 'node-token-1';

interface Bench extends AsyncDisposable {
  readonly dir: string;
  readonly receiver: Receiver;
  readonly config: PushConfig;
  pusher(changes?: Partial<PushConfig>): Pusher;
}

async function bench(): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await makeTempDir('push')).path;
  const receiver = stack.use(await startReceiver(join(dir, 'tls')));
  const tokenFile = join(dir, 'token');
  await writeFile(tokenFile, `${TOKEN}\n`);
  const config = { operatorUrl: receiver.url, tokenFile, caFile: receiver.caFile, serverName: '' };
  const kept = stack.move();
  return {
    dir,
    receiver,
    config,
    pusher(changes = {}) {
      const pusher = createPusher({ ...config, ...changes });
      kept.defer(() => pusher.close());
      return pusher;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function outcomeOf(behaviour: Behaviour, changes: Partial<PushConfig> = {}): Promise<PushOutcome> {
  await using at = await bench();
  at.receiver.behaviour = behaviour;
  return await at.pusher(changes).push(BODY);
}

/** What a person is told. */
function told(outcome: PushOutcome): string {
  return 'condition' in outcome
    ? `${outcome.condition.code}: ${outcome.condition.message} (${outcome.condition.hint})`
    : outcome.kind;
}

spec('push over TLS', (test) => {
  test('delivers the report with the token and hands back the acknowledgement', async () => {
    await using at = await bench();
    let received: unknown;
    at.receiver.behaviour = (response, report, request) => {
      received = { report, path: request.url, method: request.method, type: request.headers['content-type'] };
      acknowledge(response, report);
    };
    const outcome = await at.pusher().push(BODY);
    assert.is(outcome.kind, 'acknowledged');
    assert.is(outcome.kind === 'acknowledged' && outcome.ack.seq, 3);
    const expected = { path: '/v1/reports', method: 'POST', type: 'application/json' };
    assert.equal(received, { report: JSON.parse(BODY), ...expected });
    assert.equal(at.receiver.tokens, [`Bearer ${TOKEN}`]);
  });

  test('reads the token again for every push', async () => {
    await using at = await bench();
    const pusher = at.pusher();
    await pusher.push(BODY);
    await writeFile(at.config.tokenFile, 'node-token-2');
    await pusher.push(BODY);
    assert.equal(at.receiver.tokens, ['Bearer node-token-1', 'Bearer node-token-2']);
  });

  test('keeps one connection, and opens another without a fuss when the operator closed it', async () => {
    await using at = await bench();
    const pusher = at.pusher();
    for (let i = 0; i < 3; i++) await pusher.push(BODY);
    assert.is(at.receiver.connections, 1);
    at.receiver.closeIdle();
    assert.is((await pusher.push(BODY)).kind, 'acknowledged');
    assert.is(at.receiver.connections, 2);
  });

  test('asks again at once when the operator closed the idle connection just as it was used', async () => {
    await using at = await bench();
    const asked = new WeakSet<object>();
    at.receiver.behaviour = (response, report, { socket }) => {
      if (asked.has(socket)) return void socket.destroy();
      asked.add(socket);
      acknowledge(response, report);
    };
    const pusher = at.pusher();
    for (let i = 0; i < 3; i++) assert.is((await pusher.push(BODY)).kind, 'acknowledged');
    assert.is(at.receiver.connections, 3);
  });

  test('does not send the token to a server whose certificate another authority signed', async () => {
    await using at = await bench();
    await using other = await makeTempDir('other-ca');
    await using stranger = await startReceiver(other.path);
    const outcome = await at.pusher({ operatorUrl: stranger.url }).push(BODY);
    assert.match(told(outcome), /^OPERATOR_UNREACHABLE: .*--ca-file/);
    assert.equal(stranger.tokens, []);
  });

  test('does not send the token to a server whose certificate is for another name', async () => {
    await using at = await bench();
    const outcome = await at.pusher({ serverName: 'operator.finwait.svc' }).push(BODY);
    assert.match(told(outcome), /^OPERATOR_UNREACHABLE: .*--server-name/);
    const byAddress = await at.pusher({ serverName: '10.9.9.9' }).push(BODY);
    assert.match(told(byAddress), /^OPERATOR_UNREACHABLE: .*--server-name/);
    assert.equal(at.receiver.tokens, []);
  });

  test('takes a name the certificate is for in place of the one in the URL', async () => {
    await using at = await bench();
    for (const serverName of ['localhost', '::1']) {
      assert.is((await at.pusher({ serverName }).push(BODY)).kind, 'acknowledged', serverName);
    }
  });

  test("says what to do about each refusal, in the operator's own words where it has some", async () => {
    const error = { code: 'UNAUTHENTICATED', message: 'the token is not known', hint: 'mount the right one' };
    const unauthorized = await outcomeOf((response) => respond(response, 401, { error }));
    assert.is(unauthorized.kind, 'unauthorized');
    assert.match(
      told(unauthorized),
      /^OPERATOR_REFUSED: .*401: the token is not known \(mount the right one\)/,
    );
    const forbidden = await outcomeOf((response) => respond(response, 403, 'no'));
    assert.is(forbidden.kind, 'unauthorized');
    const tooLarge = await outcomeOf((response) => respond(response, 413, ''));
    assert.is(tooLarge.kind, 'invalid');
    assert.match(told(tooLarge), /^REPORT_TOO_LARGE: .*dropped and counted/);
    const invalid = await outcomeOf((response) => respond(response, 400, {}));
    assert.is(invalid.kind, 'invalid');
    assert.match(told(invalid), /^REPORT_INVALID/);
    const lost = await outcomeOf((response) => respond(response, 404, '<html>'));
    assert.is(lost.kind, 'unreachable');
    assert.match(told(lost), /404.*--operator-url/);
  });

  test('passes on how long a busy operator wants to be left alone', async () => {
    const outcome = await outcomeOf((response) => respond(response, 503, {}, { 'retry-after': '7' }));
    assert.ok(outcome.kind === 'unavailable' && outcome.retryAfterMs === 7_000, told(outcome));
    const silent = await outcomeOf((response) => respond(response, 503, {}));
    assert.ok(silent.kind === 'unavailable' && silent.retryAfterMs === undefined);
  });

  test('an answer that is no acknowledgement is a failure, not a success', async () => {
    for (const body of ['', '[]', '{"version":1}', `{"version":2,"boot":"${BOOT}"}`, 'x'.repeat(2_000_000)]) {
      const outcome = await outcomeOf((response) => respond(response, 200, body));
      assert.is(outcome.kind, 'unreachable', body.slice(0, 20));
    }
  });

  test('gives up on an operator that hangs before or within the answer', async () => {
    const silent = await outcomeOf(() => {}, { totalTimeoutMs: 150 });
    assert.match(told(silent), /^OPERATOR_UNREACHABLE: .*no answer within 0.15 s/);
    const stalled = await outcomeOf(
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"version":1,');
      },
      { totalTimeoutMs: 150 },
    );
    assert.is(stalled.kind, 'unreachable');
  });

  test('gives up on a port that accepts and never speaks TLS', async () => {
    await using at = await bench();
    const server = createServer().listen(0, '127.0.0.1');
    const sockets: { destroy(): void }[] = [];
    server.on('connection', (socket) => sockets.push(socket));
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const outcome = await at
      .pusher({ operatorUrl: `https://127.0.0.1:${port}`, connectTimeoutMs: 150 })
      .push(BODY);
    assert.match(told(outcome), /no TLS handshake within 0.15 s/);
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });

  test('takes a connection cut in the middle of the request for a failure to be tried again', async () => {
    const outcome = await outcomeOf((response) => void response.socket?.destroy());
    assert.is(outcome.kind, 'unreachable');
  });

  test('names the cure when nothing listens, the name does not resolve, or the port speaks no TLS', async () => {
    await using at = await bench();
    const [port = 0] = await freePorts(1);
    const refused = await at.pusher({ operatorUrl: `https://127.0.0.1:${port}` }).push(BODY);
    assert.match(told(refused), /ECONNREFUSED.*start the operator/);
    const nameless = networkCondition(
      Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }),
      'https://x',
    );
    assert.match(nameless.hint, /does not resolve/);
    const server = createServer((socket) => {
      socket.on('error', () => {}).resume();
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port: plain } = server.address() as { port: number };
    const clear = await at.pusher({ operatorUrl: `https://127.0.0.1:${plain}` }).push(BODY);
    assert.match(told(clear), /does not speak TLS.*--ingest-listen/);
    server.close();
    await once(server, 'close');
  });

  test('tells which file is missing or empty, and needs no restart once it is there', async () => {
    await using at = await bench();
    const unnamed = await at.pusher({ tokenFile: '' }).push(BODY);
    assert.match(told(unnamed), /^TOKEN_UNREADABLE: no token file is named.*--token-file/);
    const tokenFile = join(at.dir, 'later');
    const pusher = at.pusher({ tokenFile });
    assert.match(told(await pusher.push(BODY)), /^TOKEN_UNREADABLE: .*later.*ENOENT/);
    await writeFile(tokenFile, 'two words');
    assert.match(told(await pusher.push(BODY)), /^TOKEN_UNREADABLE: .*does not hold one token/);
    await writeFile(tokenFile, TOKEN);
    assert.is((await pusher.push(BODY)).kind, 'acknowledged');
    const noCa = await at.pusher({ caFile: join(at.dir, 'no-ca') }).push(BODY);
    assert.match(told(noCa), /^OPERATOR_UNREACHABLE: the CA file .*ENOENT/);
  });

  test('a CA file that is empty, half written or no certificate is a fault that names it', async () => {
    await using at = await bench();
    const caFile = join(at.dir, 'bad-ca');
    for (const text of ['', 'not PEM', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n']) {
      await writeFile(caFile, text);
      assert.match(told(await at.pusher({ caFile }).push(BODY)), /^OPERATOR_UNREACHABLE: .*--ca-file/, text);
    }
    assert.equal(at.receiver.tokens, []);
  });

  test('trusts a CA that replaced the one before, without a restart', async () => {
    await using at = await bench();
    await using other = await makeTempDir('new-ca');
    await using renewed = await startReceiver(other.path);
    const caFile = join(at.dir, 'ca-in-use');
    await writeFile(caFile, await readFile(at.receiver.caFile));
    const pusher = at.pusher({ caFile, operatorUrl: renewed.url });
    assert.is((await pusher.push(BODY)).kind, 'unreachable');
    await writeFile(caFile, await readFile(renewed.caFile));
    assert.is((await pusher.push(BODY)).kind, 'acknowledged');
  });

  test('ends at once when the agent ends', async () => {
    await using at = await bench();
    at.receiver.behaviour = () => {};
    const abort = new AbortController();
    const pushing = at.pusher().push(BODY, abort.signal);
    setTimeout(() => abort.abort(), 50);
    assert.match(told(await pushing), /the agent is ending/);
  });
});
