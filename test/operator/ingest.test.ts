import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { CONTRACT_LIMITS } from '#contract';
import { parseAcknowledgement } from '../../daemon/contract-parse.ts';
import type { LeadershipView } from '../../operator/fleet/view.ts';
import { rejects, spec, testSeed } from '../harness.ts';
import type { Ingest } from '../support/ingest.ts';
import { readAnswer, requestText, startIngest, TOKEN } from '../support/ingest.ts';
import { sampleReport } from '../support/report.ts';

const REPORT = JSON.stringify(sampleReport());

/** Posts as an agent does, over Node's own client. */
async function post(ingest: Ingest, body: string, token = TOKEN): Promise<{ status: number; body: string }> {
  const sent = request(`https://localhost:${ingest.port}/v1/reports`, {
    method: 'POST',
    ca: ingest.ca,
    agent: false,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    },
  });
  sent.end(body);
  const [response] = await once(sent, 'response');
  return { status: response.statusCode, body: await text(response) };
}

spec('operator: ingest', (test) => {
  test('takes a report and acknowledges it, for the node of the token', async () => {
    await using ingest = await startIngest();
    const { status, body } = await post(ingest, REPORT);
    assert.is(status, 200);
    const ack = parseAcknowledgement(JSON.parse(body));
    assert.ok(ack.ok && ack.value.seq === 1);
    assert.equal(ingest.received, [{ node: 'ferry', report: sampleReport() }]);
    assert.is(ingest.counters.accepted, 1);
  });

  test('refuses who is not known, before reading what they send', async () => {
    await using ingest = await startIngest();
    const wrong = await ingest.raw(requestText(REPORT, { authorization: `Bearer ${TOKEN}x` }));
    assert.is(wrong.status, 401);
    assert.is(wrong.code, 'UNAUTHENTICATED');
    assert.match(wrong.head, /www-authenticate: Bearer/i);
    for (const authorization of [undefined, 'Basic x', 'Bearer', `Bearer ${TOKEN} x`]) {
      assert.is((await ingest.raw(requestText(REPORT, { authorization }))).status, 401, authorization);
    }
    const early = await ingest.raw(
      requestText('', { authorization: 'Bearer no', 'content-length': '1000000' }),
    );
    assert.is(early.status, 401, 'the body never came');
    assert.is(ingest.received.length, 0);
    assert.is(ingest.counters['refused.UNAUTHENTICATED'], 6);
  });

  test('refuses a body over the limit, told by its length or found while it streams', async () => {
    await using ingest = await startIngest();
    const told = await ingest.raw(
      requestText('', { 'content-length': String(CONTRACT_LIMITS.bodyBytes + 1) }),
    );
    assert.is(told.status, 413);
    assert.is(told.code, 'REPORT_TOO_LARGE');
    const chunked = requestText('', { 'content-length': undefined, 'transfer-encoding': 'chunked' });
    const chunk = Buffer.concat([Buffer.from('40000\r\n'), Buffer.alloc(0x40000, 0x20), Buffer.from('\r\n')]);
    const found = await ingest.raw(chunked, chunk, chunk, chunk, chunk, chunk);
    assert.is(found.status, 413);
    assert.is((await post(ingest, ' '.repeat(8 << 20))).status, 413, 'told to a client that still sends');
    const fits = REPORT + ' '.repeat(CONTRACT_LIMITS.bodyBytes - REPORT.length);
    assert.is((await post(ingest, fits)).status, 200, 'one of exactly the limit is taken');
  });

  test('refuses what is not a report, with the reason', async () => {
    await using ingest = await startIngest();
    const not: readonly (readonly [string, RegExp])[] = [
      ['', /the body is not JSON/],
      ['{', /the body is not JSON/],
      ['[]', /the value is a list, not an object/],
      ['{"version":2}', /version 2 is not known/],
      [REPORT.replace('"seq":1', '"seq":"1"'), /seq is not a whole number/],
    ];
    for (const [body, reason] of not) {
      const answer = await ingest.raw(requestText(body));
      assert.is(answer.status, 400);
      assert.is(answer.code, 'REPORT_INVALID');
      assert.match(answer.body, reason);
    }
    const latin1 = Buffer.from(requestText('x').replace(/x$/, '\xff'), 'latin1');
    assert.match((await ingest.raw(latin1)).body, /the body is not UTF-8/);
  });

  test('refuses other types, paths and methods', async () => {
    await using ingest = await startIngest();
    assert.is((await ingest.raw(requestText(REPORT, { 'content-type': 'text/plain' }))).status, 415);
    assert.is((await ingest.raw(requestText(REPORT, { 'content-encoding': 'gzip' }))).status, 415);
    const charset = { 'content-type': 'application/json; charset=utf-8' };
    assert.is((await ingest.raw(requestText(REPORT, charset))).status, 200);
    assert.is((await ingest.raw(requestText('', {}, 'POST / HTTP/1.1'))).code, 'NOT_FOUND');
    const get = await ingest.raw(requestText('', {}, 'GET /v1/reports HTTP/1.1'));
    assert.is(get.code, 'METHOD_NOT_ALLOWED');
    assert.match(get.head, /allow: POST/i);
  });

  test('cuts off a request that takes too long, in its head or in its body', async () => {
    await using ingest = await startIngest({ headMs: 200, requestMs: 400 });
    const slowHead = await ingest.raw('POST /v1/reports HTTP/1.1\r\nhost: localhost\r\n');
    assert.is(slowHead.status, 408);
    assert.is(slowHead.code, 'REQUEST_TIMEOUT');
    const slowBody = await ingest.raw(requestText('{', { 'content-length': '1000' }));
    assert.is(slowBody.status, 408);
    assert.is(ingest.counters['refused.REQUEST_TIMEOUT'], 2);
  });

  test('cuts off a trickle: bytes that keep coming do not keep a request alive', async () => {
    await using ingest = await startIngest({ headMs: 300, requestMs: 300 });
    const socket = await ingest.connect();
    const answer = readAnswer(socket);
    socket.write('POST /v1/reports HTTP/1.1\r\nhost: localhost\r\n');
    const trickle = setInterval(() => socket.write('x: y\r\n'), 20);
    assert.is((await answer).status, 408);
    clearInterval(trickle);
  });

  test('cuts off a connection that never begins TLS', async () => {
    await using ingest = await startIngest({ handshakeMs: 200 });
    const socket = connectTcp(ingest.port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'close');
    assert.is(ingest.counters.tlsFailed, 1);
  });

  test('refuses a head that is too large and bytes that are no HTTP', async () => {
    await using ingest = await startIngest();
    const large = await ingest.raw(requestText(REPORT, { 'x-large': 'x'.repeat(20_000) }));
    assert.is(large.status, 431);
    const garbage = await ingest.raw('\x00\x01\x02 nothing like HTTP\r\n\r\n');
    assert.is(garbage.status, 400);
    assert.is(garbage.code, 'REQUEST_INVALID');
  });

  test('speaks TLS 1.2 and newer only, and not plain HTTP', async () => {
    await using ingest = await startIngest();
    const { port, ca } = ingest;
    const old = connect({
      port,
      host: '127.0.0.1',
      ca,
      servername: 'localhost',
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
    });
    await rejects(once(old, 'secureConnect'));
    const plain = connectTcp(port, '127.0.0.1');
    plain.on('error', () => {});
    plain.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await once(plain, 'close');
    assert.is(ingest.counters.tlsFailed, 2);
  });

  test('survives clients that go away in the middle', async () => {
    await using ingest = await startIngest();
    for (const part of ['POST /v1/re', requestText('{', { 'content-length': '1000' })]) {
      const socket = await ingest.connect();
      socket.write(part);
      await new Promise(setImmediate);
      socket.destroy();
    }
    assert.is((await post(ingest, REPORT)).status, 200);
  });

  test('keeps a connection open from report to report', async () => {
    await using ingest = await startIngest();
    const socket = await ingest.connect();
    const answer = readAnswer(socket);
    socket.write(requestText(REPORT, { connection: 'keep-alive' }));
    socket.write(requestText(REPORT));
    await answer;
    assert.is(ingest.received.length, 2);
  });

  test('answers any bytes over TLS and stays up', async () => {
    await using ingest = await startIngest({ headMs: 150, requestMs: 150 });
    const seed = testSeed();
    const pieces = fc.sample(
      fc.oneof(
        fc.uint8Array({ maxLength: 2000 }),
        fc.string().map((s) => requestText(s)),
        fc.json().map((s) => requestText(s)),
        fc.nat(REPORT.length).map((cut) => requestText(REPORT.slice(0, cut))),
      ),
      { numRuns: 150, seed },
    );
    const answers = await Promise.all(pieces.map((piece) => ingest.raw(piece)));
    for (const { status } of answers) assert.ok([0, 200, 400, 408, 431].includes(status), `status ${status}`);
    assert.is((await post(ingest, REPORT)).status, 200);
  });

  test('compares tokens of any length and content without an error', async () => {
    await using ingest = await startIngest();
    for (const token of ['x', TOKEN.slice(0, -1), `${TOKEN}${TOKEN}`, randomBytes(3000).toString('hex')]) {
      assert.is((await post(ingest, REPORT, token)).status, 401);
    }
  });

  test('of a replica that does not lead names the leader, and takes nothing', async () => {
    let view: LeadershipView = { leads: false, leader: { name: 'two', address: 'https://10.1.2.3:7461' } };
    await using ingest = await startIngest({}, { leadership: () => view });
    const named = await ingest.raw(requestText(REPORT, { connection: 'keep-alive' }));
    assert.is(named.status, 421);
    assert.is(named.code, 'NOT_LEADER');
    assert.is(JSON.parse(named.body).leader, 'https://10.1.2.3:7461');
    for (const unknown of [{ leads: false }, { leads: false, leader: { name: 'two', address: '' } }]) {
      view = unknown;
      const nobody = await ingest.raw(requestText(REPORT));
      assert.is(nobody.status, 503);
      assert.match(nobody.head, /retry-after: 1/i);
      assert.is(JSON.parse(nobody.body).leader, undefined);
    }
    assert.is(ingest.received.length, 0);
    assert.is(ingest.counters['refused.NOT_LEADER'], 3);
  });

  test('of a leader that loses its lead while the report comes takes nothing', async () => {
    let asked = 0;
    await using ingest = await startIngest({}, { leadership: () => ({ leads: asked++ === 0 }) });
    assert.is((await ingest.raw(requestText(REPORT))).code, 'NOT_LEADER');
    assert.is(ingest.received.length, 0);
  });

  test('refuses a report that names another node than its token', async () => {
    await using ingest = await startIngest();
    const from = (node: string) => JSON.stringify(sampleReport({ agent: { ...sampleReport().agent, node } }));
    const other = await ingest.raw(requestText(from('barge')));
    assert.is(other.status, 403);
    assert.is(other.code, 'NODE_MISMATCH');
    assert.match(other.body, 'the report names the node barge, the token is of ferry');
    assert.is((await ingest.raw(requestText(from('ferry')))).status, 200);
    assert.is(ingest.received.length, 1);
  });
});
