import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { ROOT, runFinwait } from '../support/child.ts';
import { operatorArgs, startOperator } from '../support/operator.ts';
import { BOOT, sampleReport } from '../support/report.ts';
import { makeTempDir } from '../support/temp-dir.ts';

spec('operator: as a process', (test) => {
  test('takes a report and shows it, and ends at SIGTERM with 0', async () => {
    await using operator = await startOperator({ args: ['--target', 'db:5432', '--target-interval', '2s'] });
    const { status, ack } = await operator.send(sampleReport());
    assert.is(status, 200);
    assert.is(ack.seq, 1);
    const [target] = ack.assignment?.targets ?? [];
    assert.is(target?.name, 'db:5432');
    assert.is(target?.intervalMs, 2000);
    const overview = await operator.overview();
    assert.is(overview.nodes[0]?.name, 'ferry');
    assert.equal(overview.nodes[0]?.sockets, sampleReport().sockets);
    assert.is(overview.operator.telemetry.traces, 'off');
    assert.equal(await operator.child.stop('SIGTERM'), { code: 0, signal: null });
  });

  test('restarted is trusted as before, and takes up where agents are', async () => {
    await using dir = await makeTempDir('operator');
    const ca: string[] = [];
    const instances = new Set<string>();
    for (const seq of [41, 42]) {
      await using operator = await startOperator({ dir: dir.path });
      ca.push(await readFile(operator.caFile, 'utf8'));
      const { ack } = await operator.send(sampleReport({ seq }));
      assert.is(ack.seq, seq);
      instances.add(ack.instance);
      assert.equal((await operator.overview()).nodes[0]?.reports, {
        applied: 1,
        duplicates: 0,
        missing: 0,
        boots: 1,
      });
    }
    assert.is(ca[0], ca[1]);
    assert.is(instances.size, 2, 'each run has an id of its own');
  });

  test('says when a port is taken, by whom it was asked for and what to do', async () => {
    await using dir = await makeTempDir('operator');
    const taken = createServer();
    await once(taken.listen(0, '127.0.0.1'), 'listening');
    const where = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    const args = await operatorArgs(dir.path);
    for (const option of ['ingest-listen', 'web-listen']) {
      const rest = args.with(args.indexOf(`--${option}`) + 1, where);
      const { code, stderr } = await runFinwait(rest);
      assert.is(code, 3);
      assert.match(stderr, `PORT_IN_USE: something else listens on ${where}`);
      assert.match(stderr, `choose another port with --${option}`);
    }
    await once(taken.close(), 'close');
  });

  test(
    'says when it cannot start for want of a token, an address or a directory',
    async () => {
      await using dir = await makeTempDir('operator');
      const args = await operatorArgs(dir.path);
      const without = (option: string): string[] => args.toSpliced(args.indexOf(`--${option}`), 2);
      const change = (option: string, value: string): string[] =>
        args.with(args.indexOf(`--${option}`) + 1, value);
      const short = join(dir.path, 'short');
      await writeFile(short, 'secret');
      const cases: readonly (readonly [string[], number, string])[] = [
        [without('agent-token-file'), 2, 'CONFIG_INVALID'],
        [change('agent-token-file', join(dir.path, 'none')), 3, 'TOKEN_UNREADABLE'],
        [change('agent-token-file', short), 3, 'TOKEN_UNREADABLE'],
        [change('tls-dir', join(short, 'tls')), 3, 'TLS_DIR_UNUSABLE'],
        [change('web-listen', '192.0.2.1:0'), 3, 'LISTEN_FAILED'],
        [change('web-listen', 'nonsense'), 2, 'USAGE'],
        [[...args, '--target', 'db'], 2, 'USAGE'],
        [[...args, '--tls-mode', 'secret'], 2, 'CONFIG_INVALID'],
        [[...args, '--tls-mode', 'files'], 3, 'TLS_FILES_UNUSABLE'],
        [[...change('ingest-listen', '0.0.0.0:0'), '--kubernetes'], 2, 'CONFIG_INVALID'],
        [[...args, '--kubernetes', '--kubeconfig', join(dir.path, 'none')], 3, 'KUBE_CONFIG_UNUSABLE'],
        [[...args, '--agent-service-account', 'finwait-agent'], 2, 'USAGE'],
      ];
      for (const [caseArgs, exit, code] of cases) {
        const { code: actual, stderr } = await runFinwait(caseArgs, {
          env: { OTEL_EXPORTER_OTLP_ENDPOINT: undefined },
        });
        assert.match(stderr, `finwait: ${code}: `);
        assert.match(stderr, '  hint: ');
        assert.is(actual, exit, stderr);
      }
    },
    { timeoutMs: 180_000 },
  );

  test('started by a parent tells it when ready, leaves Ctrl-C to it, and ends when it is gone', async () => {
    await using dir = await makeTempDir('operator');
    const child = fork(join(ROOT, 'cli/main.ts'), await operatorArgs(dir.path), { silent: true });
    const [message] = await once(child, 'message');
    assert.is(message.type, 'ready');
    assert.is(message.ingest.address, '127.0.0.1');
    assert.ok(message.web.port > 0);
    child.kill('SIGINT');
    const alive = await fetch(`http://127.0.0.1:${message.web.port}/readyz`);
    assert.is(alive.status, 200);
    child.disconnect();
    const [code] = await once(child, 'exit');
    assert.is(code, 0);
  });

  test('with an OTLP endpoint that is no URL does not start', async () => {
    await using dir = await makeTempDir('operator');
    const { code, stderr } = await runFinwait(await operatorArgs(dir.path), {
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' },
    });
    assert.is(code, 2);
    assert.match(stderr, 'CONFIG_INVALID: OTEL_EXPORTER_OTLP_ENDPOINT is "collector:4318"');
  });

  test('counts reports that an agent sends again', async () => {
    await using operator = await startOperator();
    for (const seq of [1, 1, 2, 5]) await operator.send(sampleReport({ seq, boot: BOOT }));
    assert.equal((await operator.overview()).nodes[0]?.reports, {
      applied: 3,
      duplicates: 1,
      missing: 2,
      boots: 1,
    });
  });
});
