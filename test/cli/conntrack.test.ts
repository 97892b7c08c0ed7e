import * as assert from 'uvu/assert';
import { hostPortText } from '#base/host-port.ts';
import { readSettings } from '#base/settings.ts';
import type { FlowGroup } from '../../cli/conntrack-groups.ts';
import { FlowGroups, sortFlowGroups } from '../../cli/conntrack-groups.ts';
import type { FlowRow } from '../../cli/conntrack-rows.ts';
import { flowFilter, sortFlows } from '../../cli/conntrack-rows.ts';
import type { FlowGrouping, FlowRowKey } from '../../cli/conntrack-settings.ts';
import { CONNTRACK_SETTINGS } from '../../cli/conntrack-settings.ts';
import {
  fillText,
  flowColumns,
  flowGroupColumns,
  flowGroupsFooter,
  flowsFooter,
} from '../../cli/conntrack-view.ts';
import { printTable } from '../../cli/table.ts';
import { spec } from '../harness.ts';
import { cliRun } from './cli-run.ts';
import { caughtIo, flow } from './tables-fixture.ts';

const ROWS: readonly FlowRow[] = [
  flow({ timeoutMs: 431_000_000, natDestination: { address: '10.244.1.5', port: 8443 } }),
  flow({
    state: 'SYN_SENT',
    replied: false,
    assured: false,
    timeoutMs: 100_000,
    idleMs: 19_000,
    destination: { address: '203.0.113.9', port: 25 },
  }),
  flow({
    state: 'TIME_WAIT',
    mark: 0x66696e77,
    own: true,
    timeoutMs: 90_000,
    idleMs: 29_000,
    source: { address: '198.18.77.2', port: 50_000 },
    destination: { address: '127.0.0.1', port: 80 },
  }),
  flow({
    family: 6,
    state: 'TIME_WAIT',
    mark: 42,
    timeoutMs: 10_000,
    idleMs: null,
    source: { address: 'fd00::1', port: 50_000 },
    destination: { address: 'fd00::2', port: 443 },
    natSource: { address: 'fd00::99', port: 61_000 },
    sent: { packets: 12, bytes: 3_456 },
    received: { packets: 10, bytes: 120_000 },
    ageMs: 125_000,
  }),
];

const TOTALS = { selected: 4, all: 4, own: 1, others: 3, fill: { count: 7, max: 1_000 } };

function selectFrom(rows: readonly FlowRow[], ...args: readonly string[]): FlowRow[] {
  return rows.filter(flowFilter(readSettings(CONNTRACK_SETTINGS, args, {}).settings));
}

function groupFlows(rows: readonly FlowRow[], by: FlowGrouping): FlowGroup[] {
  const groups = new FlowGroups(by);
  for (const row of rows) groups.add(row);
  return [...groups.groups()];
}

function select(...args: readonly string[]): string {
  return selectFrom(ROWS, ...args)
    .map((row) => ROWS.indexOf(row))
    .join('');
}

function order(key: FlowRowKey | undefined, reverse = false): string {
  return sortFlows(ROWS, key, reverse)
    .map((row) => ROWS.indexOf(row))
    .join('');
}

spec('finwait conntrack', (test) => {
  test('filters by state, any end before or after NAT, mark, NAT, answers and ownership', () => {
    assert.is(select(), '0123');
    for (const spelling of ['TIME_WAIT', 'time-wait', 'timewait']) assert.is(select('-s', spelling), '23');
    assert.is(select('-s', 'syn-sent,estab'), '01');
    assert.is(select('-s', 'all'), '0123');
    assert.is(select('--address', '10.244.0.0/16'), '0');
    assert.is(select('--address', 'fd00::99'), '3');
    assert.is(select('--port', '8443'), '0');
    assert.is(select('--port', '443'), '03');
    assert.is(select('--source', '10.0.0.0/8'), '01');
    assert.is(select('--source', 'fd00::99', '--source-port', '61000'), '3');
    assert.is(select('--destination', '10.244.1.5'), '0');
    assert.is(select('-d', '10.96.0.0/12,127.0.0.1', '--destination-port', '80'), '2');
    assert.is(select('--assured'), '023');
    assert.is(select('--mark', '42'), '3');
    assert.is(select('--mark', '0x2a,0x66696e77'), '23');
    assert.is(select('--nat'), '03');
    assert.is(select('--zone', '7'), '');
    assert.is(select('--zone', '0,7'), '0123');
    // By time stamp, else by the last packet.
    assert.is(select('--min-age', '61s'), '3');
    assert.is(select('--min-age', '20s'), '023');
    assert.is(select('--unreplied'), '1');
    // Of finwait's own only when they are asked for.
    const own = flow({ replied: false, own: true });
    const unreplied = (...args: string[]) => selectFrom([own], '--unreplied', ...args).length;
    assert.equal([unreplied(), unreplied('--own'), unreplied('--not-own')], [0, 1, 0]);
    assert.is(select('--own'), '2');
    assert.is(select('--not-own'), '013');
    assert.is(select('-6'), '3');
    assert.is(select('--nat', '-4'), '0');
  });

  test('orders by state and time left of itself, and by any key both ways', () => {
    assert.is(order(undefined), '1032');
    assert.is(order('left'), '3210');
    assert.is(order('left', true), '0123');
    assert.is(order('idle'), '0213');
    assert.is(order('age'), '3012');
    assert.is(order('bytes'), '3012');
    assert.is(order('packets'), '3012');
    assert.is(order('nat'), '0312');
    assert.is(order('mark'), '0132');
    assert.is(order('source'), '0123');
    assert.is(order('destination'), '0213');
  });

  test('groups by destination, source or state, the largest first', () => {
    const rows = [...ROWS, flow({ state: 'SYN_SENT' })];
    const groups = sortFlowGroups(groupFlows(rows, 'destination'), undefined, false);
    assert.equal(groups[0], {
      source: null,
      destination: '10.96.0.1',
      port: 443,
      zone: null,
      process: null,
      attribution: 'unknown',
      pod: null,
      podName: null,
      count: 2,
      change: null,
      states: { ESTABLISHED: 1, SYN_SENT: 1 },
      bytes: null,
    });
    assert.equal(
      groupFlows(rows, 'source').map(({ source, count, bytes }) => `${source} ${count} ${bytes}`),
      ['10.0.0.1 3 null', '198.18.77.2 1 null', 'fd00::1 1 123456'],
    );
    assert.equal(
      groupFlows(rows, 'state').map(({ states }) => states),
      [{ ESTABLISHED: 1 }, { SYN_SENT: 2 }, { TIME_WAIT: 2 }],
    );
  });

  test('prints a line each, with NAT and its own mark, and how full the table is', () => {
    const io = caughtIo();
    const footer = flowsFooter(TOTALS);
    printTable(io, { columns: flowColumns(ROWS), rows: ROWS, footer }, { output: 'table', noHeader: false });
    assert.equal(io.lines(), [
      'STATE         LEFT   IDLE    AGE  SOURCE             DESTINATION     NAT                  MARK     PACKETS          BYTES',
      'ESTABLISHED  4d23h  1m00s      -  10.0.0.1:40000     10.96.0.1:443   to 10.244.1.5:8443   -              -              -',
      'SYN_SENT     1m40s    19s      -  10.0.0.1:40000     203.0.113.9:25  -                    -              -              -',
      'TIME_WAIT    1m30s    29s      -  198.18.77.2:50000  127.0.0.1:80    -                    finwait        -              -',
      'TIME_WAIT      10s      -  2m05s  [fd00::1]:50000    [fd00::2]:443   as [fd00::99]:61000  0x2a       12/10  3,456/120,000',
      '4 of 4 TCP flows, 1 of finwait, 3 of other protocols left out',
      'table: 7 / 1,000 (0.70 %)',
    ]);
  });

  test('shows flows that are offloaded, and tells them from those of every state', () => {
    const rows = [flow({ state: null, timeoutMs: null, idleMs: null }), flow()];
    const io = caughtIo();
    printTable(
      io,
      { columns: flowColumns(rows), rows: sortFlows(rows, undefined, false), footer: [] },
      { output: 'table', noHeader: true },
    );
    assert.equal(
      io.lines().map((line) => line.split(/ +/).slice(0, 3)),
      [
        ['ESTABLISHED', '1m00s', '1m00s'],
        ['OFFLOADED', '-', '-'],
      ],
    );
    const groups = sortFlowGroups(groupFlows(rows, 'state'), 'state', false);
    assert.equal(
      groups.map(({ states }) => states),
      [{ ESTABLISHED: 1 }, { OFFLOADED: 1 }],
    );
    const selected = (state: string) => selectFrom(rows, '-s', state).length;
    assert.equal([selected('all'), selected('none'), selected('estab')], [2, 1, 1]);
  });

  test('shows, filters, groups and sorts by whose the ends are', () => {
    const nginx = {
      process: { pid: 7, name: 'nginx' },
      attribution: 'listener',
      pod: null,
      podName: null,
    } as const;
    const curl = {
      process: { pid: 9, name: 'curl' },
      attribution: 'socket',
      pod: { uid: 'ab-1' },
      podName: 'default/web',
    } as const;
    const rows = [flow({ acceptor: nginx }), flow(), flow({ opener: curl, acceptor: nginx })];
    const ofNode = { process: null, attribution: 'unknown', pod: null, podName: null } as const;
    const chosen = (...args: string[]) =>
      selectFrom(rows, ...args)
        .map((row) => rows.indexOf(row))
        .join('');
    assert.is(chosen('--process', 'nginx'), '02');
    assert.is(chosen('--process', '9,unknown'), '12');
    assert.is(chosen('--pod', 'web'), '2');
    assert.is(chosen('--pod', 'none'), '012');
    assert.equal(
      sortFlowGroups(groupFlows(rows, 'process'), 'process', false).map(({ process, count }) => [
        process?.name,
        count,
      ]),
      [
        ['curl', 1],
        ['nginx', 1],
        [undefined, 1],
      ],
    );
    // Who opened it is here and not known: the one that accepted it did not.
    assert.equal(
      groupFlows([flow({ opener: ofNode, acceptor: nginx }), ...rows], 'process').map(
        ({ process, attribution, count }) => [process?.name, attribution, count],
      ),
      [
        [undefined, 'unknown', 2],
        ['nginx', 'listener', 1],
        ['curl', 'socket', 1],
      ],
    );
    assert.equal(
      groupFlows([flow({ opener: ofNode, acceptor: curl })], 'pod').map(({ pod }) => pod),
      [null],
    );
    // One that is known for sure of some of its flows is known.
    const served = groupFlows(
      [flow({ acceptor: nginx }), flow({ acceptor: { ...nginx, attribution: 'socket' } })],
      'process',
    );
    const groupIo = caughtIo();
    const listening = groupFlows(rows, 'process');
    for (const groups of [served, listening]) {
      const footer = flowGroupsFooter('process', groups);
      printTable(
        groupIo,
        { columns: flowGroupColumns('process', groups), rows: groups, footer },
        { output: 'table', noHeader: false },
      );
    }
    assert.equal(
      groupIo.lines().map((line) => line.slice(0, 17).trimEnd()),
      [
        'COUNT  PROCESS  S',
        '    2  nginx/7  2',
        'COUNT  PROCESS',
        '    1  (nginx/7)',
        '    1  -',
        '    1  curl/9',
        '(name/pid): the p',
        '-: opened by what',
      ],
    );
    assert.equal(
      groupFlows(rows, 'pod').map(({ pod, podName, count }) => [pod, podName, count]),
      [
        [null, null, 2],
        ['ab-1', 'default/web', 1],
      ],
    );
    assert.equal(
      sortFlows(rows, 'pod', false).map((row) => rows.indexOf(row)),
      [2, 0, 1],
    );
    const io = caughtIo();
    printTable(
      io,
      { columns: flowColumns(rows, true), rows, footer: [] },
      { output: 'table', noHeader: false },
    );
    const [header, ...lines] = io.lines().map((line) => line.split(/ {2,}/).slice(5));
    assert.equal(
      [header, ...lines],
      [
        ['OPENED-BY', 'ACCEPTED-BY'],
        ['-', '(nginx/7)'],
        ['-', '-'],
        ['default/web curl/9', '(nginx/7)'],
      ],
    );
  });

  test('leaves out columns that no row fills', () => {
    const io = caughtIo();
    const rows = [flow()];
    printTable(io, { columns: flowColumns(rows), rows, footer: [] }, { output: 'table', noHeader: false });
    assert.is(io.lines()[0], 'STATE         LEFT   IDLE  SOURCE          DESTINATION');
  });

  test('says that nothing seems to use conntrack when it holds no flow', () => {
    const [, fill] = flowsFooter({ selected: 0, all: 0, own: 0, others: 0, fill: { count: 0, max: 10 } });
    assert.match(fill?.[0]?.text ?? '', /table: 0 \/ 10 \(0 %\); no rule of this network namespace/);
  });

  test('says how fast it fills and when it is full, from the second look on', () => {
    const text = (growthPerS: number, toFullMs?: number) => {
      const fill = { count: 10, max: 1_000, growthPerS, ...(toFullMs === undefined ? {} : { toFullMs }) };
      return fillText(fill).slice('table: 10 / 1,000 (1.0 %)'.length);
    };
    assert.is(fillText({ count: 10, max: 1_000 }), 'table: 10 / 1,000 (1.0 %)');
    assert.equal(
      [text(23.4, 11_340_000), text(-2_000), text(0.2, 60_000), text(-0.004)],
      [', +23/s, full in 3h09m', ', -2,000/s', ', +12/min, full in 1m00s', ', steady'],
    );
    assert.is(fillText({ count: 10, max: 0, growthPerS: 1 }), 'table: 10, without a bound, +1/s');
  });

  test('on a terminal columns go, but no address or port is cut', () => {
    const end = ({ address, port }: FlowRow['source']) => hostPortText(address, port);
    for (const columns of [20, 40, 60, 80, 100, 132]) {
      const io = caughtIo(columns, { LANG: 'C.UTF-8', NO_COLOR: '1' });
      const plain = { output: 'table', noHeader: false } as const;
      printTable(io, { columns: flowColumns(ROWS), rows: ROWS, footer: [] }, plain);
      const [header = '', ...lines] = io.lines();
      for (const [at, { source, destination, natSource, natDestination }] of ROWS.entries()) {
        for (const each of [source, destination, natSource, natDestination])
          assert.ok(each === null || lines[at]?.includes(end(each)), `${columns}: ${lines[at]}`);
      }
      const isLong = header.length > columns;
      assert.ok(!isLong || !/LEFT|IDLE|AGE|MARK|PACKETS|BYTES/.test(header), `${columns}: ${header}`);
      const groups = groupFlows(ROWS, 'destination');
      const groupTable = { columns: flowGroupColumns('destination', groups), rows: groups, footer: [] };
      const groupIo = caughtIo(columns, { LANG: 'C.UTF-8', NO_COLOR: '1' });
      printTable(groupIo, groupTable, plain);
      for (const line of groupIo.lines())
        assert.ok(line.length <= columns, `${line.length} > ${columns}: ${line}`);
    }
  });

  test('tells every fault of the command line, with exit code 2', async () => {
    for (const [args, says] of [
      [['--state', 'fin-wait-2'], /--state: "fin-wait-2" is not a TCP state of conntrack: NONE, SYN_SENT/],
      [['--mark', '0xzz'], /--mark: "0xzz" is not a mark such as 7 or 0x2a/],
      [['--mark', '4294967296'], /--mark: "4294967296" is not a mark/],
      [['--sort', 'count'], /--sort count needs --by/],
      [['--by', 'source', '--sort', 'idle'], /--sort idle does not go with --by/],
      [['-F'], /unknown option -F/],
      [['-E', '--pod', 'x'], /--events does not go with --owners/],
      [['--only', 'begun'], /--only needs --events/],
      [['--netns', 'no-such-fw'], /--netns: "no-such-fw" is no network namespace: not in \/run\/netns/],
      [['-E', '--by', 'state'], /--events goes with filters only/],
      [['delete'], /it takes SOURCE and DESTINATION/],
      [['delete', '10.0.0.1:1', '[::1]:2'], /not of one address family/],
      [['delete', '10.0.0.1:1', '10.0.0.1:65536'], /is not ADDRESS:PORT/],
      [['delete', '10.0.0.1:1', '10.0.0.2:1', '10.0.0.3:1'], /it takes SOURCE and DESTINATION/],
    ] as const) {
      const { code, stdout, stderr } = await cliRun(['conntrack', ...args]);
      assert.is(code, 2, args.join(' '));
      assert.is(stdout, '');
      assert.match(stderr, says);
    }
  });
});
