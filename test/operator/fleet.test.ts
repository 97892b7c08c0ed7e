import * as assert from 'uvu/assert';
import type { Report } from '#contract';
import type { Fleet } from '../../operator/fleet/fleet.ts';
import { createFleet } from '../../operator/fleet/fleet.ts';
import type { NodeView } from '../../operator/fleet/view.ts';
import { spec } from '../harness.ts';
import { BOOT, sampleProbe, sampleReport } from '../support/report.ts';

const OLDER = '11111111-1111-4111-8111-111111111111';

function newFleet(options: { maxNodes?: number } = {}): Fleet {
  return createFleet({ reportIntervalMs: 5000, assignmentOf: () => [], ...options });
}

/** Hands a report in as the receiver does. */
function take(fleet: Fleet, report: Report, nowMs: number, node = 'ferry'): boolean {
  const first = fleet.ledger(node, report.boot).receive(report.seq);
  if (first) fleet.apply(node, report, nowMs);
  return first;
}

function nodeAt(fleet: Fleet, nowMs: number): NodeView {
  const view = fleet.nodeView('ferry', nowMs);
  if (view === undefined) throw new Error('the node is not known');
  return view;
}

spec('fleet: reports', (test) => {
  test('are applied once', () => {
    const fleet = newFleet();
    assert.ok(take(fleet, sampleReport(), 1000));
    assert.not.ok(take(fleet, sampleReport(), 2000));
    const { reports, lastReportMs } = nodeAt(fleet, 2000);
    assert.equal(reports, { applied: 1, duplicates: 1, missing: 0, boots: 1 });
    assert.is(lastReportMs, 1000);
  });

  test('with a gap in their numbers are missed, and no longer when they come late', () => {
    const fleet = newFleet();
    for (const seq of [3, 4, 7]) take(fleet, sampleReport({ seq }), 1000);
    assert.is(nodeAt(fleet, 1000).reports.missing, 2);
    assert.ok(take(fleet, sampleReport({ seq: 5 }), 1000));
    assert.is(nodeAt(fleet, 1000).reports.missing, 1);
    assert.is(nodeAt(fleet, 1000).seq, 7);
  });

  test('that come late do not bring an older state back', () => {
    const fleet = newFleet();
    const { agent } = sampleReport();
    take(fleet, sampleReport({ seq: 9, agent: { ...agent, version: 'new' } }), 1000);
    take(fleet, sampleReport({ seq: 8, agent: { ...agent, version: 'old' } }), 2000);
    assert.is(nodeAt(fleet, 2000).agent.version, 'new');
  });

  test('of a new run of the agent take over, and what the old run had probed is gone', () => {
    const fleet = newFleet();
    take(fleet, sampleReport({ boot: OLDER, seq: 50 }), 1000);
    take(fleet, sampleReport({ seq: 1, toMs: sampleReport().toMs + 1, probes: [] }), 2000);
    const node = nodeAt(fleet, 2000);
    assert.is(node.boot, BOOT);
    assert.is(node.seq, 1);
    assert.is(node.reports.boots, 2);
    assert.equal(node.probes, []);
  });

  test('of an old run out of the spool are applied but change nothing that is shown', () => {
    const fleet = newFleet();
    take(fleet, sampleReport(), 1000);
    assert.ok(take(fleet, sampleReport({ boot: OLDER, seq: 50, toMs: 1 }), 2000));
    assert.is(nodeAt(fleet, 2000).boot, BOOT);
    assert.is(nodeAt(fleet, 2000).reports.applied, 2);
  });

  test('of a run whose clock was set back take over once the other run is silent', () => {
    const fleet = newFleet();
    take(fleet, sampleReport({ boot: OLDER }), 1000);
    take(fleet, sampleReport({ seq: 1, toMs: 1 }), 10_000);
    assert.is(nodeAt(fleet, 10_000).boot, OLDER);
    take(fleet, sampleReport({ seq: 2, toMs: 2 }), 60_000);
    assert.is(nodeAt(fleet, 60_000).boot, BOOT);
  });

  test('keep their totals when an old run is forgotten', () => {
    const fleet = newFleet();
    for (let run = 0; run < 10; run++) {
      const boot = `${String(run).repeat(8)}-1111-4111-8111-111111111111`;
      take(fleet, sampleReport({ boot, seq: 1 }), 1000);
      take(fleet, sampleReport({ boot, seq: 3 }), 1000);
    }
    assert.equal(nodeAt(fleet, 1000).reports, { applied: 20, duplicates: 0, missing: 10, boots: 10 });
  });
});

spec('fleet: nodes', (test) => {
  test('are stale after three report intervals of silence', () => {
    const fleet = newFleet();
    take(fleet, sampleReport(), 1000);
    assert.is(nodeAt(fleet, 16_000).stale, false);
    assert.is(nodeAt(fleet, 16_001).stale, true);
  });

  test('are listed by name, and the one silent longest is forgotten when there are too many', () => {
    const fleet = newFleet({ maxNodes: 2 });
    take(fleet, sampleReport(), 1000, 'b');
    take(fleet, sampleReport(), 2000, 'a');
    take(fleet, sampleReport({ seq: 2 }), 3000, 'b');
    take(fleet, sampleReport(), 4000, 'c');
    assert.equal(
      fleet.view(4000).map(({ name }) => name),
      ['b', 'c'],
    );
    assert.is(fleet.evicted, 1);
  });

  test('show the last result of each target and address, worst first', () => {
    const fleet = newFleet();
    const target = (name: string) => ({ ...sampleProbe().target, name });
    const remote = { address: '10.0.0.2', port: 1 };
    const { startUs } = sampleProbe();
    take(
      fleet,
      sampleReport({
        probes: [
          sampleProbe({ target: target('quick') }),
          sampleProbe({
            target: target('slow'),
            phases: [{ name: 'handshake', fromUs: 0, toUs: 9e6, ok: true }],
          }),
          sampleProbe({ target: target('gone'), verdict: 'filtered' }),
          sampleProbe({ target: target('gone'), remote, verdict: 'refused' }),
          sampleProbe({ target: target('gone'), remote, verdict: 'open', startUs: startUs + 1 }),
        ],
      }),
      1000,
    );
    const shown = nodeAt(fleet, 1000).probes.map((r) => `${r.target.name} ${r.remote.address} ${r.verdict}`);
    assert.equal(shown, [
      'gone 127.0.0.1 filtered',
      'slow 127.0.0.1 open',
      'gone 10.0.0.2 open',
      'quick 127.0.0.1 open',
    ]);
  });

  test('forget the result of a target that is no longer probed', () => {
    const fleet = newFleet();
    take(fleet, sampleReport(), 1000);
    const { toMs } = sampleReport();
    take(fleet, sampleReport({ seq: 2, toMs: toMs + 4 * 60_000, probes: [] }), 2000);
    assert.is(nodeAt(fleet, 2000).probes.length, 1);
    take(fleet, sampleReport({ seq: 3, toMs: toMs + 6 * 60_000, probes: [] }), 3000);
    assert.is(nodeAt(fleet, 3000).probes.length, 0);
  });

  test('keep a bounded number of results', () => {
    const fleet = newFleet();
    for (let seq = 1; seq <= 10; seq++) {
      const probes = Array.from({ length: 200 }, (_, i) =>
        sampleProbe({ target: { ...sampleProbe().target, name: `${seq}.${i}` } }),
      );
      take(fleet, sampleReport({ seq, probes }), 1000);
    }
    assert.is(nodeAt(fleet, 1000).probes.length, 512);
  });
});

spec('fleet: nodes that are gone', (test) => {
  test('are forgotten when they are silent, and no others', () => {
    const fleet = newFleet();
    for (const [node, atMs] of [
      ['ferry', 1000],
      ['barge', 1000],
      ['tug', 20_000],
    ] as const) {
      take(fleet, sampleReport(), atMs, node);
    }
    const isGone = (name: string): boolean => name !== 'barge';
    assert.is(fleet.forgetGone(isGone, 10_000), 0);
    assert.is(fleet.forgetGone(isGone, 20_000), 1);
    assert.equal(
      fleet.view(20_000).map(({ name }) => name),
      ['barge', 'tug'],
    );
  });
});
