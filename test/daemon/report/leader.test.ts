import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { leaderOf } from '../../../daemon/report/leader.ts';
import { createPusher } from '../../../daemon/report/push.ts';
import { spec } from '../../harness.ts';
import { freePorts } from '../../support/ports.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { makeReport } from './fixtures.ts';
import { acknowledge, type Receiver, respond, startReceiver } from './https-receiver.ts';

const BODY = JSON.stringify(makeReport(3, 1));
const NOT_LEADER = { error: { code: 'NOT_LEADER', message: 'another leads', hint: 'ask it' } };

/** Two replicas with one CA, and a pusher that was told of the first. */
async function bench(connectTimeoutMs = 2000) {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await makeTempDir('leader')).path;
  const replicas = [
    stack.use(await startReceiver(join(dir, 'tls'))),
    stack.use(await startReceiver(join(dir, 'tls'))),
  ] as const;
  const tokenFile = join(dir, 'token');
  await writeFile(tokenFile, 'node-token-1');
  const pusher = createPusher({
    operatorUrl: `https://localhost:${replicas[0].port}`,
    tokenFile,
    caFile: replicas[0].caFile,
    serverName: '',
    connectTimeoutMs,
  });
  stack.defer(() => pusher.close());
  const kept = stack.move();
  return { dir, replicas, pusher, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function pointsTo(replica: Receiver, leader: string | undefined): void {
  replica.behaviour = (response) =>
    leader === undefined
      ? respond(response, 503, NOT_LEADER, { 'retry-after': '1' })
      : respond(response, 421, { ...NOT_LEADER, leader });
}

spec('push to the leader', (test) => {
  test('goes where the replica that was asked says, and stays there', async () => {
    await using at = await bench();
    const [follower, leader] = at.replicas;
    pointsTo(follower, leader.url);
    for (let i = 0; i < 3; i++) assert.is((await at.pusher.push(BODY)).kind, 'acknowledged');
    assert.is(follower.tokens.length, 1);
    assert.is(leader.tokens.length, 3);
    assert.is(leader.connections, 1, 'over one connection');
  });

  test('goes back to the address it was given within the same push when the leader is gone', async () => {
    await using at = await bench();
    const [first, second] = at.replicas;
    pointsTo(first, second.url);
    await at.pusher.push(BODY);
    first.behaviour = acknowledge;
    await second[Symbol.asyncDispose]();
    assert.is((await at.pusher.push(BODY)).kind, 'acknowledged');
    assert.is((await at.pusher.push(BODY)).kind, 'acknowledged');
    assert.is(first.tokens.length, 3);
  });

  test('goes back when the one that led leads no more, or is no operator any more', async () => {
    for (const status of [421, 503, 404, 500]) {
      await using at = await bench();
      const [first, second] = at.replicas;
      pointsTo(first, second.url);
      await at.pusher.push(BODY);
      first.behaviour = acknowledge;
      second.behaviour = (response) => respond(response, status, NOT_LEADER);
      assert.is((await at.pusher.push(BODY)).kind, 'acknowledged', `after ${status}`);
    }
  });

  test('keeps to a leader that refuses the report or the token, or asks for patience', async () => {
    for (const [status, kind] of [
      [401, 'unauthorized'],
      [400, 'invalid'],
      [503, 'unavailable'],
    ] as const) {
      await using at = await bench();
      const [first, second] = at.replicas;
      pointsTo(first, second.url);
      second.behaviour = (response) => respond(response, status, { error: { code: 'REVIEW_FAILED' } });
      for (let i = 0; i < 2; i++) assert.is((await at.pusher.push(BODY)).kind, kind);
      assert.is(first.tokens.length, 1);
    }
  });

  test('ends after a few hops when replicas point at each other, and waits when none knows a leader', async () => {
    await using at = await bench();
    const [first, second] = at.replicas;
    pointsTo(first, second.url);
    pointsTo(second, `https://127.0.0.1:${first.port}`);
    assert.is((await at.pusher.push(BODY)).kind, 'unavailable');
    assert.is(first.tokens.length + second.tokens.length, 3);
    pointsTo(first, undefined);
    pointsTo(second, undefined);
    const outcome = await at.pusher.push(BODY);
    assert.ok(outcome.kind === 'unavailable' && outcome.retryAfterMs === 1000);
    assert.match(outcome.condition.message, 'another leads');
  });

  test('says so when the leader that is named does not answer, and asks again next time', async () => {
    await using at = await bench();
    const [first, second] = at.replicas;
    const [port = 0] = await freePorts(1);
    pointsTo(first, `https://127.0.0.1:${port}`);
    assert.is((await at.pusher.push(BODY)).kind, 'unreachable');
    pointsTo(first, second.url);
    assert.is((await at.pusher.push(BODY)).kind, 'acknowledged');
  });

  test('sends no token to an address whose certificate is not the operator’s', async () => {
    await using at = await bench();
    await using other = await makeTempDir('other-ca');
    await using stranger = await startReceiver(other.path);
    pointsTo(at.replicas[0], stranger.url);
    assert.is((await at.pusher.push(BODY)).kind, 'unreachable');
    assert.equal(stranger.tokens, []);
  });

  test('holds the leader to the server name it was given, not to its address', async () => {
    await using at = await bench();
    const [follower, leader] = at.replicas;
    const pusher = createPusher({
      operatorUrl: follower.url,
      tokenFile: join(at.dir, 'token'),
      caFile: follower.caFile,
      serverName: 'localhost',
    });
    pointsTo(follower, leader.url);
    assert.is((await pusher.push(BODY)).kind, 'acknowledged');
    pusher.close();
    assert.match(await readFile(join(at.dir, 'token'), 'utf8'), 'node-token-1');
  });

  test('follows nothing but https, an address and a port', () => {
    const leader = (value: unknown, status = 421) =>
      leaderOf({ status, text: JSON.stringify({ leader: value }) });
    for (const good of ['https://10.1.2.3:7461', 'https://[fd00::1]:7461']) assert.is(leader(good), good);
    for (const bad of [
      'http://10.1.2.3:7461',
      'https://operator:7461',
      'https://10.1.2.3',
      'https://10.1.2.3:0',
      'https://10.1.2.3:70000',
      'https://10.1.2.300:7461',
      'https://user@10.1.2.3:7461',
      'https://10.1.2.3:7461/path',
      'https://[10.1.2.3]:7461',
      'https://[::zz]:7461',
      7,
      null,
    ]) {
      assert.is(leader(bad), undefined, String(bad));
    }
    assert.is(leader('https://10.1.2.3:7461', 503), undefined);
    for (const text of ['no JSON', 'null', '7']) assert.is(leaderOf({ status: 421, text }), undefined);
  });
});
