import * as assert from 'uvu/assert';
import type { Size } from '../../cli/view-frame.ts';
import { frameLines, reportLines } from '../../cli/view-frame.ts';
import type { ViewModel } from '../../cli/view-model.ts';
import { extendTrends } from '../../cli/view-model.ts';
import type { Line } from '../../cli/view-text.ts';
import { paintLine, width } from '../../cli/view-text.ts';
import { spec } from '../harness.ts';
import { holder, listener, model, nodeView, overview, probe, TUN_DENIED } from './view-fixture.ts';

const text = (lines: readonly Line[]) =>
  lines.map((line) => paintLine(line, { colour: false, unicode: true })).join('\n');
const frame = (of: ViewModel, size: Size) => text(frameLines(of, size));

const { sockets: SOCKETS = assert.unreachable() as never } = nodeView();

/** More of everything than a small terminal holds. */
function crowded(): ViewModel {
  const holders = Array.from({ length: 40 }, (_, index) =>
    holder({ peer: `10.0.1.${index}`, count: 40 - index }),
  );
  const probes = [
    ...Array.from({ length: 30 }, (_, index) => {
      const name = `127.0.0.1:${9000 + index}`;
      return probe(name, 'open', {
        target: { name, host: '127.0.0.1', port: 9000 + index, origin: 'listener' },
      });
    }),
    probe('10.0.0.7:443'),
    probe('10.0.0.5:5432', 'filtered'),
  ];
  const listeners = Array.from({ length: 30 }, (_, index) =>
    listener('127.0.0.1', 9000 + index, 'srv', 700 + index),
  );
  const sockets = { ...SOCKETS, holders, listeners };
  const conditions = Array.from({ length: 4 }, (_, index) => ({ ...TUN_DENIED, message: `fault ${index}` }));
  return model({ overview: overview(nodeView({ sockets, probes, conditions })) });
}

spec('the live view', (test) => {
  test('a wide terminal shows everything', () => {
    const withFault = model({ overview: overview(nodeView({ conditions: [TUN_DENIED] })) });
    assert.snapshot(
      frame(withFault, { columns: 120, rows: 30 }),
      `finwait 0.1.0  node alpha (6.12.1)  up 1m07s  http://127.0.0.1:7460/  traces: off

sockets  LISTEN  ESTABLISHED  FIN-WAIT-2  CLOSE-WAIT  TIME-WAIT
IPv4         12        1,204           0          12         45
IPv6          4            0           1           0          0

conntrack   █░░░░░░░░░░░░░░░░░░░  1,234 of 262,144 (0.47 %)  ESTABLISHED 1,100  TIME_WAIT 130  finwait's own 4

  probe                       process       verdict   handshake   close  rtx  seen  trend  what happened
  db.example:5432 (10.0.0.5)  -             filtered          -       -    3    2s         no answer to 4 SYNs in 132 us
  127.0.0.1:22                sshd/812      open         132 us  251 us    0    2s
  127.0.0.1:5432              postgres/900  open         132 us  251 us    0    2s

  waiting in  count  oldest  process    connection          attribution
  CLOSE-WAIT     12   3m12s  java/4211  → 10.0.0.5:5432     owns the socket
  TIME-WAIT      31     41s  nginx/80   :443 ← 2001:db8::7  listens on the port
  TIME-WAIT      14      8s  -          → 10.0.0.5:5432     owner unknown
  and 5 TIME-WAIT in 3 smaller groups

TUN_DENIED: the TUN device may not be opened: Operation not permitted
  hint: run as root, or give the process CAP_NET_ADMIN

q quits`,
    );
  });

  test('says what is not read', () => {
    const shown = frame(model({ unreadNamespaces: 2 }), { columns: 160, rows: 20 });
    assert.match(shown, '2 other network namespaces are not read: finwait up -A does');
  });

  test('sixty columns keep what matters', () => {
    assert.snapshot(
      frame(model(), { columns: 60, rows: 20 }),
      `finwait 0.1.0  node alpha (6.12.1)  up 1m07s
sockets  LISTEN 16  ESTABLISHED 1,204  FIN-WAIT-2 1  CLOSE-WAIT 12  TIME-WAIT 45
conntrack   █░░░░░░░░░  1,234 of 262,144 (0.47 %)
  probe                     verdict   handshake   close  rtx
  db.example:5432 (10.0.0…  filtered          -       -    3
  127.0.0.1:22              open         132 us  251 us    0
  127.0.0.1:5432            open         132 us  251 us    0

  waiting in  count  oldest  process    connection
  CLOSE-WAIT     12   3m12s  java/4211  → 10.0.0.5:5432
  TIME-WAIT      31     41s  nginx/80   :443 ← 2001:db8::7
  TIME-WAIT      14      8s  -          → 10.0.0.5:5432
  and 5 TIME-WAIT in 3 smaller groups

q quits`,
    );
  });

  test('a hundred by sixteen with many probes, holders and faults keeps something of each, problems first', () => {
    const shown = frame(crowded(), { columns: 100, rows: 16 });
    assert.snapshot(
      shown,
      `finwait 0.1.0  node alpha (6.12.1)  up 1m07s  http://127.0.0.1:7460/  traces: off
sockets  LISTEN 16  ESTABLISHED 1,204  FIN-WAIT-2 1  CLOSE-WAIT 12  TIME-WAIT 45
conntrack   █░░░░░░░░░░░░░░░░░░░  1,234 of 262,144 (0.47 %)  ESTABLISHED 1,100  TIME_WAIT 130
  probe           process  verdict   handshake   close  rtx  seen  what happened
  10.0.0.5:5432   -        filtered          -       -    0    2s  no answer to 1 SYN in 132 us
  10.0.0.7:443    -        open         132 us  251 us    0    2s
  127.0.0.1:9000  srv/700  open         132 us  251 us    0    2s
  + 29 more
  waiting in  count  oldest  process    connection        attribution
  CLOSE-WAIT     40   3m12s  java/4211  → 10.0.1.0:5432   owns the socket
  + 39 more; and 5 TIME-WAIT in 3 smaller groups
TUN_DENIED: fault 0
TUN_DENIED: fault 1
TUN_DENIED: fault 2
TUN_DENIED: fault 3
q quits`,
    );
  });

  test('eighty by twenty-four has both tables, and says what is left out', () => {
    const shown = frame(crowded(), { columns: 80, rows: 24 });
    assert.snapshot(
      shown,
      `finwait 0.1.0  node alpha (6.12.1)  up 1m07s  http://127.0.0.1:7460/
sockets  LISTEN 16  ESTABLISHED 1,204  FIN-WAIT-2 1  CLOSE-WAIT 12  TIME-WAIT 45
conntrack   █░░░░░░░░░░░░░░░░░░░  1,234 of 262,144 (0.47 %)  ESTABLISHED 1,100
  probe           verdict   handshake   close  rtx  what happened
  10.0.0.5:5432   filtered          -       -    0  no answer to 1 SYN in 132 us
  10.0.0.7:443    open         132 us  251 us    0
  127.0.0.1:9000  open         132 us  251 us    0
  127.0.0.1:9001  open         132 us  251 us    0
  127.0.0.1:9002  open         132 us  251 us    0
  127.0.0.1:9003  open         132 us  251 us    0
  127.0.0.1:9004  open         132 us  251 us    0
  127.0.0.1:9005  open         132 us  251 us    0
  + 24 more
  waiting in  count  oldest  process    connection        attribution
  CLOSE-WAIT     40   3m12s  java/4211  → 10.0.1.0:5432   owns the socket
  CLOSE-WAIT     39   3m12s  java/4211  → 10.0.1.1:5432   owns the socket
  CLOSE-WAIT     38   3m12s  java/4211  → 10.0.1.2:5432   owns the socket
  CLOSE-WAIT     37   3m12s  java/4211  → 10.0.1.3:5432   owns the socket
  + 36 more; and 5 TIME-WAIT in 3 smaller groups
TUN_DENIED: fault 0
TUN_DENIED: fault 1
TUN_DENIED: fault 2
TUN_DENIED: fault 3
q quits`,
    );
  });

  test('where there are no lines for tables, a line sums them up', () => {
    const shown = frame(crowded(), { columns: 100, rows: 8 });
    assert.match(shown, /^probes {2}1 filtered, 31 open$/m);
    assert.match(shown, /^holders {2}40 groups; CLOSE-WAIT 40, /m);
  });

  test('a tainted result is marked, and tells nothing where a clean one is known', () => {
    const clean = probe('db:5432', 'open');
    const late = probe('db:5432', 'filtered', { tainted: 'loop-lag' });
    const before = extendTrends(new Map(), overview(nodeView({ probes: [clean] })));
    const now = overview(nodeView({ probes: [late] }));
    const size = { columns: 120, rows: 40 };
    const alone = frame(model({ overview: now, trends: extendTrends(new Map(), now) }), size);
    assert.match(alone, /^ {2}db:5432 .* filtered\? .* loop-lag: no answer to 1 SYN in/m);
    assert.match(alone, /\?: not to be trusted, finwait itself was late or lost packets \(loop-lag\)/);
    const trends = extendTrends(before, now);
    const told = frame(model({ overview: now, trends }), size);
    assert.match(told, /^ {2}db:5432 .* open /m);
    assert.not.match(told, /not to be trusted/);
    assert.equal([...trends.values()][0]?.handshakeUs, [132]);
  });

  test('what no longer listens is gone at once, also when it was probed well', () => {
    const target = { name: '127.0.0.1:8099', host: '127.0.0.1', port: 8099, origin: 'listener' } as const;
    const gone = nodeView({ probes: [probe('127.0.0.1:8099', 'open', { target })] });
    assert.not.match(frame(model({ overview: overview(gone) }), { columns: 120, rows: 40 }), /8099/);
    const asked = nodeView({ probes: [probe('127.0.0.1:8099')] });
    assert.match(frame(model({ overview: overview(asked) }), { columns: 120, rows: 40 }), /8099/);
  });

  test('what listens on every address has a name that can be probed', () => {
    const target = { name: '0.0.0.0:22', host: '198.18.77.1', port: 22, origin: 'listener' } as const;
    const remote = { address: '198.18.77.1', port: 22 };
    const node = nodeView({ probes: [probe('0.0.0.0:22', 'open', { target, remote })] });
    const shown = frame(model({ overview: overview(node) }), { columns: 120, rows: 40 });
    assert.match(shown, /^ {2}127\.0\.0\.1:22 +sshd\/812 +open /m);
  });

  test('of a process name that does not fit the number stays', () => {
    const process = { pid: 4_194_303, name: 'a-very-long-nam' };
    const sockets = {
      ...SOCKETS,
      holders: [holder({ process, peer: '2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff' })],
    };
    const shown = frame(model({ overview: overview(nodeView({ sockets })) }), { columns: 70, rows: 30 });
    assert.match(shown, /a-v\S*…\/4194303/);
  });

  test('no frame is taller or wider than the terminal', () => {
    const many = nodeView({
      probes: Array.from({ length: 40 }, (_, index) => probe(`10.0.0.${index}:80`, 'filtered')),
      conditions: Array.from({ length: 12 }, (_, index) => ({ ...TUN_DENIED, message: `fault ${index}` })),
    });
    const full = model({ overview: overview(many) });
    for (const columns of [20, 40, 60, 79, 80, 100, 200]) {
      for (const rows of [3, 8, 16, 24, 25, 50, 120]) {
        const lines = frameLines(full, { columns, rows });
        assert.ok(lines.length <= rows, `${lines.length} lines on ${columns}x${rows}`);
        for (const line of lines) {
          const painted = paintLine(line, { colour: false, unicode: true, columns });
          assert.ok(width(painted) <= columns, `${columns}x${rows}: ${painted}`);
        }
      }
    }
  });

  test('before anything is known it says what it waits for', () => {
    const nothing = frame({ ...model(), overview: undefined } as unknown as ViewModel, {
      columns: 80,
      rows: 24,
    });
    assert.match(nothing, /waiting for the operator to answer/);
    const noNode = frame(model({ overview: overview(undefined) }), { columns: 80, rows: 24 });
    assert.match(noNode, /waiting for the first report of the agent/);
    const target = { name: 'db:5432', host: 'db', port: 5432, origin: 'user', intervalMs: 5000 } as const;
    const limits = { connectMs: 1, exchangeMs: 1, closeMs: 1 };
    const asked = model({ overview: overview(nodeView({ assigned: [{ ...target, limits }] })) });
    assert.match(frame(asked, { columns: 80, rows: 24 }), /waiting for the first probe of db:5432/);
  });

  test('a target whose name does not resolve has a row that says so', () => {
    const limits = { connectMs: 1, exchangeMs: 1, closeMs: 1 };
    const target = { name: 'db.nowhere:80', host: 'db.nowhere', port: 80, origin: 'user' } as const;
    const fault = {
      code: 'NAME_UNRESOLVED',
      message: 'db.nowhere does not resolve to an address: no such name',
      hint: 'check the spelling',
    } as const;
    const node = nodeView({ assigned: [{ ...target, intervalMs: 5000, limits }], conditions: [fault] });
    const shown = frame(model({ overview: overview(node) }), { columns: 160, rows: 40 });
    assert.match(shown, /^ {2}db\.nowhere:80 +- +unresolved .* db\.nowhere does not resolve to an address/m);
    assert.not.match(shown, /waiting for the first probe/);
  });

  test('old data is said to be old', () => {
    const stale = nodeView({ stale: true, lastReportMs: model().nowMs - 42_000 });
    assert.match(
      frame(model({ overview: overview(stale) }), { columns: 80, rows: 24 }),
      /last report of the agent is 42s old: what follows is old/,
    );
  });

  test('an unreadable socket table leaves its sections out and conntrack stays', () => {
    const { sockets: _, ...rest } = nodeView();
    const shown = frame(model({ overview: overview(rest) }), { columns: 80, rows: 24 });
    assert.not.match(shown, /LISTEN/);
    assert.match(shown, /conntrack/);
    assert.match(shown, /127\.0\.0\.1:22/);
  });

  test('a fault named by operator and agent alike is shown once', () => {
    const both = overview(nodeView({ conditions: [TUN_DENIED] }), { conditions: [TUN_DENIED] });
    const shown = frame(model({ overview: both }), { columns: 120, rows: 40 });
    assert.is(shown.split('TUN_DENIED').length - 1, 1);
  });

  test('where traces go is told, and what was lost', () => {
    const telemetry = {
      traces: 'failing',
      metrics: 'ok',
      endpoint: 'http://127.0.0.1:4318/v1/traces',
      waiting: 3,
      accepted: 1200,
      lost: 2,
    } as const;
    const shown = frame(model({ overview: overview(nodeView(), { telemetry }) }), { columns: 160, rows: 40 });
    assert.match(
      shown,
      /traces: http:\/\/127\.0\.0\.1:4318\/v1\/traces \(1,200 accepted, 3 waiting, 2 lost\)/,
    );
  });

  test('the trend of a target holds one value a result, the oldest first', () => {
    const first = probe('127.0.0.1:22');
    const second = probe('127.0.0.1:22', 'filtered');
    let trends = extendTrends(new Map(), overview(nodeView({ probes: [first] })));
    trends = extendTrends(trends, overview(nodeView({ probes: [first] })));
    trends = extendTrends(trends, overview(nodeView({ probes: [second] })));
    assert.equal([...trends.values()][0]?.handshakeUs, [132, undefined]);
    assert.is(extendTrends(trends, overview(nodeView({ probes: [] }))).size, 0);
  });

  test('the report leaves nothing out', () => {
    const holders = Array.from({ length: 60 }, (_, index) => holder({ peer: `10.0.1.${index}` }));
    const sockets = { ...nodeView().sockets, holders, folded: [] } as unknown as NonNullable<
      ReturnType<typeof nodeView>['sockets']
    >;
    const shown = text(reportLines(model({ overview: overview(nodeView({ sockets })) }), 100));
    for (const { peer } of holders) assert.ok(shown.includes(`→ ${peer}:5432`), peer);
    assert.not.match(shown, /q quits/);
  });
});
