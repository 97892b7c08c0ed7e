import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import * as assert from 'uvu/assert';
import { connectionBudget } from '../../operator/http/descriptors.ts';
import { spec } from '../harness.ts';
import { readAnswer, requestText, startIngest } from '../support/ingest.ts';
import { startOperator } from '../support/operator.ts';
import { sampleReport } from '../support/report.ts';
import { until } from '../support/until.ts';

const REPORT = JSON.stringify(sampleReport());

async function idleConnections(port: number, count: number, address = '127.0.0.1'): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () =>
    connect({ port, host: '127.0.0.1', localAddress: address }),
  );
  for (const socket of sockets) socket.on('error', () => {});
  await Promise.all(sockets.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
  return sockets;
}

spec('operator: connections to ingest', (test) => {
  test('are fewer than the process has descriptors, with a part for health and one for itself', () => {
    for (const limit of [64, 256, 1024, 4096, 1_048_576]) {
      const { ingest, web } = connectionBudget(limit);
      assert.ok(ingest >= 8 && web >= 8 && ingest + web <= limit - Math.min(128, limit / 2), `of ${limit}`);
    }
    assert.is(connectionBudget(1_048_576).ingest, 10_000);
  });

  test('of a client that proved nothing are closed with the answer; an agent keeps its own', async () => {
    await using ingest = await startIngest({ headMs: 2000 });
    for (const [headers, line] of [[{ authorization: 'Bearer no' }], [{}, 'GET / HTTP/1.1']] as const) {
      const answer = await ingest.raw(requestText('', { connection: 'keep-alive', ...headers }, line));
      assert.match(answer.head, /connection: close/i);
    }
    const agent = await ingest.connect();
    agent.write(requestText(REPORT, { connection: 'keep-alive' }));
    await once(agent, 'data');
    const silent = readAnswer(await ingest.connect());
    assert.is((await silent).status, 408, 'and one without a request is closed early');
    const answer = readAnswer(agent);
    agent.write(requestText(REPORT));
    assert.is((await answer).status, 200);
  });

  test('of strangers make room, those of agents do not', async () => {
    await using ingest = await startIngest({ bounds: { total: 6, perAddress: 4, perClient: 2 } });
    const agent = await ingest.connect();
    agent.write(requestText(REPORT, { connection: 'keep-alive' }));
    await once(agent, 'data');
    const strangers = [
      ...(await idleConnections(ingest.port, 10, '127.0.0.2')),
      ...(await idleConnections(ingest.port, 10, '127.0.0.3')),
    ];
    await until(
      'connections are cut',
      () =>
        (ingest.counters['cut.perAddress'] ?? 0) + (ingest.counters['cut.total'] ?? 0) === 15 || undefined,
    );
    const newcomer = connectTls({
      port: ingest.port,
      host: '127.0.0.1',
      ca: ingest.ca,
      servername: 'localhost',
    });
    await once(newcomer, 'secureConnect');
    const answer = readAnswer(agent);
    agent.write(requestText(REPORT));
    assert.is((await answer).status, 200);
    for (const socket of [...strangers, newcomer]) socket.destroy();
  });

  test('of one node are bounded, too: the oldest is cut', async () => {
    await using ingest = await startIngest({ bounds: { perClient: 2 } });
    const mine: Socket[] = [];
    for (let i = 0; i < 3; i++) {
      const socket = await ingest.connect();
      socket.on('error', () => {}).write(requestText(REPORT, { connection: 'keep-alive' }));
      await once(socket, 'data');
      mine.push(socket);
    }
    await until('connections are cut', () => mine[0]?.closed === true || undefined);
    assert.is(ingest.counters['cut.perClient'], 1);
    assert.is(mine[2]?.closed, false);
  });

  test(
    'up to the limit of open files and beyond leave reports, health and metrics as they were',
    async () => {
      await using operator = await startOperator({ within: ['prlimit', '--nofile=256:256'] });
      const sockets: Socket[] = [];
      for (let i = 2; i < 12; i++) {
        sockets.push(...(await idleConnections(operator.ingestPort, 40, `127.0.0.${i}`)));
        sockets.push(...(await idleConnections(operator.webPort, 10, `127.0.0.${i}`)));
      }
      const conditions = await until('more than 200 are cut', async () => {
        const { counters, conditions } = (await operator.overview()).operator;
        const cut = (counters['cut.total'] ?? 0) + (counters['cut.perAddress'] ?? 0);
        return cut > 200 ? conditions : undefined;
      });
      assert.ok(conditions.some(({ code }) => code === 'CONNECTIONS_CUT'));
      assert.is((await operator.send(sampleReport())).status, 200);
      const descriptors = Number(
        (await readFile(`/proc/${operator.child.pid}/limits`, 'utf8')).match(/Max open files +(\d+)/)?.[1],
      );
      assert.is(descriptors, 256);
      for (const socket of sockets) socket.destroy();
    },
    { timeoutMs: 180_000 },
  );
});
