import * as assert from 'uvu/assert';
import type { Authentication, Authenticator } from '../../operator/ingest/authenticator.ts';
import type { TokenReviewOptions, TokenReviewStatus } from '../../operator/ingest/token-review.ts';
import { tokenReviewAuthenticator } from '../../operator/ingest/token-review.ts';
import { spec } from '../harness.ts';

const AUDIENCE = 'finwait.tcp';
const USER = 'system:serviceaccount:tcp:finwait-agent';
const START_MS = 1_800_000_000_000;
const NODE = 'authentication.kubernetes.io/node-name';

function token(claims: Record<string, unknown> = {}): string {
  const all = { aud: [AUDIENCE], sub: USER, iss: 'https://cluster', exp: START_MS / 1000 + 3600, ...claims };
  return `e30.${Buffer.from(JSON.stringify(all)).toString('base64url')}.c2ln`;
}

function accepted(changes: Partial<TokenReviewStatus> = {}): TokenReviewStatus {
  const user = { username: USER, extra: { [NODE]: ['ferry'] } };
  return { authenticated: true, audiences: [AUDIENCE], user, ...changes };
}

interface Bench {
  nowMs: number;
  /** Tokens the API server was asked about. */
  readonly asked: string[];
  readonly counters: Record<string, number>;
  answer: () => Promise<TokenReviewStatus>;
  readonly authenticate: Authenticator;
}

function bench(changes: Partial<TokenReviewOptions> = {}): Bench {
  const at: Bench = {
    nowMs: START_MS,
    asked: [],
    counters: {},
    answer: async () => accepted(),
    authenticate: tokenReviewAuthenticator({
      review: (given) => {
        at.asked.push(given);
        return at.answer();
      },
      audience: AUDIENCE,
      username: USER,
      nowMs: () => at.nowMs,
      count: (event) => {
        at.counters[event] = (at.counters[event] ?? 0) + 1;
      },
      ...changes,
    }),
  };
  return at;
}

function codeOf(authentication: Authentication): string {
  return 'node' in authentication ? authentication.node : authentication.refused.code;
}

spec('operator: review of tokens', (test) => {
  test('takes the node from the claim of a token that the API server vouches for', async () => {
    assert.equal(await bench().authenticate(token()), { node: 'ferry' });
  });

  test('refuses what the API server does not accept, each with a code of its own', async () => {
    const user = accepted().user;
    const cases: readonly (readonly [TokenReviewStatus, string])[] = [
      [{ authenticated: false, error: 'invalid bearer token' }, 'UNAUTHENTICATED'],
      [{}, 'UNAUTHENTICATED'],
      [accepted({ audiences: [] }), 'TOKEN_WRONG_AUDIENCE'],
      [accepted({ audiences: ['https://kubernetes.default.svc'] }), 'TOKEN_WRONG_AUDIENCE'],
      [{ authenticated: true, ...(user && { user }) }, 'TOKEN_WRONG_AUDIENCE'],
      [accepted({ user: { ...user, username: 'system:serviceaccount:tcp:default' } }), 'TOKEN_WRONG_ACCOUNT'],
      [accepted({ user: { username: USER } }), 'TOKEN_WITHOUT_NODE'],
      [accepted({ user: { username: USER, extra: { [NODE]: ['a', 'b'] } } }), 'TOKEN_WITHOUT_NODE'],
      [accepted({ user: { username: USER, extra: { [NODE]: [''] } } }), 'TOKEN_WITHOUT_NODE'],
    ];
    for (const [status, code] of cases) {
      const at = bench();
      at.answer = async () => status;
      assert.is(codeOf(await at.authenticate(token())), code, JSON.stringify(status));
    }
  });

  test('says that a token has expired when it has', async () => {
    const at = bench();
    at.answer = async () => ({ authenticated: false, error: 'token is expired' });
    assert.is(codeOf(await at.authenticate(token({ exp: START_MS / 1000 - 1 }))), 'TOKEN_EXPIRED');
  });

  test('does not trouble the API server with what it could only refuse', async () => {
    const at = bench();
    assert.is(codeOf(await at.authenticate('a-shared-secret')), 'UNAUTHENTICATED');
    assert.is(codeOf(await at.authenticate('e30.bm9uc2Vuc2U.c2ln')), 'UNAUTHENTICATED');
    assert.is(codeOf(await at.authenticate('e30.bnVsbA.c2ln')), 'UNAUTHENTICATED');
    assert.is(codeOf(await at.authenticate(token({ aud: 'vault' }))), 'TOKEN_WRONG_AUDIENCE');
    const other = token({ sub: 'system:serviceaccount:tcp:default' });
    assert.is(codeOf(await at.authenticate(other)), 'TOKEN_WRONG_ACCOUNT');
    assert.equal(at.asked, []);
  });

  test('remembers for five minutes, or as long as the token lives', async () => {
    const at = bench();
    for (const [afterMs, asked] of [
      [0, 1],
      [299_000, 1],
      [301_000, 2],
    ] as const) {
      at.nowMs = START_MS + afterMs;
      await at.authenticate(token());
      assert.is(at.asked.length, asked, `after ${afterMs} ms`);
    }
    const short = bench();
    const shortLived = token({ exp: START_MS / 1000 + 10 });
    await short.authenticate(shortLived);
    short.nowMs += 11_000;
    short.answer = async () => ({ authenticated: false });
    assert.is(codeOf(await short.authenticate(shortLived)), 'TOKEN_EXPIRED');
  });

  test('remembers a refusal shortly', async () => {
    const at = bench();
    at.answer = async () => ({ authenticated: false });
    await at.authenticate(token());
    await at.authenticate(token());
    assert.is(at.asked.length, 1);
    at.nowMs += 11_000;
    at.answer = async () => accepted();
    assert.is(codeOf(await at.authenticate(token())), 'ferry');
  });

  test('asks once for a token that comes many times at once', async () => {
    const at = bench();
    const { promise, resolve } = Promise.withResolvers<TokenReviewStatus>();
    at.answer = () => promise;
    const all = Promise.all(Array.from({ length: 20 }, () => at.authenticate(token())));
    resolve(accepted());
    assert.equal(new Set((await all).map(codeOf)), new Set(['ferry']));
    assert.is(at.asked.length, 1);
  });

  test('while the API server is away, knows those it knew until their token expires, and asks others to wait', async () => {
    const at = bench();
    await at.authenticate(token());
    at.answer = () => Promise.reject(new Error('connect ECONNREFUSED'));
    at.nowMs += 30 * 60_000;
    assert.is(codeOf(await at.authenticate(token())), 'ferry');
    assert.is(at.counters['reviews.standIn'], 1);
    const stranger = await at.authenticate(token({ jti: 'another' }));
    assert.ok('refused' in stranger);
    assert.is(stranger.refused.status, 503);
    assert.is(stranger.refused.headers?.['retry-after'], '2');
    assert.match(stranger.refused.message, 'ECONNREFUSED');
    at.nowMs += 31 * 60_000;
    assert.is(codeOf(await at.authenticate(token())), 'REVIEW_FAILED', 'it expired meanwhile');
    at.answer = async () => accepted();
    assert.is(
      codeOf(await at.authenticate(token({ jti: 'another' }))),
      'ferry',
      'a failure is not remembered',
    );
  });

  test('asks for no more than so many reviews in a second; who is known goes on', async () => {
    const at = bench({ reviewsPerSecond: 5 });
    await at.authenticate(token());
    at.answer = async () => ({ authenticated: false });
    const codes: string[] = [];
    for (let i = 0; i < 10; i++) codes.push(codeOf(await at.authenticate(token({ jti: `made up ${i}` }))));
    assert.is(codes.filter((code) => code === 'UNAUTHENTICATED').length, 4);
    assert.is(codes.filter((code) => code === 'TOO_MANY_REVIEWS').length, 6);
    assert.is(codeOf(await at.authenticate(token())), 'ferry');
    at.nowMs += 1000;
    assert.is(codeOf(await at.authenticate(token({ jti: 'late' }))), 'UNAUTHENTICATED');
  });
});
