import * as assert from 'uvu/assert';
import type { TablesHandle, TablesSweep } from '../../../daemon/threads/tables-client.ts';
import { startTables } from '../../../daemon/threads/tables-client.ts';
import { rejects, spec } from '../../harness.ts';
import { until } from '../../support/until.ts';

function nextSweep(tables: TablesHandle): Promise<TablesSweep> {
  const { promise, resolve } = Promise.withResolvers<TablesSweep>();
  tables.onSweep(resolve);
  return promise;
}

/** Only what hangs takes so long. */
const HANGS_MS = 30_000;

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms);
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

spec('the tables worker', (test) => {
  test('sweeps at once, then at its interval, and keeps the newest', async () => {
    const tables = startTables({ sweepIntervalMs: 50 });
    assert.is(tables.latest(), undefined);
    const first = await nextSweep(tables);
    assert.is(tables.latest(), first);
    const second = await nextSweep(tables);
    assert.ok(second.atMs - first.atMs >= 49, `${second.atMs - first.atMs} ms apart`);
    assert.ok(first.sockets !== undefined || first.conditions.length > 0);
    await tables.stop();
  });

  test('ends also between sweeps that are far apart', async () => {
    const tables = startTables({ sweepIntervalMs: 3_600_000 });
    await nextSweep(tables);
    await within(HANGS_MS, tables.stop());
  });

  test('ends when it is stopped before its first sweep', async () => {
    await within(HANGS_MS, startTables({ sweepIntervalMs: 1_000 }).stop());
  });

  test('gives signs of life also while it waits for the next sweep', async () => {
    const tables = startTables({ sweepIntervalMs: 3_600_000 });
    await nextSweep(tables);
    const lastSignMs = () => performance.now() - tables.heartbeatAgeMs();
    // The first may be that of the end of the sweep.
    for (let signs = 0; signs < 2; signs++) {
      const beforeMs = lastSignMs();
      await until('a later sign', () => lastSignMs() > beforeMs + 100 || undefined);
    }
    await tables.stop();
  });

  test('tells when it dies of a bug, and not when it is stopped', async () => {
    // A number of the wrong kind makes the worker throw after its first sweep.
    const dying = startTables({ sweepIntervalMs: 10n as unknown as number });
    const death = await within(HANGS_MS, dying.died);
    assert.is(death.code, 'WORKER_DIED');
    assert.match((death.cause as Error).message, /BigInt/);
    await within(HANGS_MS, dying.stop());

    const stopped = startTables({ sweepIntervalMs: 1_000 });
    await stopped.stop();
    await rejects(within(50, stopped.died), /not within/);
  });
});
