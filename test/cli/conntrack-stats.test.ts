import * as assert from 'uvu/assert';
import { StatsReader } from '../../cli/conntrack-stats.ts';
import { spec } from '../harness.ts';

spec('finwait conntrack --stats', (test) => {
  test('tells no fall when the 32 bits of a processor run over', () => {
    const reader = new StatsReader(undefined);
    const look = (nowMs: number, ...drops: number[]) =>
      reader.rows(
        drops.map((drop, cpu) => ({ cpu, values: { drop } })),
        nowMs,
      );
    assert.equal(look(0, 4_294_967_290, 5), [
      { name: 'drop', total: 4_294_967_295, perSecond: null, cpus: [4_294_967_290, 5] },
    ]);
    assert.equal(look(2_000, 10, 9), [{ name: 'drop', total: 4_294_967_315, perSecond: 10, cpus: [10, 9] }]);
  });
});
