import * as assert from 'uvu/assert';
import type { Size } from '../../cli/view-frame.ts';
import { frameLines, reportLines } from '../../cli/view-frame.ts';
import type { ViewModel } from '../../cli/view-model.ts';
import { extendTrends } from '../../cli/view-model.ts';
import type { Line } from '../../cli/view-text.ts';
import { paintLine, width } from '../../cli/view-text.ts';
import { spec } from '../harness.ts';
import { holder, model, nodeView, overview, probe, TUN_DENIED } from './view-fixture.ts';

const text = (lines: readonly Line[]) =>
  lines.map((line) => paintLine(line, { colour: false, unicode: true })).join('\n');
const frame = (of: ViewModel, size: Size) => text(frameLines(of, size));

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
  db.example:5432 (10.0.0.5)  -             filtered          -       -    3    2s         no answer to 4 SYNs in 10 s
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

  test('sixty columns keep what matters', () => {
    assert.snapshot(
      frame(model(), { columns: 60, rows: 20 }),
      `finwait 0.1.0  node alpha (6.12.1)  up 1m07s
http://127.0.0.1:7460/  traces: off

sockets  LISTEN  ESTAB  FIN-WAIT-2  CLOSE-WAIT  TIME-WAIT
IPv4         12  1,204           0          12         45
IPv6          4      0           1           0          0

conntrack   █░░░░░░░░░  1,234 of 262,144 (0.47 %)
ESTABLISHED 1,100  TIME_WAIT 130  finwait's own 4

  probe                       verdict   handshake   close
  db.example:5432 (10.0.0.5)  filtered          -       -
  127.0.0.1:22                open         132 us  251 us
  127.0.0.1:5432              open         132 us  251 us

  waiting in  count  oldest  process    connection
  CLOSE-WAIT     12   3m12s  java/4211  → 10.0.0.5:5432
  and 2 more on the web page

q quits`,
    );
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
      /last report is 42s old/,
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
