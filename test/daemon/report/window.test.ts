import * as assert from 'uvu/assert';
import type { Holder, Listener } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { parseReport } from '../../../daemon/contract-parse.ts';
import { boundConditions, boundCounters } from '../../../daemon/report/bounds.ts';
import { ReportWindow } from '../../../daemon/report/window.ts';
import { spec } from '../../harness.ts';
import { makeReport, makeResult, makeSegment, makeSockets } from './fixtures.ts';

const LONG = 'x'.repeat(2_000);

function holder(index: number, count: number): Holder {
  const state = index % 2 === 0 ? 'TIME-WAIT' : 'CLOSE-WAIT';
  const peer = '10.0.0.1';
  return {
    state,
    direction: 'outbound',
    process: null,
    attribution: 'unknown',
    peer,
    port: 80,
    count,
    oldestMs: 1,
  };
}

function listener(port: number): Listener {
  return { local: { address: '0.0.0.0', port }, family: 4, process: null, acceptQueue: 0, backlog: 5 };
}

spec('report window', (test) => {
  test('holds every result since the last cut, and the newest tables', () => {
    const window = new ReportWindow(1_000);
    window.setTables({ sockets: makeSockets({ listenersFolded: 1 }) });
    window.setTables({ sockets: makeSockets({ listenersFolded: 2 }) });
    const [first, second] = [makeResult(), makeResult()];
    window.addResult(first);
    window.addResult(second);
    const cut = window.cut(6_000);
    assert.equal([cut.fromMs, cut.toMs], [1_000, 6_000]);
    assert.equal(
      cut.probes.map(({ id }) => id),
      [first.id, second.id],
    );
    assert.is(cut.sockets?.listenersFolded, 2);
    assert.is(cut.conntrack, undefined);
    const next = window.cut(9_000);
    assert.equal([next.fromMs, next.toMs, next.probes.length], [6_000, 9_000, 0]);
    assert.is(next.sockets?.listenersFolded, 2, 'the tables as last read still say how things stand');
  });

  test('never ends before it began, also when the clock was set back', () => {
    const window = new ReportWindow(10_000);
    assert.equal(window.cut(4_000).toMs, 10_000);
    assert.equal(window.cut(5_000).fromMs, 4_000);
  });

  test("is full at the contract's number of results, and cuts the rest into the next report", () => {
    const window = new ReportWindow(0);
    for (let i = 0; i < CONTRACT_LIMITS.probes + 5; i++) {
      assert.is(window.full, i >= CONTRACT_LIMITS.probes);
      window.addResult(makeResult());
    }
    assert.is(window.cut(1).probes.length, CONTRACT_LIMITS.probes);
    assert.is(window.full, false);
    assert.is(window.cut(2).probes.length, 5);
  });

  test('keeps a report under the body limit when every result is as large as it can be', () => {
    const window = new ReportWindow(0);
    const segment = { ...makeSegment(), note: 'n'.repeat(500) };
    const segments = Array.from({ length: CONTRACT_LIMITS.segments }, () => segment);
    for (let i = 0; i < CONTRACT_LIMITS.probes; i++)
      window.addResult(makeResult({ segments, sentence: LONG }));
    let results = 0;
    while (window.results > 0) {
      const report = { ...makeReport(1, 0), ...window.cut(1) };
      assert.ok(Buffer.byteLength(JSON.stringify(report)) < CONTRACT_LIMITS.bodyBytes);
      assert.ok(report.probes.length > 0);
      results += report.probes.length;
    }
    assert.is(results, CONTRACT_LIMITS.probes, 'none is lost');
  });

  test('counts what it drops when more results wait than there is room for', () => {
    const window = new ReportWindow(0);
    const total = 11 * CONTRACT_LIMITS.probes;
    for (let i = 0; i < total; i++) window.addResult(makeResult());
    let kept = 0;
    while (window.results > 0) kept += window.cut(1).probes.length;
    assert.ok(window.dropped > 0);
    assert.is(kept + window.dropped, total);
  });

  test("folds what is over the contract's bounds, so that the operator takes the report, and loses no count", () => {
    const window = new ReportWindow(0);
    const holders = Array.from({ length: 150 }, (_, index) => holder(index, 150 - index));
    const listeners = Array.from({ length: 300 }, (_, index) => listener(index + 1));
    const states = Array.from({ length: 40 }, (_, index) => ({ state: `S${index}`, count: 1 }));
    const folded = [{ state: 'TIME-WAIT', groups: 2, sockets: 7 } as const];
    window.setTables({
      sockets: makeSockets({ holders, listeners, folded, listenersFolded: 4 }),
      conntrack: { status: 'on', count: 40, max: 100, states, own: 0 },
    });
    const segments = Array.from({ length: 80 }, makeSegment);
    window.addResult(makeResult({ sentence: LONG, segments, segmentsFolded: 3 }));
    const conditions = Array.from({ length: 40 }, (_, index) => {
      return { code: 'NETLINK_FAILED', message: `${index} ${LONG}`, hint: LONG } as const;
    });
    const counters = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`c${index}`, index]));
    const health = { rssBytes: 1, cpuSeconds: 1, loopLagMs: 1, counters: boundCounters(counters) };
    const report = {
      ...makeReport(1, 0),
      ...window.cut(1),
      conditions: boundConditions(conditions),
      health,
    };
    const parsed = parseReport(JSON.parse(JSON.stringify(report)));
    assert.ok(parsed.ok, parsed.ok ? '' : parsed.reason);
    assert.is(report.sockets?.holders.length, CONTRACT_LIMITS.holders);
    const counted = [...(report.sockets?.holders ?? [])].reduce((sum, { count }) => sum + count, 0);
    const foldedSockets = (report.sockets?.folded ?? []).reduce((sum, { sockets }) => sum + sockets, 0);
    assert.is(counted + foldedSockets, (150 * 151) / 2 + 7);
    assert.is(report.sockets?.listenersFolded, 4 + 300 - CONTRACT_LIMITS.listeners);
    assert.is(
      report.conntrack?.states.reduce((sum, { count }) => sum + count, 0),
      40,
    );
    assert.is(report.probes[0]?.segmentsFolded, 3 + 80 - CONTRACT_LIMITS.segments);
    assert.is(health.counters['report.counters-folded'], 300 - CONTRACT_LIMITS.counters + 1);
  });

  test('tells a condition once, however often it was raised', () => {
    const condition = { code: 'NETLINK_FAILED', message: 'm', hint: 'h' } as const;
    assert.equal(boundConditions([condition, { ...condition }]), [condition]);
  });
});
