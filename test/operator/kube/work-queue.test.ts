import * as assert from 'uvu/assert';
import { Backoff } from '../../../operator/kube/backoff.ts';
import { errorOfAnswer } from '../../../operator/kube/kube-error.ts';
import type { WorkQueue } from '../../../operator/kube/work-queue.ts';
import { createWorkQueue } from '../../../operator/kube/work-queue.ts';
import { spec } from '../../harness.ts';

/** A queue whose work is done when the test says so. */
function queueOf(concurrency = 4) {
  const started: string[] = [];
  const done = new Map<string, PromiseWithResolvers<{ requeueAfterMs?: number } | undefined>>();
  let waker = Promise.withResolvers<void>();
  const queue: WorkQueue = createWorkQueue({
    name: 'test',
    log: { log: () => {} },
    concurrency,
    retryFirstMs: 1,
    retryMaxMs: 2,
    handle(key) {
      started.push(key);
      const work = Promise.withResolvers<{ requeueAfterMs?: number } | undefined>();
      done.set(key, work);
      waker.resolve();
      return work.promise;
    },
  });
  return {
    queue,
    started,
    async finish(key: string, outcome?: { requeueAfterMs: number } | Error): Promise<void> {
      const work = done.get(key);
      if (outcome instanceof Error) work?.reject(outcome);
      else work?.resolve(outcome);
      await new Promise(setImmediate);
    },
    async begun(count: number): Promise<void> {
      while (started.length < count) {
        await waker.promise;
        waker = Promise.withResolvers();
      }
    },
  };
}

spec('a work queue', (test) => {
  test('works a key once that was added twice before it began', async () => {
    const { queue, started, finish } = queueOf(1);
    queue.add('busy');
    queue.add('a');
    queue.add('a');
    await finish('busy');
    await finish('a');
    assert.equal(started, ['busy', 'a']);
    await queue.stop();
  });

  test('works a key again that was added while it was worked, and never twice at a time', async () => {
    const { queue, started, finish } = queueOf();
    queue.add('a');
    queue.add('a');
    queue.add('a');
    assert.equal(started, ['a']);
    await finish('a');
    assert.equal(started, ['a', 'a']);
    await finish('a');
    assert.equal(started, ['a', 'a']);
    await queue.stop();
  });

  test('works so many keys at a time as it may', async () => {
    const { queue, started, finish } = queueOf(2);
    for (const key of ['a', 'b', 'c']) queue.add(key);
    assert.equal(started, ['a', 'b']);
    assert.is(queue.depth, 1);
    await finish('a');
    assert.equal(started, ['a', 'b', 'c']);
    await finish('b');
    await finish('c');
    await queue.stop();
  });

  test('tries a key again that failed, and again later one that asks for it', async () => {
    const { queue, started, finish, begun } = queueOf();
    queue.add('a');
    await finish('a', new Error('no'));
    await begun(2);
    await finish('a', { requeueAfterMs: 1 });
    await begun(3);
    await finish('a');
    assert.is(started.length, 3);
    assert.equal(queue.counters, { handled: 2, failed: 1 });
    await queue.stop();
  });

  test('leaves a key alone for as long as the API server wants it', async () => {
    const { queue, started, finish, begun } = queueOf();
    queue.add('a');
    const startedMs = performance.now();
    await finish('a', errorOfAnswer('apply', 429, '', '1'));
    await begun(2);
    assert.ok(performance.now() - startedMs >= 990);
    assert.equal(started, ['a', 'a']);
    await finish('a');
    await queue.stop();
  });

  test('waits at its end for what is under way, and begins nothing more', async () => {
    const { queue, started, finish } = queueOf(1);
    queue.add('a');
    queue.add('b');
    const stopped = queue.stop();
    await finish('a');
    await stopped;
    queue.add('c');
    assert.equal(started, ['a']);
  });

  test('forgets a key with its times', async () => {
    const { queue, started } = queueOf(1);
    queue.add('a', 1);
    queue.forget('a');
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(started, []);
    await queue.stop();
  });
});

spec('what the API server asks for by Retry-After', (test) => {
  const asked = (header?: string, body = ''): number | undefined =>
    errorOfAnswer('list pods', 429, body, header).retryAfterMs;

  test('is heeded, up to two minutes', () => {
    assert.is(asked('3'), 3000);
    assert.is(asked(undefined, '{"details":{"retryAfterSeconds":2}}'), 2000);
    assert.is(asked('99999999999'), 120_000);
    for (const strange of ['-1', 'soon']) assert.is(asked(strange), undefined);
    assert.is(asked(), undefined);
  });
});

spec('a back-off', (test) => {
  test('doubles up to its limit, with jitter, and begins anew after a success', () => {
    const backoff = new Backoff({ firstMs: 100, maxMs: 1000, random: () => 0.5 });
    assert.equal(
      [1, 2, 3, 4, 5].map(() => backoff.next()),
      [150, 300, 600, 1000, 1000],
    );
    backoff.reset();
    assert.is(backoff.next(), 150);
  });
});
