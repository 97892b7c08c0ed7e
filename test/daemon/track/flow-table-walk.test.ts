import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { FLOW, tableOf } from './flow-scene.ts';

spec('a walk over the flow table', (test) => {
  test('show each flow that stays, though others begin and end while they are walked', () => {
    const { table, begun, ended } = tableOf({ maxFlows: 40_000 });
    const flowAt = (at: number) => ({
      source: `10.1.${at >> 8}.${at & 0xff}:40000`,
      destination: FLOW.destination,
      id: at + 1,
      state: 'ESTABLISHED' as const,
    });
    const count = 36_000;
    for (let at = 0; at < count; at++) begun(flowAt(at));
    const shown = new Set<number>();
    let turns = 0;
    const visit = ({ source }: { readonly source: Uint8Array }) =>
      shown.add(((source[2] as number) << 8) | (source[3] as number));
    table.forEachFlow(visit, () => {
      // Every third from both ends, in which others take their rows; and some that are new.
      for (let at = turns; at < 3_000; at += 3) for (const end of [at, count - 1 - at]) ended(flowAt(end));
      for (let at = 0; at < 100; at++) begun(flowAt(count + 100 * turns + at));
      turns++;
    });
    assert.is(turns, 2);
    const missed = [];
    for (let at = 3_000; at < count - 3_000; at++) if (!shown.has(at)) missed.push(at);
    for (let at = 2; at < 3_000; at += 3)
      for (const end of [at, count - 1 - at]) if (!shown.has(end)) missed.push(end);
    assert.equal(missed, []);
  });

  test('end a walk when all flows have ended meanwhile', () => {
    const { table, begun } = tableOf({ maxFlows: 20_000 });
    const count = 17_000;
    for (let at = 0; at < count; at++) {
      begun({
        source: `10.1.${at >> 8}.${at & 0xff}:1`,
        destination: FLOW.destination,
        state: 'ESTABLISHED',
      });
    }
    let shown = 0;
    table.forEachFlow(
      () => shown++,
      () => {
        table.beginDump(0);
        table.endEmptyDump();
      },
    );
    assert.ok(shown > 0 && shown < count);
  });
});
