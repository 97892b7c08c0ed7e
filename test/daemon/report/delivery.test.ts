import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { systemClock } from '../../../daemon/report/clock.ts';
import { createPusher } from '../../../daemon/report/push.ts';
import { Reporter } from '../../../daemon/report/reporter.ts';
import { Spool } from '../../../daemon/report/spool.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { HEALTH, makeLog, makeResult } from './fixtures.ts';
import type { Receiver } from './https-receiver.ts';
import { acknowledge, respond, startReceiver } from './https-receiver.ts';

const RESULTS = 40;

/** Takes reports once each, as an operator does, whichever run of the receiver they come to. */
class Ledger {
  readonly ids: string[] = [];
  readonly #seen = new Set<string>();
  #wanted: { readonly count: number; readonly resolve: () => void } | undefined;

  listen(receiver: Receiver): void {
    receiver.behaviour = (response, report) => {
      const number = `${report.boot} ${report.seq}`;
      if (!this.#seen.has(number)) this.ids.push(...report.probes.map(({ id }) => id));
      this.#seen.add(number);
      acknowledge(response, report);
      if (this.#wanted !== undefined && this.ids.length >= this.#wanted.count) this.#wanted.resolve();
    };
  }

  async holds(count: number): Promise<void> {
    if (this.ids.length >= count) return;
    await new Promise<void>((resolve) => {
      this.#wanted = { count, resolve };
    });
  }
}

async function startReporter(dir: string, url: string, spoolDir: string | undefined): Promise<Reporter> {
  const tokenFile = join(dir, 'token');
  await writeFile(tokenFile, 'a-token');
  const pusher = createPusher({
    operatorUrl: url,
    tokenFile,
    caFile: join(dir, 'tls', 'ca.crt'),
    serverName: '',
    totalTimeoutMs: 300,
  });
  const identity = { version: '0', hostname: 'a', kernel: 'k', mode: 'probe' } as const;
  const reporter = new Reporter(
    { boot: randomUUID(), identity, intervalMs: 20 },
    {
      clock: systemClock,
      random: Math.random,
      spool: await Spool.open(spoolDir, 2 ** 20),
      pusher,
      log: makeLog().log,
      health: () => HEALTH,
      conditions: () => [],
      onAssignment: () => {},
    },
  );
  reporter.start();
  reporter.setTables({});
  return reporter;
}

spec('delivery over TLS', (test) => {
  test('an operator that hangs, cuts, refuses and is restarted loses no result and gets none twice', async () => {
    await using dir = await makeTempDir('delivery');
    const tlsDir = join(dir.path, 'tls');
    const ledger = new Ledger();
    const ids: string[] = [];
    let port = 0;
    let reporter: Reporter | undefined;
    const moods: ((receiver: Receiver) => void)[] = [
      (receiver) => ledger.listen(receiver),
      (receiver) => {
        receiver.behaviour = (response) => respond(response, 503, {});
      },
      (receiver) => {
        receiver.behaviour = (response) => void response.socket?.destroy();
      },
      (receiver) => {
        receiver.behaviour = () => {};
      },
      (receiver) => ledger.listen(receiver),
    ];
    for (const [index, mood] of moods.entries()) {
      await using receiver = await startReceiver(tlsDir, port);
      port = receiver.port;
      mood(receiver);
      reporter ??= await startReporter(dir.path, receiver.url, join(dir.path, 'spool'));
      for (let i = 0; i < RESULTS / moods.length; i++) {
        const result = makeResult();
        ids.push(result.id);
        reporter.addResult(result);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      if (index === moods.length - 1) await ledger.holds(RESULTS);
    }
    await reporter?.stop(500);
    assert.equal(ledger.ids.toSorted(), ids.toSorted());
  });

  test('an agent that ends while the operator is away hands its results to the next agent', async () => {
    await using dir = await makeTempDir('delivery');
    const tlsDir = join(dir.path, 'tls');
    const spoolDir = join(dir.path, 'spool');
    const port = await startReceiver(tlsDir).then(async (receiver) => {
      await receiver[Symbol.asyncDispose]();
      return receiver.port;
    });
    const first = await startReporter(dir.path, `https://127.0.0.1:${port}`, spoolDir);
    const result = makeResult();
    first.addResult(result);
    await first.stop(300);
    await using receiver = await startReceiver(tlsDir, port);
    const ledger = new Ledger();
    ledger.listen(receiver);
    const second = await startReporter(dir.path, receiver.url, spoolDir);
    await ledger.holds(1);
    await second.stop(500);
    assert.equal(ledger.ids, [result.id]);
  });
});
