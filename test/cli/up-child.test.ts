import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import type { ChildPlan, SupervisedChild } from '../../cli/up-child.ts';
import { superviseChild } from '../../cli/up-child.ts';
import { rejects, spec } from '../harness.ts';
import { ROOT } from '../support/child.ts';
import { isAlive } from '../support/processes.ts';

const FAST = { firstBackoffMs: 10, maxBackoffMs: 40, quickMs: 5000, quickDeaths: 3 };
const READY = `process.send({ type: 'ready', web: { host: '127.0.0.1', port: 1 } });`;
const WITH_PARENT = `process.on('disconnect', () => process.exit(0));`;

interface Watched extends AsyncDisposable {
  readonly child: SupervisedChild;
  readonly pids: number[];
  firstPid(): number;
  readonly log: string[];
  /** Resolves when the child said `ready` for the nth time. */
  ready(times: number): Promise<void>;
}

/** Supervises a program given as JavaScript, and ends it with its scope. */
function watch(script: string | ((start: number) => string), pace = FAST): Watched {
  const pids: number[] = [];
  const log: string[] = [];
  const waiting: { times: number; resolve: () => void }[] = [];
  let readies = 0;
  const plan: ChildPlan = {
    name: 'stand-in',
    command: () => [process.execPath, '-e', typeof script === 'string' ? script : script(pids.length)],
    env: process.env,
    onLog: (line) => log.push(line),
    onStart: (pid) => pids.push(pid),
    onReady() {
      readies++;
      for (const each of waiting) if (readies >= each.times) each.resolve();
    },
    pace,
  };
  const child = superviseChild(plan);
  return {
    child,
    pids,
    firstPid() {
      const [pid] = pids;
      if (pid === undefined) throw new Error('it has not started');
      return pid;
    },
    log,
    ready(times) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ times, resolve });
      if (readies >= times) resolve();
      return promise;
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.stop(0);
    },
  };
}

spec('a supervised child', (test) => {
  test('that dies is started again, and its last line is told', async () => {
    await using watched = watch((start) =>
      start === 0
        ? `${READY} console.error('finwait agent: error: the worker is gone'); setTimeout(() => process.exit(7), 50);`
        : `${READY} ${WITH_PARENT}`,
    );
    await watched.ready(2);
    assert.is(watched.pids.length, 2);
    const condition = watched.child.condition();
    assert.is(condition?.code, 'CHILD_DIED');
    assert.is(
      condition?.message,
      'the stand-in ended with exit code 7; its last line: finwait agent: error: the worker is gone',
    );
  });

  test('that was killed is told so', async () => {
    await using watched = watch(`${READY} ${WITH_PARENT}`);
    await watched.ready(1);
    process.kill(watched.firstPid(), 'SIGKILL');
    await watched.ready(2);
    assert.is(watched.child.condition()?.message, 'the stand-in was ended by SIGKILL');
  });

  test('that runs well again is no fault any more', async () => {
    await using watched = watch((start) => (start === 0 ? 'process.exit(1)' : `${READY} ${WITH_PARENT}`), {
      ...FAST,
      quickMs: 0,
    });
    await watched.ready(1);
    assert.is(watched.child.condition(), undefined);
  });

  test('that keeps dying at once is given up, with the message of its exception', async () => {
    await using watched = watch(
      `${READY} setTimeout(() => { throw new TypeError('x is not a function') }, 20)`,
    );
    const error = await rejects(watched.child.givenUp);
    assert.instance(error, FinwaitError);
    assert.is((error as FinwaitError).code, 'CHILD_DIED');
    assert.match((error as FinwaitError).message, /^the stand-in ended with exit code 1 3 times in a row/);
    assert.match((error as FinwaitError).message, /TypeError: x is not a function$/);
    assert.is(watched.pids.length, 3);
  });

  test('that says why it cannot run is not tried again', async () => {
    await using watched = watch(
      `process.send({ type: 'failed', code: 'PORT_IN_USE', message: 'port 1 is taken', hint: 'take another' })`,
    );
    const error = (await rejects(watched.child.givenUp)) as FinwaitError;
    assert.is(error.code, 'PORT_IN_USE');
    assert.is(error.hint, 'take another');
    assert.is(watched.pids.length, 1);
  });

  test('that cannot be started at all is given up', async () => {
    const plan: ChildPlan = {
      name: 'nothing',
      command: () => ['/nonexistent/program'],
      env: {},
      onLog() {},
      onReady() {},
      onStart() {},
      pace: FAST,
    };
    const error = await rejects(superviseChild(plan).givenUp, /did not start: spawn .*ENOENT/);
    assert.is((error as FinwaitError).code, 'CHILD_DIED');
  });

  test('that cannot be started for want of descriptors is given up, too', () => {
    const script = `
      import { openSync } from 'node:fs';
      import { superviseChild } from ${JSON.stringify(join(ROOT, 'cli/up-child.ts'))};
      await import('node:child_process').then(({ spawnSync }) => spawnSync('true'));
      try { for (;;) openSync('/dev/null'); } catch {}
      const nothing = () => {};
      const plan = { name: 'starved', command: () => ['true'], env: {}, onLog: nothing, onReady: nothing, onStart: nothing };
      const pace = ${JSON.stringify(FAST)};
      await superviseChild({ ...plan, pace }).givenUp.catch(({ message }) => process._rawDebug(message));
      process.exit(0);`;
    const run = `ulimit -n 64; exec "${process.execPath}" --input-type=module`;
    const { stderr } = spawnSync('bash', ['-c', run], { input: script, encoding: 'utf8' });
    assert.match(stderr, /^the starved did not start: spawn true EMFILE 3 times in a row$/m);
  });

  test('is asked to end with SIGTERM', async () => {
    await using watched = watch(
      `${WITH_PARENT} process.on('SIGTERM', () => { console.log('ending'); process.exit(0); }); ${READY}`,
    );
    await watched.ready(1);
    await watched.child.stop(5000);
    assert.equal(watched.log, ['ending']);
    assert.not.ok(isAlive(watched.firstPid()));
  });

  test('that does not end when asked is killed at the deadline', async () => {
    await using watched = watch(
      `process.on('SIGTERM', () => {}); ${READY} ${WITH_PARENT} setInterval(() => {}, 1000);`,
    );
    await watched.ready(1);
    await watched.child.stop(100);
    assert.not.ok(isAlive(watched.firstPid()));
  });

  test('stays ended when it is stopped during a pause', async () => {
    await using watched = watch('process.exit(1)', { ...FAST, firstBackoffMs: 60_000, maxBackoffMs: 60_000 });
    while (watched.child.condition() === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    await watched.child.stop(100);
    assert.is(watched.pids.length, 1);
  });
});
