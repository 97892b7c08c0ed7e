import * as assert from 'uvu/assert';
import { encodeFlowDelete, encodeFlowGet } from '../../../daemon/netlink/conntrack-requests.ts';
import { decodeCpuStats, encodeStatsDump } from '../../../daemon/netlink/conntrack-stats.ts';
import { FlowRecord } from '../../../daemon/netlink/flow-record.ts';
import { concat, encodeAttribute, viewOf } from '../../../daemon/netlink/message.ts';
import { ConntrackFull } from '../../../daemon/track/conntrack-full.ts';
import {
  ConntrackGrowth,
  EventRate,
  StatTotals,
  timeToFullMs,
} from '../../../daemon/track/conntrack-rates.ts';
import { findConsumers } from '../../../daemon/track/flow-consumers.ts';
import { FlowEnds } from '../../../daemon/track/flow-ends.ts';
import type { FlowRow } from '../../../daemon/track/flow-row.ts';
import { FlowTable } from '../../../daemon/track/flow-table.ts';
import { spec, testSeed } from '../../harness.ts';
import { hostile, seededRandom } from '../netlink/mutate.ts';
import { flowMessage } from './flow-message.ts';
import { FLOW, tableOf } from './flow-scene.ts';

const u32 = (value: number) => new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);

spec('requests to conntrack', (test) => {
  const name = {
    source: Uint8Array.of(10, 0, 0, 1),
    destination: Uint8Array.of(10, 0, 0, 2),
    sourcePort: 40_000,
    destinationPort: 443,
    zone: 7,
  };
  const tuple = '34000180' + '14000180' + '08000100' + '0a000001' + '08000200' + '0a000002';
  const ports = '1c000280' + '05000100' + '06000000' + '06000200' + '9c400000' + '06000300' + '01bb0000';

  test('name one flow by its tuple and zone, and to delete it by its id as well', () => {
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
    assert.is(
      hex(encodeFlowGet(5, name)),
      `50000000${'0101'}0500${'05000000'}00000000${'02000000'}${tuple}${ports}${'06001200'}00070000`,
    );
    assert.is(
      hex(encodeFlowDelete(5, { ...name, zone: 0 }, 0x01020304)),
      `50000000${'0201'}0500${'05000000'}00000000${'02000000'}${tuple}${ports}${'08000c00'}01020304`,
    );
    assert.is(hex(encodeStatsDump(9)), `14000000${'0401'}0103${'09000000'}0000000000000000`);
  });
});

spec('the statistics of conntrack', (test) => {
  const message = (cpu: number, ...counts: readonly (readonly [type: number, count: number])[]) =>
    concat([
      Uint8Array.of(0, 0, cpu >> 8, cpu),
      ...counts.map(([type, count]) => encodeAttribute(type, u32(count))),
    ]);

  test('are read by name; what this version does not know is passed over', () => {
    const stats = decodeCpuStats(message(3, [9, 7], [10, 8], [15, 9], [1, 99], [99, 99]));
    assert.equal(stats, {
      ok: true,
      value: { cpu: 3, values: { insertFailed: 7, drop: 8, chainTooLong: 9 } },
    });
    assert.is(decodeCpuStats(new Uint8Array(3)).ok, false);
    assert.is(decodeCpuStats(concat([new Uint8Array(4), encodeAttribute(9, Uint8Array.of(1))])).ok, false);
  });

  test('never throw at hostile input', () => {
    const random = seededRandom(testSeed());
    for (let turn = 0; turn < 50_000; turn++) decodeCpuStats(hostile([message(1, [9, 1], [10, 2])], random));
  });

  test('are summed over processors since the first look, also when a count begins at 0 again', () => {
    const totals = new StatTotals();
    const look = (nowMs: number, first: number, second: number) =>
      totals.add(
        [
          { cpu: 0, values: { drop: first } },
          { cpu: 1, values: { drop: second } },
        ],
        nowMs,
      );
    assert.equal(look(0, 0xffff_fffe, 100), [{ name: 'drop', total: 0 }]);
    assert.equal(look(2_000, 2, 106), [{ name: 'drop', total: 10, perS: 5 }]);
  });
});

spec('the rates of conntrack', (test) => {
  test('tell when the table is full, and nothing when a growth that is over dies away', () => {
    const growth = new ConntrackGrowth();
    const max = 262_144;
    const toFull = (count: number, atMs: number) => timeToFullMs({ count, max }, growth.perS(count, atMs));
    assert.is(toFull(0, 0), undefined);
    assert.is(toFull(1_000, 1_000), max - 1_000);
    const later: (number | undefined)[] = [];
    for (let atMs = 2_000; atMs < 12 * 3_600_000; atMs += 1_000) later.push(toFull(1_000, atMs));
    assert.ok((later[0] ?? 0) >= max - 1_000);
    assert.is(
      later.find((each) => each !== undefined && each > 365 * 24 * 3_600_000),
      undefined,
    );
    assert.is(later.at(-1), undefined);
  });

  test('are nothing at the first look, then what was counted for each second', () => {
    const rate = new EventRate();
    assert.equal([rate.perS(100, 0), rate.perS(300, 2_000), rate.perS(300, 3_000)], [undefined, 100, 0]);
  });

  test('follow the growth of about the last minute', () => {
    const growth = new ConntrackGrowth();
    assert.is(growth.perS(1_000, 0), undefined);
    assert.is(growth.perS(1_100, 1_000), 100);
    let perS = 0;
    for (let second = 2; second < 300; second++) perS = growth.perS(1_100, second * 1_000) ?? 0;
    assert.ok(perS > 0 && perS < 1, `${perS}`);
  });
});

spec('who has the most flows', (test) => {
  test('is found among many that have one each', () => {
    const table = new FlowTable({
      maxFlows: 100_000,
      seed: testSeed(),
      ownMark: 0,
      ends: new FlowEnds(),
      idleClock: () => () => null,
      unixOffsetMs: () => 0,
    });
    const record = new FlowRecord();
    const add = (source: string, destination: string) => {
      const payload = flowMessage({ source, destination, state: 'SYN_SENT' });
      record.read(viewOf(payload), 0, payload.length);
      table.begun(viewOf(payload), record, 0);
    };
    for (let each = 0; each < 20_000; each++) add(`10.1.${each >> 8}.${each & 0xff}:1000`, '10.0.0.2:80');
    for (let port = 1; port <= 300; port++) add(`10.9.9.9:${port}`, '10.0.0.3:443');
    for (let port = 1; port <= 200; port++) add(`[fd00::1]:${port}`, '[fd00::2]:443');
    const { sources, destinations } = findConsumers(table, 3, false);
    assert.equal(sources.slice(0, 2), [
      { address: '10.9.9.9', count: 300 },
      { address: 'fd00::1', count: 200 },
    ]);
    assert.is(sources.length, 3);
    assert.equal(destinations, [
      { address: '10.0.0.2', port: 80, count: 20_000 },
      { address: '10.0.0.3', port: 443, count: 300 },
      { address: 'fd00::2', port: 443, count: 200 },
    ]);
  });

  test('are found behind a few hundred who have one flow each', () => {
    const rows = (each: number, at: number, source: Uint8Array) =>
      Array.from({ length: each }, () => ({ source, destination: source, destinationPort: 443 + at }));
    const ones = Array.from({ length: 300 }, (_, at) =>
      rows(1, at, Uint8Array.of(10, 1, at >> 8, at & 0xff)),
    );
    const flows = [...ones.flat(), ...rows(1_000, 0, Uint8Array.of(10, 9, 9, 9))];
    const table = {
      forEachFlow(visit: (row: FlowRow) => void) {
        for (const row of flows) visit(row as FlowRow);
      },
    };
    const { sources, destinations } = findConsumers(table, 2, false);
    assert.equal(
      sources.map(({ count }) => count),
      [1_000, 1],
    );
    assert.equal(destinations[0], { address: '10.9.9.9', port: 443, count: 1_000 });
  });

  test('are weighed anew each time', () => {
    const tableWith = (sources: number, each: number) => ({
      forEachFlow(visit: (row: FlowRow) => void) {
        for (let flow = 0; flow < sources * each; flow++) {
          const source = Uint8Array.of(10, 1, (flow % sources) >> 8, (flow % sources) & 0xff);
          visit({ source, destination: source, destinationPort: 443 } as unknown as FlowRow);
        }
      },
    });
    findConsumers(tableWith(300, 2), 1, false);
    const { sources } = findConsumers(tableWith(1, 1), 1, false);
    assert.equal(sources, [{ address: '10.1.0.0', count: 1 }]);
  });

  test('is found by bytes as well, where the kernel counts them, with what was sent and received', () => {
    const { table, dump } = tableOf();
    const small = (port: number) => ({ ...FLOW, source: `10.1.0.1:${port}`, state: 'ESTABLISHED' as const });
    const large = {
      ...FLOW,
      source: '10.1.0.2:1',
      destination: '10.0.0.3:443',
      state: 'ESTABLISHED',
    } as const;
    dump(
      0,
      {
        ...small(1),
        counters: [
          [1, 100],
          [2, 200],
        ],
      },
      // It began before the kernel counted.
      small(2),
      {
        ...large,
        counters: [
          [10, 1_000],
          [20, 2 ** 40],
        ],
      },
    );
    const { sources, sourcesByBytes, destinationsByBytes } = findConsumers(table, 5, true);
    assert.equal(
      sources.map(({ address, count }) => [address, count]),
      [
        ['10.1.0.1', 2],
        ['10.1.0.2', 1],
      ],
    );
    assert.equal(sourcesByBytes, [
      {
        address: '10.1.0.2',
        count: 1,
        sent: { packets: 10, bytes: 1_000 },
        received: { packets: 20, bytes: 2 ** 40 },
      },
      {
        address: '10.1.0.1',
        count: 2,
        sent: { packets: 1, bytes: 100 },
        received: { packets: 2, bytes: 200 },
      },
    ]);
    assert.equal(destinationsByBytes?.[0]?.address, '10.0.0.3');
    assert.equal(Object.keys(findConsumers(table, 5, false)), ['sources', 'destinations']);
  });
});

spec('a conntrack without room', (test) => {
  const counted = (earlyDrop: number, drop = 0) => [
    { name: 'earlyDrop', total: earlyDrop },
    { name: 'insertFailed', total: 9 },
    { name: 'drop', total: drop },
  ];

  test('is told when flows are put out, and for a minute more', () => {
    const full = new ConntrackFull();
    const fill = { count: 500, max: 1000 };
    assert.is(full.look(fill, counted(0), 0), undefined);
    assert.match(
      full.look(fill, counted(20), 5_000)?.message ?? '',
      /500 of at most 1000 entries, .* room: 20:/,
    );
    assert.match(full.look(fill, counted(25), 60_000)?.message ?? '', /room: 25:/);
    assert.is(full.look(fill, counted(25), 119_000)?.code, 'CONNTRACK_FULL');
    assert.is(full.look(fill, counted(25), 121_000), undefined);
    assert.match(full.look(fill, counted(26), 130_000)?.message ?? '', /room: 1:/);
  });

  test('is told by its fill alone, from 95 % on, where it has a bound', () => {
    const full = new ConntrackFull();
    assert.is(full.look({ count: 949, max: 1000 }, [], 0), undefined);
    assert.is(full.look({ count: 950, max: 1000 }, [], 1)?.code, 'CONNTRACK_FULL');
    assert.is(full.look({ count: 5, max: 0 }, [], 2), undefined);
    assert.is(timeToFullMs({ count: 5, max: 0 }, 100), undefined);
  });

  test('is blamed for dropped packets only when it is full: they are also dropped for other reasons', () => {
    const full = new ConntrackFull();
    full.look({ count: 10, max: 1000 }, counted(0), 0);
    assert.is(full.look({ count: 10, max: 1000 }, counted(0, 3), 5_000), undefined);
    assert.match(full.look({ count: 1000, max: 1000 }, counted(0, 7), 10_000)?.message ?? '', /room: 4:/);
  });
});

spec('statistics that begin anew', (test) => {
  test('are not taken for four thousand million, those that came to their end are', () => {
    const totals = new StatTotals();
    const total = (drop: number) => totals.add([{ cpu: 0, values: { drop } }], 0)[0]?.total;
    assert.equal(
      [total(5), total(0), total(2), total(2 ** 32 - 1), total(3)],
      [0, 0, 2, 2 ** 32 - 1, 2 ** 32 + 3],
    );
  });
});
