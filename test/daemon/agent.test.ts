import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import type { Listener, ProbeTarget, Report } from '#contract';
import { CONTRACT_VERSION, DEFAULT_PROBE_LIMITS } from '#contract';
import { Agent } from '../../daemon/agent.ts';
import { ConditionLog } from '../../daemon/condition-log.ts';
import { EngineSlot } from '../../daemon/engine-slot.ts';
import { AGENT_SETTINGS } from '../../daemon/settings.ts';
import type { EngineConfig } from '../../daemon/threads/engine-client.ts';
import { rejects, spec } from '../harness.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { FakeEngine, FakeTables, makeSweep } from './fake-workers.ts';
import {
  INSTANCE,
  listenerTargetOf,
  makeLog,
  makeResult,
  makeSockets,
  VirtualClock,
} from './report/fixtures.ts';
import type { Receiver } from './report/https-receiver.ts';
import { respond, startReceiver } from './report/https-receiver.ts';

const REFUSAL = new FinwaitError('TUN_MISSING', 'there is no /dev/net/tun', 'modprobe tun');
const LISTENER: Listener = {
  local: { address: '0.0.0.0', port: 22 },
  family: 4,
  process: null,
  acceptQueue: 0,
  backlog: 128,
};
const ASSIGNED: ProbeTarget = {
  name: 'db:5432',
  host: 'db',
  port: 5432,
  origin: 'user',
  intervalMs: 1_000,
  limits: DEFAULT_PROBE_LIMITS,
};

interface Scene extends AsyncDisposable {
  readonly agent: Agent;
  readonly tables: FakeTables;
  readonly engines: FakeEngine[];
  readonly receiver: Receiver;
  readonly reports: Report[];
  readonly lines: string[];
  get(path: string): Promise<{ status: number; body: string }>;
}

interface SceneOptions {
  readonly args?: readonly string[];
  readonly refusal?: FinwaitError;
  readonly assigned?: readonly ProbeTarget[];
}

/** An agent with workers of the test's making, and a real TLS receiver that takes its reports. */
async function makeScene({ args = [], refusal, assigned = [] }: SceneOptions = {}): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await makeTempDir('agent')).path;
  const receiver = stack.use(await startReceiver(join(dir, 'tls')));
  const reports: Report[] = [];
  receiver.behaviour = (response, report) => {
    reports.push(report);
    respond(response, 200, {
      version: CONTRACT_VERSION,
      boot: report.boot,
      instance: INSTANCE,
      seq: report.seq,
      assignment: { targets: assigned, reportIntervalMs: 200 },
    });
  };
  const tokenFile = join(dir, 'token');
  await writeFile(tokenFile, 'a-token');
  const { settings } = readSettings(
    AGENT_SETTINGS,
    [
      ...['--operator-url', receiver.url, '--token-file', tokenFile, '--ca-file', receiver.caFile],
      ...['--http-listen', '127.0.0.1:0', '--report-interval', '200ms', ...args],
    ],
    {},
  );
  const tables = new FakeTables();
  const engines: FakeEngine[] = [];
  const { lines, log } = makeLog();
  const startEngine = (config: EngineConfig) => {
    const engine = new FakeEngine(config, refusal);
    engines.push(engine);
    return engine;
  };
  const agent = await Agent.start(settings, { startTables: () => tables, startEngine, log });
  stack.defer(() => (tables.stopped ? undefined : agent.stop()));
  const kept = stack.move();
  return {
    agent,
    tables,
    engines,
    receiver,
    reports,
    lines,
    async get(path) {
      const response = await fetch(`http://127.0.0.1:${agent.http.port}${path}`);
      return { status: response.status, body: await response.text() };
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

spec('agent', (test) => {
  test('is ready after the first reading of the tables, once the engine runs', async () => {
    await using scene = await makeScene();
    const before = await scene.get('/readyz');
    assert.is(before.status, 503);
    assert.match(before.body, "the first reading of the kernel's tables");
    scene.tables.sweep();
    assert.is((await scene.get('/readyz')).status, 200);
    assert.equal(JSON.parse((await scene.get('/healthz')).body).heartbeatsMs, { tables: 5, engine: 7 });
  });

  test('reports that ports run out, as a condition', async () => {
    await using scene = await makeScene();
    const use = {
      source: '10.0.0.1',
      destination: { address: '10.0.0.5', port: 5432 },
      used: 95,
      usable: 95,
    };
    const ports = { destinations: [{ ...use, timeWait: 0, reusable: 0, bound: 0 }], folded: 0 };
    scene.tables.sweep(makeSweep({ sockets: makeSockets({ ports }) }));
    await until('a report', () => scene.reports[0]);
    assert.equal(
      scene.reports[0]?.conditions.map(({ code }) => code),
      ['PORTS_EXHAUSTED'],
    );
  });

  test('reports tables, results, health and conditions of all its parts', async () => {
    await using scene = await makeScene();
    const condition = { code: 'CONNTRACK_MISSING', message: 'no conntrack', hint: 'modprobe' } as const;
    scene.tables.sweep(makeSweep({ counters: { sockets_undecodable: 3 }, conditions: [condition] }));
    const result = makeResult();
    scene.engines[0]?.result(result);
    const report = await until('the result', () => scene.reports.find(({ probes }) => probes.length > 0));
    assert.equal(report.probes, [result]);
    assert.equal(report.conditions, [condition]);
    assert.ok(report.sockets !== undefined && report.health.rssBytes > 0);
    assert.is(report.health.counters['tables.sockets_undecodable'], 3);
    assert.is(report.health.counters['engine.probes_finished'], 1);
    assert.is(report.agent.mode, 'probe');
    assert.match((await scene.get('/metrics')).body, /probes_total{target="db:5432",verdict="open"} 1/);
  });

  test('probes what the operator assigns, and what listens here when asked to', async () => {
    await using scene = await makeScene({
      args: ['--probe-local-listeners', '--probe-interval', '10s'],
      assigned: [ASSIGNED],
    });
    scene.tables.sweep(makeSweep({ sockets: makeSockets({ listeners: [LISTENER] }) }));
    const targets = await until('both targets', () => {
      const found = scene.engines[0]?.targets ?? [];
      return found.length === 2 ? found : undefined;
    });
    assert.equal(targets, [ASSIGNED, listenerTargetOf('0.0.0.0:22', '198.18.77.1', 22)]);
    scene.tables.sweep();
    assert.equal(scene.engines[0]?.targets, [ASSIGNED], 'what listens no more is not probed');
  });

  test('leaves listeners alone unless asked', async () => {
    await using scene = await makeScene();
    scene.tables.sweep(makeSweep({ sockets: makeSockets({ listeners: [LISTENER] }) }));
    await until('a report', () => scene.reports[0]);
    assert.equal(scene.engines[0]?.targets, []);
  });

  test('goes on without a TUN device: tables are reported, the condition says what to do', async () => {
    await using scene = await makeScene({ refusal: REFUSAL });
    scene.tables.sweep();
    const ready = await scene.get('/readyz');
    assert.is(ready.status, 200, 'waiting would not make it better');
    assert.match(ready.body, /TUN_MISSING.*modprobe tun/s);
    assert.is((await scene.get('/healthz')).status, 200);
    const report = await until('a report', () => scene.reports[0]);
    assert.is(report.conditions[0]?.code, 'TUN_MISSING');
    assert.ok(report.sockets !== undefined);
    assert.is(scene.lines.filter((line) => /TUN_MISSING/.test(line)).length, 1);
  });

  test('ends at once when the TUN device is required and cannot be had', async () => {
    const error = await rejects(makeScene({ refusal: REFUSAL, args: ['--require-tun'] }));
    assert.is(error, REFUSAL);
  });

  test('starts no engine in mode observe, and says that assigned probes are not made', async () => {
    await using scene = await makeScene({ args: ['--mode', 'observe'], assigned: [ASSIGNED] });
    scene.tables.sweep();
    await until('the condition in a report', () =>
      scene.reports.find(({ conditions }) => conditions.some(({ code }) => code === 'PROBES_OFF')),
    );
    assert.equal(scene.engines, []);
    assert.is((await scene.get('/readyz')).status, 200);
  });

  test('hands the settings of the device to the engine', async () => {
    await using byDefault = await makeScene();
    const config = byDefault.engines[0]?.config;
    assert.equal([config?.device, config?.deviceExact, config?.mtu], ['finwait0', false, 1500]);
    assert.equal([config?.allowForwarding, config?.footprint, config?.prefixV4], [false, false, undefined]);
    await using chosen = await makeScene({
      args: ['--device', 'probe7', '--prefix-v4', '10.9.0.0/29', '--footprint', '--allow-forwarding'],
    });
    assert.equal(chosen.engines[0]?.config, {
      device: 'probe7',
      deviceExact: true,
      mtu: 1500,
      prefixV4: '10.9.0.0/29',
      allowForwarding: true,
      footprint: true,
      tableUntilExit: true,
      stateDir: '',
    });
  });

  test('stops in order: no new targets, engine and tables ended, what came last still delivered', async () => {
    await using scene = await makeScene({ assigned: [ASSIGNED] });
    scene.tables.sweep();
    await until('the assignment', () => (scene.engines[0]?.targets.length === 1 ? true : undefined));
    const last = makeResult({ verdict: 'aborted' });
    const stop = FakeEngine.prototype.stop;
    const [engine] = scene.engines;
    assert.ok(engine);
    engine.stop = async () => {
      assert.equal(engine.targets, []);
      assert.match((await scene.get('/readyz')).body, 'stopping');
      engine.result(last);
      await stop.call(engine);
    };
    await scene.agent.stop();
    assert.ok(engine.stopped && scene.tables.stopped);
    assert.equal(scene.reports.at(-1)?.probes, [last]);
    await rejects(scene.get('/readyz'));
  });

  test('tells the operator why it goes when a worker died', async () => {
    await using scene = await makeScene();
    scene.tables.sweep();
    scene.tables.die();
    assert.is((await scene.agent.died).code, 'WORKER_DIED');
    await scene.agent.stop();
    assert.is(scene.reports.at(-1)?.conditions[0]?.code, 'WORKER_DIED');
  });
});

spec('engine slot', (test) => {
  test('tries again until the machine allows the engine, and then has no refusal any more', async () => {
    const clock = new VirtualClock();
    let [refusal, starts, ready]: [FinwaitError | undefined, number, number] = [REFUSAL, 0, 0];
    const slot = new EngineSlot({} as EngineConfig, {
      startEngine(config) {
        starts++;
        return new FakeEngine(config, refusal);
      },
      clock,
      onReady: () => ready++,
      onResult: () => {},
    });
    assert.is(await slot.start(), REFUSAL);
    await clock.run(95_000);
    assert.is(starts, 4);
    assert.equal(
      slot.conditions().map(({ code }) => code),
      ['TUN_MISSING'],
    );
    refusal = undefined;
    await clock.run(30_000);
    assert.equal([ready, slot.conditions().length], [1, 0]);
    await clock.run(120_000);
    assert.is(starts, 5);
    await slot.stop();
  });

  test('replaces an engine whose device was taken away, and tells so for a minute', async () => {
    const clock = new VirtualClock();
    const engines: FakeEngine[] = [];
    let ready = 0;
    const slot = new EngineSlot({} as EngineConfig, {
      startEngine(config) {
        engines.push(new FakeEngine(config));
        return engines.at(-1) as FakeEngine;
      },
      clock,
      onReady: () => ready++,
      onResult: () => {},
    });
    await slot.start();
    const codes = () => slot.conditions().map(({ code }) => code);
    assert.equal(codes(), []);
    engines[0]?.die(new FinwaitError('TUN_LOST', 'finwait0 was removed', 'leave it alone'));
    await clock.run(500);
    assert.equal([slot.ready, ...codes()], [undefined, 'TUN_LOST']);
    await clock.run(1_000);
    assert.equal([ready, slot.ready?.device, slot.counters().tun_devices_lost], [2, 'finwait0', 1]);
    assert.equal(codes(), ['TUN_LOST']);
    await clock.run(60_000);
    assert.equal(codes(), []);
    await slot.stop();
  });

  test('has a run that has its result not run again by the engine that takes the place of a lost one', async () => {
    const clock = new VirtualClock();
    const engines: FakeEngine[] = [];
    const told: string[] = [];
    const runs = ['answered', 'aborted', 'waiting'].map((name) => ({ ...ASSIGNED, name, once: 'r1' }));
    const slot: EngineSlot = new EngineSlot({} as EngineConfig, {
      startEngine(config) {
        engines.push(new FakeEngine(config));
        return engines.at(-1) as FakeEngine;
      },
      clock,
      onReady: () => slot.setTargets([...runs, ASSIGNED]),
      onResult: ({ target }) => void told.push(target.name),
    });
    await slot.start();
    const asked = (engine: FakeEngine | undefined) => engine?.targets.map(({ name }) => name);
    assert.equal(asked(engines[0]), ['answered', 'aborted', 'waiting', 'db:5432']);
    for (const [n, verdict] of (['refused', 'aborted'] as const).entries()) {
      engines[0]?.result(makeResult({ target: runs[n] ?? ASSIGNED, verdict }));
    }
    engines[0]?.result(makeResult({ target: ASSIGNED }));
    assert.equal(told, ['answered', 'aborted', 'db:5432']);
    engines[0]?.die(new FinwaitError('TUN_LOST', 'finwait0 was removed', 'leave it alone'));
    await clock.run(2_000);
    assert.equal(asked(engines[1]), ['aborted', 'waiting', 'db:5432']);
    slot.setTargets([{ ...ASSIGNED, name: 'answered', once: 'r2' }]);
    assert.equal(asked(engines[1]), ['answered'], 'another run of the same target');
    await slot.stop();
  });

  test('does not start again once it is stopped', async () => {
    const clock = new VirtualClock();
    let starts = 0;
    const slot = new EngineSlot({} as EngineConfig, {
      startEngine(config) {
        starts++;
        return new FakeEngine(config, REFUSAL);
      },
      clock,
      onReady: () => {},
      onResult: () => {},
    });
    await slot.start();
    await slot.stop();
    await clock.run(120_000);
    assert.is(starts, 1);
  });
});

spec('condition log', (test) => {
  const fault = (message: string) => ({ code: 'CONNTRACK_DENIED', message, hint: 'run as root' }) as const;

  test('tells a fault when it begins and when it is over, not each time it is seen', () => {
    const { lines, log } = makeLog();
    const conditions = new ConditionLog(log);
    for (const message of ['1 flow', '2 flows', '3 flows']) conditions.look([fault(message)], 0);
    assert.equal(lines, ['finwait agent: warn: 1 flow code=CONNTRACK_DENIED hint="run as root"']);
    conditions.look([], 1_000);
    assert.is(lines[1], 'finwait agent: CONNTRACK_DENIED is over');
    conditions.look([], 2_000);
    assert.is(lines.length, 2);
  });

  test('stays quiet about a fault that comes and goes, and tells it again after five minutes', () => {
    const { lines, log } = makeLog();
    const conditions = new ConditionLog(log);
    for (let nowMs = 0; nowMs < 290_000; nowMs += 2_000) {
      conditions.look(nowMs % 4_000 === 0 ? [fault('m')] : [], nowMs);
    }
    assert.is(lines.length, 2, 'once that it began, once that it was over');
    conditions.look([fault('m')], 300_000);
    assert.is(lines.length, 3);
  });
});
