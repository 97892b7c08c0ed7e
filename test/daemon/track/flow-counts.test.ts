import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { FLOW, tableOf, UNIX_OFFSET_MS } from './flow-scene.ts';

spec('what the kernel counts and stamps of flows', (test) => {
  test('holds what the kernel counts, takes no memory for it where it does not, and gives it back', () => {
    const { table, begun, changed, dump } = tableOf();
    const plain = { ...FLOW, state: 'ESTABLISHED' } as const;
    const other = { ...plain, source: '10.0.0.1:2' };
    const told = () => {
      const rows: Record<number, unknown> = {};
      table.forEachFlow((row) => {
        const { sentPackets, sentBytes, receivedPackets, receivedBytes } = row;
        rows[row.sourcePort] = row.counted && [sentPackets, sentBytes, receivedPackets, receivedBytes];
      });
      return rows;
    };
    begun(plain);
    begun(other);
    const without = table.bytes;
    dump(
      1,
      {
        ...plain,
        counters: [
          [1, 60],
          [2, 2 ** 40],
        ],
      },
      other,
    );
    assert.equal(told(), { 40000: [1, 60, 2, 2 ** 40], 2: false });
    assert.ok(table.bytes > without);
    // An event counts nothing; the next dump does.
    changed({ ...plain, mark: 1 });
    assert.equal(told()[40_000], [1, 60, 2, 2 ** 40]);
    dump(2, other, {
      ...plain,
      counters: [
        [3, 180],
        [4, 5],
      ],
    });
    assert.equal(told(), { 40000: [3, 180, 4, 5], 2: false });
    // A flow of the same name that is another has none of it.
    begun({ ...plain, id: 9 });
    assert.equal(told(), { 40000: false, 2: false });
    dump(3, { ...plain, id: 9 }, other);
    assert.is(table.bytes, without);
  });

  test('keeps the counts of each flow when others go and when it grows', () => {
    const { table, begun, ended, dump } = tableOf({ maxFlows: 10_000 });
    const flow = (port: number) => ({ ...FLOW, source: `10.0.0.1:${port}`, state: 'CLOSE' as const });
    dump(
      1,
      ...[1, 2, 3].map((port) => ({
        ...flow(port),
        counters: [
          [port, 0],
          [0, port],
        ] as const,
      })),
    );
    ended(flow(1));
    for (let port = 100; port < 3_000; port++) begun(flow(port));
    const packets: Record<number, number> = {};
    table.forEachFlow((row) => {
      if (row.counted) packets[row.sourcePort] = row.sentPackets + row.receivedBytes;
    });
    assert.equal(packets, { 2: 4, 3: 6 });
  });

  test("tells a flow's age by the kernel's time stamp, and believes no state to be older", () => {
    const { table, begun, dump, ended, ends } = tableOf({ idleMs: 3_600_000 });
    const born = (nowMs: number) => ({ startMs: UNIX_OFFSET_MS + nowMs });
    const other = { ...FLOW, source: '10.0.0.1:2', state: 'ESTABLISHED' } as const;
    begun({ ...FLOW, state: 'ESTABLISHED' }, 4_000);
    assert.is(table.summary(5_000).oldestFlowMs, undefined);
    dump(5_000, { ...FLOW, state: 'ESTABLISHED', ...born(3_990) }, { ...other, ...born(1_000) });
    const rows: Record<number, unknown> = {};
    table.forEachFlow((row) => {
      rows[row.sourcePort] = [Math.round(row.bornMs), row.bornBasis, Math.round(row.sinceMs)];
    });
    assert.equal(rows, { 40000: [3_990, 'kernel', 4_000], 2: [1_000, 'kernel', 1_000] });
    assert.is(table.summary(5_000).oldestFlowMs, 4_000);
    // A kernel that does not stamp the end.
    ended({ ...other, timeoutS: 0 }, 61_000);
    assert.equal([Math.round(ends.sumsMs.kernel), ends.unknownLifetimes], [60_000, 0]);
  });
});
