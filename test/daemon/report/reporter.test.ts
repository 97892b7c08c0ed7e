import * as assert from 'uvu/assert';
import type { Condition } from '#base/errors.ts';
import { Reporter } from '../../../daemon/report/reporter.ts';
import { Spool } from '../../../daemon/report/spool.ts';
import { spec } from '../../harness.ts';
import {
  BOOT,
  FakeOperator,
  HEALTH,
  makeLog,
  makeReport,
  makeResult,
  makeSockets,
  VirtualClock,
} from './fixtures.ts';

const AWAY: Condition = { code: 'OPERATOR_UNREACHABLE', message: 'connect ECONNREFUSED', hint: 'start it' };
const OTHER_INSTANCE = '7d3bb4ce-9a57-4b42-8d5c-3b8c6f3b7a02';

async function start(spool?: Spool) {
  const clock = new VirtualClock();
  const operator = new FakeOperator(clock);
  const { lines, log } = makeLog();
  const kept = spool ?? (await Spool.open(undefined, 0));
  const intervals: number[] = [];
  const reporter = new Reporter(
    { boot: BOOT, identity: { version: '0', hostname: 'a', kernel: 'k', mode: 'probe' }, intervalMs: 5_000 },
    {
      clock,
      random: () => 0.5,
      spool: kept,
      pusher: operator,
      log,
      health: () => HEALTH,
      conditions: () => [],
      onAssignment: ({ reportIntervalMs }) => void intervals.push(reportIntervalMs),
    },
  );
  reporter.start();
  return { clock, operator, reporter, spool: kept, lines, intervals };
}

async function stopped({ clock, reporter }: { clock: VirtualClock; reporter: Reporter }): Promise<void> {
  const stopping = reporter.stop(2_000);
  await clock.run(5_000);
  await stopping;
}

spec('reporter', (test) => {
  test('pushes the first report with the first tables, then one at each interval, numbered from 1', async () => {
    const agent = await start();
    await agent.clock.run(300);
    agent.reporter.setTables({ sockets: makeSockets() });
    await agent.clock.run(10_000);
    assert.equal(agent.operator.pushedAtMs, [300, 5_300, 10_300]);
    assert.equal(
      agent.operator.taken.map(({ seq }) => seq),
      [1, 2, 3],
    );
    assert.equal(
      agent.operator.taken.map(({ fromMs, toMs }) => toMs - fromMs),
      [300, 5_000, 5_000],
    );
    await stopped(agent);
    assert.is(agent.operator.taken.length, 4, 'and a last one at the end');
  });

  test('reports after an interval also when the tables never come', async () => {
    const agent = await start();
    await agent.clock.run(5_000);
    assert.is(agent.operator.taken.length, 1);
    assert.is(agent.operator.taken[0]?.sockets, undefined);
    await stopped(agent);
  });

  test('takes the interval the operator names, and hands every assignment on', async () => {
    const agent = await start();
    agent.operator.reportIntervalMs = 1_000;
    agent.reporter.setTables({});
    await agent.clock.run(3_000);
    assert.equal(agent.operator.pushedAtMs, [0, 1_000, 2_000, 3_000]);
    assert.equal(agent.intervals, [1_000, 1_000, 1_000, 1_000]);
    await stopped(agent);
  });

  test('backs off while the operator is away, loses nothing, and brings it all in order', async () => {
    const agent = await start();
    agent.reporter.setTables({});
    await agent.clock.run(1_000);
    agent.operator.failing = { kind: 'unreachable', condition: AWAY };
    const ids: string[] = [];
    for (let i = 0; i < 60; i++) {
      const result = makeResult();
      ids.push(result.id);
      agent.reporter.addResult(result);
      await agent.clock.run(1_000);
    }
    const attempts = agent.operator.pushedAtMs.length - 1;
    assert.ok(attempts >= 15 && attempts <= 45, `${attempts} pushes in a minute of absence`);
    agent.operator.failing = undefined;
    await agent.clock.run(10_500);
    assert.equal(agent.operator.resultIds, ids);
    const seqs = agent.operator.taken.map(({ seq }) => seq);
    assert.equal(
      seqs,
      seqs.map((_, index) => index + 1),
      'no number is missing',
    );
    await stopped(agent);
  });

  test('makes no report of tables alone while older ones wait: only the newest tables matter', async () => {
    const agent = await start();
    agent.operator.failing = { kind: 'unreachable', condition: AWAY };
    agent.reporter.setTables({ sockets: makeSockets({ listenersFolded: 1 }) });
    await agent.clock.run(60_000);
    assert.is(agent.spool.size.reports, 1);
    agent.reporter.setTables({ sockets: makeSockets({ listenersFolded: 2 }) });
    agent.operator.failing = undefined;
    await agent.clock.run(15_000);
    assert.is(agent.operator.taken.at(-1)?.sockets?.listenersFolded, 2);
    await stopped(agent);
  });

  test('raises the condition while it lasts, logs the turn and the recovery, not each failure', async () => {
    const agent = await start();
    agent.operator.failing = { kind: 'unreachable', condition: AWAY };
    agent.reporter.setTables({});
    await agent.clock.run(60_000);
    assert.equal(agent.reporter.conditions(), [AWAY]);
    assert.is(agent.lines.length, 1, agent.lines.join('\n'));
    assert.match(agent.lines[0] ?? '', 'ECONNREFUSED');
    await agent.clock.run(10 * 60_000);
    assert.is(agent.lines.length, 3, 'it is told again every five minutes');
    agent.operator.failing = undefined;
    await agent.clock.run(20_000);
    assert.equal(agent.reporter.conditions(), []);
    assert.is(agent.lines.length, 4);
    assert.match(agent.lines[3] ?? '', /reach the operator again.*failedPushes=\d+/);
    await stopped(agent);
  });

  test('tries slowly while the token is refused, keeps the results, and says OPERATOR_REFUSED', async () => {
    const agent = await start();
    const condition: Condition = { code: 'OPERATOR_REFUSED', message: 'HTTP status 401', hint: 'the token' };
    agent.operator.failing = { kind: 'unauthorized', condition };
    agent.reporter.setTables({});
    agent.reporter.addResult(makeResult());
    await agent.clock.run(5 * 60_000);
    const attempts = agent.operator.pushedAtMs.length;
    assert.ok(attempts >= 5 && attempts <= 20, `${attempts} pushes in five minutes`);
    assert.equal(agent.reporter.conditions(), [condition]);
    assert.is(agent.spool.size.results, 1);
    agent.operator.failing = undefined;
    await agent.clock.run(60_000);
    assert.is(agent.operator.resultIds.length, 1);
    await stopped(agent);
  });

  test('gives up a report that is refused as invalid: counted, told, and the next one goes', async () => {
    const agent = await start();
    const condition: Condition = {
      code: 'REPORT_INVALID',
      message: 'HTTP status 400: probes[0]',
      hint: 'versions',
    };
    agent.operator.failing = { kind: 'invalid', condition };
    agent.reporter.addResult(makeResult());
    agent.reporter.setTables({});
    await agent.clock.run(100);
    agent.operator.failing = undefined;
    agent.reporter.addResult(makeResult());
    await agent.clock.run(10_000);
    assert.equal(agent.operator.taken.map(({ seq }) => seq).slice(0, 1), [2]);
    const { droppedReports, droppedResults } = agent.reporter.stats();
    assert.is(droppedReports.refused, 1);
    assert.is(droppedResults.refused, 1);
    assert.equal(agent.reporter.conditions(), [condition], 'it stays visible for a while');
    assert.match(agent.lines.join('\n'), /error: HTTP status 400.*results=1/);
    await agent.clock.run(10 * 60_000);
    assert.equal(agent.reporter.conditions(), []);
    await stopped(agent);
  });

  test('does not hammer an operator that refuses every report', async () => {
    const agent = await start();
    agent.operator.failing = {
      kind: 'invalid',
      condition: { code: 'REPORT_INVALID', message: 'm', hint: 'h' },
    };
    agent.reporter.setTables({});
    for (let i = 0; i < 600; i++) {
      agent.reporter.addResult(makeResult());
      await agent.clock.run(100);
    }
    assert.ok(
      agent.operator.pushedAtMs.length <= 15,
      `${agent.operator.pushedAtMs.length} pushes in a minute`,
    );
    await stopped(agent);
  });

  test('waits as long as a busy operator asks for', async () => {
    const agent = await start();
    const condition: Condition = { code: 'OPERATOR_UNREACHABLE', message: 'HTTP status 503', hint: 'h' };
    agent.operator.failing = { kind: 'unavailable', condition, retryAfterMs: 20_000 };
    agent.reporter.setTables({});
    await agent.clock.run(19_000);
    assert.is(agent.operator.pushedAtMs.length, 1);
    await agent.clock.run(3_000);
    assert.is(agent.operator.pushedAtMs.length, 2);
    await stopped(agent);
  });

  test("brings what was received but not acknowledged to the operator's next run", async () => {
    const agent = await start();
    agent.operator.settledUpTo = 0;
    agent.reporter.setTables({});
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      const result = makeResult();
      ids.push(result.id);
      agent.reporter.addResult(result);
      await agent.clock.run(5_000);
    }
    assert.is(agent.spool.size.results, 3);
    // The first run dies with what it had not exported; nothing on the way fails, so nothing tells but its name.
    agent.operator.taken.length = 0;
    agent.operator.instance = OTHER_INSTANCE;
    agent.operator.settledUpTo = Number.POSITIVE_INFINITY;
    await agent.clock.run(10_000);
    assert.equal(agent.operator.resultIds.toSorted(), ids.toSorted());
    assert.is(agent.spool.size.results, 0);
    await stopped(agent);
  });

  test('takes an acknowledgement of another boot for none', async () => {
    const agent = await start();
    const { push } = agent.operator;
    agent.operator.push = async (body) => {
      const outcome = await push(body);
      if (outcome.kind !== 'acknowledged') return outcome;
      return { ...outcome, ack: { ...outcome.ack, boot: OTHER_INSTANCE } };
    };
    agent.reporter.addResult(makeResult());
    agent.reporter.setTables({});
    await agent.clock.run(10_000);
    assert.is(agent.spool.size.results, 1);
    await stopped(agent);
  });

  test('delivers first what an earlier run of the agent left', async () => {
    const spool = await Spool.open(undefined, 0);
    const left = makeReport(41, 2, { boot: OTHER_INSTANCE });
    await spool.add(left);
    const agent = await start(spool);
    await agent.clock.run(1);
    assert.equal(agent.operator.taken, [left]);
    await stopped(agent);
  });

  test('cuts early when the window is full, so that a burst of results waits for no interval', async () => {
    const agent = await start();
    agent.reporter.setTables({});
    await agent.clock.run(1_000);
    for (let i = 0; i < 450; i++) agent.reporter.addResult(makeResult());
    await agent.clock.run(100);
    assert.equal(
      agent.operator.taken.map(({ probes }) => probes.length),
      [0, 200, 200],
    );
    await agent.clock.run(5_000);
    assert.is(agent.operator.resultIds.length, 450);
    await stopped(agent);
  });

  test('says how much was dropped when more waits than may be kept', async () => {
    const agent = await start();
    agent.operator.failing = { kind: 'unreachable', condition: AWAY };
    agent.reporter.setTables({});
    const sentence = 'x'.repeat(500);
    for (let i = 0; i < 12_000; i++) {
      agent.reporter.addResult(makeResult({ sentence }));
      if (i % 200 === 199) await agent.clock.run(5_000);
    }
    const lost = agent.reporter.stats().droppedResults['spool-full'] ?? 0;
    assert.ok(lost > 0);
    assert.is(lost + agent.spool.size.results, 12_000);
    const told = agent.reporter.conditions().find(({ code }) => code === 'REPORTS_DROPPED');
    assert.match(told?.message ?? '', `${lost} probe results`);
    await stopped(agent);
  });

  test('delivers at its end all that has gathered, also when that is more than one report takes', async () => {
    const agent = await start();
    agent.reporter.setTables({});
    await agent.clock.run(1_000);
    for (let i = 0; i < 450; i++) agent.reporter.addResult(makeResult());
    await stopped(agent);
    assert.is(agent.operator.resultIds.length, 450);
  });

  test('ends in time when the operator hangs, and leaves the last results in the spool', async () => {
    const agent = await start();
    agent.reporter.setTables({});
    await agent.clock.run(1_000);
    agent.operator.push = (_body, signal) =>
      new Promise((resolve) => {
        signal?.addEventListener('abort', () => resolve({ kind: 'unreachable', condition: AWAY }));
      });
    agent.reporter.addResult(makeResult());
    const stopping = agent.reporter.stop(2_000);
    await agent.clock.run(2_000);
    await stopping;
    assert.is(agent.spool.size.results, 1);
  });
});
