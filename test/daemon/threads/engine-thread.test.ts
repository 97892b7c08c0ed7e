import * as assert from 'uvu/assert';
import type { FinwaitError } from '#base/errors.ts';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { EngineThread } from '../../../daemon/threads/engine-thread.ts';
import { rejects, spec } from '../../harness.ts';
import { watchLeftovers } from '../../support/leftovers.ts';
import { makeNetns } from '../../support/netns.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const NEEDS = { needs: ['root', 'tun', 'netns'], timeoutMs: 180_000 } as const;
const REQUEST = {
  id: 'a'.repeat(32),
  target: { name: 't', host: 't', port: 1, origin: 'user', intervalMs: 1000, limits: DEFAULT_PROBE_LIMITS },
  address: '127.0.0.1',
} as const;

function standIn(behaviour: 'obeys' | 'refused' | 'throws' | 'leaves' | 'deaf'): EngineThread {
  const host = { device: behaviour, mtu: 1500, allowForwarding: false, footprint: false, stateDir: '' };
  return new EngineThread({ host, profile: 'finwait' }, new URL('./engine-stand-in.ts', import.meta.url));
}

/** Whether a promise has settled by the end of this turn of the event loop. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const later = new Promise((resolve) => setImmediate(resolve, 'later'));
  return (await Promise.race([promise, later])) !== 'later';
}

spec("the engine's thread", (test) => {
  test('gives the reason when the host does not allow the engine, and does not call it a death', async () => {
    const thread = standIn('refused');
    const error = (await rejects(thread.ready, /not allowed/)) as FinwaitError;
    assert.is(error.code, 'TUN_DENIED');
    assert.is(error.hint, 'ask root');
    assert.is((error.cause as Error).message, 'EPERM');
    await rejects(thread.probe(REQUEST, new AbortController().signal), /not allowed/);
    await thread.stop();
    assert.not.ok(await isSettled(thread.died));
  });

  for (const [behaviour, words] of [
    ['throws', /ended unexpectedly: an exception was not caught/],
    ['leaves', /ended unexpectedly: it ended with code 5/],
  ] as const) {
    test(`tells everyone who waits when the worker ${behaviour}`, async () => {
      const thread = standIn(behaviour);
      await thread.ready;
      await rejects(thread.probe(REQUEST, new AbortController().signal), words);
      const error = await thread.died;
      assert.is(error.code, 'WORKER_DIED');
      if (behaviour === 'throws') assert.is((error.cause as Error).message, 'a bug in the engine');
      await thread.stop();
    });
  }

  test('stops, and what still waits is told so', async () => {
    const thread = standIn('obeys');
    await thread.ready;
    const probe = rejects(thread.probe(REQUEST, new AbortController().signal), /was stopped/);
    await thread.stop();
    await probe;
    assert.not.ok(await isSettled(thread.died));
  });

  test('takes a worker down that does not hear', async () => {
    const thread = standIn('deaf');
    await thread.ready;
    await thread.stop();
  });

  for (const [how, code] of [
    ['exit', 7],
    ['throw', 1],
  ] as const) {
    test(
      `does not hold up a process that ends without stopping it (${how}), and leaves no device`,
      async () => {
        await using ns = await makeNetns('thread');
        await using state = await makeTempDir('engine-exit');
        const watch = watchLeftovers(ns.enter);
        const script = 'test/daemon/threads/engine-exit.ts';
        await using child = ns.start(process.execPath, [script, how, state.path], { env: watch.env });
        // Until the system call of the worker is ended, the process cannot.
        assert.is((await child.ended).code, code, child.stderr);
        await watch.assertNothingLeft();
      },
      NEEDS,
    );
  }

  test(
    'keeps no fault of a target that was taken away while it was probed',
    async () => {
      await using ns = await makeNetns('withdrawn');
      await using state = await makeTempDir('withdrawn');
      await using child = ns.start(process.execPath, ['test/daemon/threads/engine-withdrawn.ts', state.path]);
      assert.is((await child.ended).code, 0, child.stderr);
      assert.not.match(child.stdout, 'NAME_UNRESOLVED');
      assert.match(child.stdout, /^\[.*\]$/m);
    },
    NEEDS,
  );

  test(
    'probes nothing more when its device is lost: another engine takes its place',
    async () => {
      await using ns = await makeNetns('lost');
      await using state = await makeTempDir('lost');
      await using child = ns.start(process.execPath, ['test/daemon/threads/engine-lost.ts', state.path]);
      assert.is((await child.ended).code, 0, child.stderr);
      assert.match(child.stdout, /^results: 0$/m);
    },
    NEEDS,
  );
});
