/**
 * An agent in a process of its own, with workers that need nothing of the machine: the engine gives so many
 * results at once and then what the environment says.
 *   FAKE_RESULTS=N    results given when the engine is ready
 *   FAKE_EVERY_MS=MS  and one more each time; standard output says `result ID` of each
 *   FAKE_END=worker   the tables worker dies; =bug: an exception nobody catches; =hang: the engine never stops
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { readSettings } from '#base/settings.ts';
import { runAgent } from '../../daemon/main.ts';
import { AGENT_SETTINGS } from '../../daemon/settings.ts';
import type { EngineConfig } from '../../daemon/threads/engine-client.ts';
import { FakeEngine, FakeTables } from './fake-workers.ts';
import { makeResult } from './report/fixtures.ts';

const { FAKE_RESULTS = '0', FAKE_EVERY_MS, FAKE_END } = process.env;
const tables = new FakeTables();

function startEngine(config: EngineConfig): FakeEngine {
  const engine = new FakeEngine(config);
  if (FAKE_END === 'hang') engine.stopping = sleep(60_000);
  engine.ready.then(() => {
    tables.sweep();
    for (let i = 0; i < Number(FAKE_RESULTS); i++) engine.result(makeResult({ startUs: Date.now() * 1000 }));
    if (FAKE_EVERY_MS !== undefined) {
      setInterval(() => {
        if (engine.stopped) return;
        const result = makeResult({ startUs: Date.now() * 1000 });
        process.stdout.write(`result ${result.id}\n`);
        engine.result(result);
      }, Number(FAKE_EVERY_MS)).unref();
    }
    if (FAKE_END === 'worker') tables.die();
    if (FAKE_END === 'bug') {
      setImmediate(() => {
        throw new TypeError('a mistake of ours');
      });
    }
  });
  return engine;
}

const { settings } = readSettings(AGENT_SETTINGS, process.argv.slice(2), {});
process.exitCode = await runAgent(settings, { startTables: () => tables, startEngine });
