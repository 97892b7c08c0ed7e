import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Report } from '#contract';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { startProgram } from '../support/child.ts';
import { freePorts } from '../support/ports.ts';
import type { TempDir } from '../support/temp-dir.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import type { Receiver } from './report/https-receiver.ts';
import { acknowledge, startReceiver } from './report/https-receiver.ts';

const PROGRAM = join(import.meta.dirname, 'agent-child.ts');

async function agentArgs(dir: TempDir, port: number, httpPort = 0): Promise<string[]> {
  const tokenFile = join(dir.path, 'token');
  await writeFile(tokenFile, 'a-token');
  return [
    ...['--operator-url', `https://127.0.0.1:${port}`, '--token-file', tokenFile],
    ...['--ca-file', join(dir.path, 'tls/ca.crt'), '--state-dir', join(dir.path, 'state')],
    ...['--http-listen', `127.0.0.1:${httpPort}`, '--report-interval', '200ms'],
  ];
}

function start(args: readonly string[], env: Record<string, string> = {}): Child {
  return startProgram(process.execPath, [PROGRAM, ...args], { env });
}

/** Remembers reports as they come. */
function remember(receiver: Receiver): Report[] {
  const reports: Report[] = [];
  receiver.behaviour = (response, report) => {
    reports.push(report);
    acknowledge(response, report);
  };
  return reports;
}

function serving(agent: Child): Promise<unknown> {
  return agent.output(/health and metrics are served on http/, { stream: 'stderr' });
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

spec('agent process', (test) => {
  test('an agent killed with reports in its spool loses none: the next one delivers them, then its own', async () => {
    await using dir = await makeTempDir('main');
    const tlsDir = join(dir.path, 'tls');
    // The CA has to be there; the operator is away.
    const away = await startReceiver(tlsDir);
    await away[Symbol.asyncDispose]();
    const args = await agentArgs(dir, away.port);
    await using killed = start(args, { FAKE_RESULTS: '3' });
    await until('a report on disk', async () => {
      const names = await readdir(join(dir.path, 'state/spool')).catch(() => []);
      return names.some((name) => name.endsWith('-3.json')) ? true : undefined;
    });
    await killed.stop('SIGKILL');
    await using receiver = await startReceiver(tlsDir, away.port);
    const reports = remember(receiver);
    await using next = start(args);
    await until('reports of both runs', () =>
      new Set(reports.map(({ boot }) => boot)).size === 2 ? true : undefined,
    );
    assert.is(reports[0]?.probes.length, 3);
    assert.not.equal(reports[0]?.boot, reports.at(-1)?.boot);
    assert.is((await next.stop()).code, 0);
    assert.equal(await readdir(join(dir.path, 'state/spool')), []);
  });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    test(`${signal} delivers a last report and ends with 0`, async () => {
      await using dir = await makeTempDir('main');
      await using receiver = await startReceiver(join(dir.path, 'tls'));
      const reports = remember(receiver);
      await using agent = start(await agentArgs(dir, receiver.port));
      await until('a report', () => reports[0]);
      const before = reports.length;
      assert.is((await agent.stop(signal)).code, 0, agent.stderr);
      assert.ok(reports.length > before, 'a last report came');
    });
  }

  test('a second signal ends it at once, whatever hangs', async () => {
    await using dir = await makeTempDir('main');
    const [port = 0] = await freePorts(1);
    await using agent = start(await agentArgs(dir, port), { FAKE_END: 'hang' });
    await serving(agent);
    agent.kill('SIGTERM');
    await agent.output(/stopping: SIGTERM/, { stream: 'stderr' });
    assert.is((await agent.stop('SIGINT')).code, 130);
  });

  test('a worker that died takes the agent down: exit code 71 and the reason as the last line', async () => {
    await using dir = await makeTempDir('main');
    await using receiver = await startReceiver(join(dir.path, 'tls'));
    const reports = remember(receiver);
    await using agent = start(await agentArgs(dir, receiver.port), { FAKE_END: 'worker', FAKE_RESULTS: '2' });
    assert.is((await agent.ended).code, 71, agent.stderr);
    assert.match(
      agent.stderr.trimEnd().split('\n').at(-1) ?? '',
      /error: the tables worker ended code=WORKER_DIED/,
    );
    assert.is(reports.flatMap(({ probes }) => probes).length, 2, 'what it knew is not lost');
  });

  test('a bug ends it with 70, its stack, and where to report it', async () => {
    await using dir = await makeTempDir('main');
    const [port = 0] = await freePorts(1);
    await using agent = start(await agentArgs(dir, port), { FAKE_END: 'bug' });
    assert.is((await agent.ended).code, 70);
    assert.match(
      agent.stderr,
      /error: INTERNAL: TypeError: a mistake of ours\n +at .*agent-child\.ts:\d+:\d+/,
    );
    assert.match(agent.stderr, 'report it');
  });

  test('tells the process that started it where it serves, and ends in order when that one is gone', async () => {
    await using dir = await makeTempDir('main');
    await using receiver = await startReceiver(join(dir.path, 'tls'));
    const reports = remember(receiver);
    const child = fork(PROGRAM, await agentArgs(dir, receiver.port), {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const [ready] = (await once(child, 'message')) as [
      { type: string; http: { address: string; port: number } },
    ];
    assert.is(ready.type, 'ready');
    const health = await fetch(`http://${ready.http.address}:${ready.http.port}/healthz`);
    assert.is(health.status, 200);
    await until('a report', () => reports[0]);
    const before = reports.length;
    const exit = exitOf(child);
    child.disconnect();
    assert.is(await exit, 0);
    assert.ok(reports.length > before);
  });

  test('says at its end what it could not deliver: kept with a directory, lost without', async () => {
    await using dir = await makeTempDir('main');
    const [port = 0] = await freePorts(1);
    const args = await agentArgs(dir, port);
    await using keeping = start(args, { FAKE_RESULTS: '4' });
    await serving(keeping);
    await keeping.stop();
    assert.match(keeping.stderr, /4 probe results are kept for the next start/);
    const index = args.indexOf('--state-dir');
    await using losing = start(args.toSpliced(index, 2), { FAKE_RESULTS: '4' });
    await serving(losing);
    await losing.stop();
    assert.match(losing.stderr, /warn: 4 probe results are lost/);
  });

  test('without a token file it says so and does not start', async () => {
    await using agent = start(['--http-listen', '127.0.0.1:0']);
    assert.ok((await agent.ended).code !== 0);
    assert.match(agent.stderr, /--token-file/);
  });

  test('tells the process that started it why it cannot run', async () => {
    await using dir = await makeTempDir('main');
    await using receiver = await startReceiver(join(dir.path, 'tls'));
    // The port of the receiver is one that is surely taken.
    const args = await agentArgs(dir, receiver.port, receiver.port);
    const child = fork(PROGRAM, args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const exit = exitOf(child);
    const [failed] = (await once(child, 'message')) as [{ type: string; code: string; hint: string }];
    assert.equal([failed.type, failed.code], ['failed', 'PORT_IN_USE']);
    assert.match(failed.hint, '--http-listen');
    assert.ok((await exit) !== 0);
  });
});
