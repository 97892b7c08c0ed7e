import { Worker } from 'node:worker_threads';
import * as assert from 'uvu/assert';
import { close, eventfd, write } from '../../daemon/kernel/libc.ts';
import { createPoller, wakePoller } from '../../daemon/kernel/poller.ts';
import { spec } from '../harness.ts';

const ONE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

spec('the poller', (test) => {
  test('waits as long as it is told, by fractions of a millisecond', () => {
    using fd = eventFd();
    using poller = createPoller(fd.number);
    for (const timeoutMs of [0.2, 3, 1_020]) {
      const startMs = performance.now();
      assert.is(poller.wait(timeoutMs), false);
      const tookMs = performance.now() - startMs;
      assert.ok(tookMs >= timeoutMs, `${timeoutMs} ms took ${tookMs}`);
    }
    for (const timeoutMs of [0, -1]) assert.is(poller.wait(timeoutMs), false);
  });

  test('says that there is something to read', () => {
    using fd = eventFd();
    using poller = createPoller(fd.number);
    write(fd.number, ONE);
    assert.is(poller.wait(Number.POSITIVE_INFINITY), true);
    assert.is(poller.wait(0), true, 'until it is read');
  });

  test('says of a descriptor that is gone that it is to be read, so that the read can tell why', () => {
    const fd = eventFd();
    using poller = createPoller(fd.number);
    fd[Symbol.dispose]();
    assert.is(poller.wait(Number.POSITIVE_INFINITY), true);
  });

  test('is woken once however often it was told before, and waits again after', () => {
    using fd = eventFd();
    using poller = createPoller(fd.number);
    for (let i = 0; i < 3; i++) poller.wake();
    assert.is(poller.wait(Number.POSITIVE_INFINITY), false);
    const againMs = performance.now();
    assert.is(poller.wait(20), false);
    assert.ok(performance.now() - againMs >= 20);
  });

  test('is woken from another thread, to which the number of the eventfd was given', async () => {
    const started = new Int32Array(new SharedArrayBuffer(4));
    const module = new URL('../../daemon/kernel/poller.ts', import.meta.url).href;
    const worker = new Worker(
      `import(${JSON.stringify(module)}).then(({ createPoller }) => {
        const { parentPort, workerData } = require('node:worker_threads');
        const poller = createPoller(workerData.fd);
        parentPort.postMessage(poller.wakeFd);
        Atomics.store(workerData.started, 0, 1);
        const readable = poller.wait(Number.POSITIVE_INFINITY);
        poller.close();
        parentPort.postMessage({ readable });
      })`,
      { eval: true, workerData: { fd: -1, started } },
    );
    const messages: unknown[] = [];
    const done = Promise.withResolvers<void>();
    worker.on('error', done.reject);
    worker.on('exit', () => done.resolve());
    worker.on('message', (message) => {
      messages.push(message);
      if (typeof message === 'number') wakePoller(message);
    });
    await done.promise;
    assert.equal(messages.slice(1), [{ readable: false }]);
  });
});

function eventFd(): Disposable & { readonly number: number } {
  const number = eventfd();
  let open = true;
  return {
    number,
    [Symbol.dispose]() {
      if (open) close(number);
      open = false;
    },
  };
}
