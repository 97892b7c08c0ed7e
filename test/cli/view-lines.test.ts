import * as assert from 'uvu/assert';
import type { ErrorCode } from '#base/errors.ts';
import type { Holder } from '#contract';
import type { Said } from '../../cli/view-lines.ts';
import { NOTHING_SAID, newLines } from '../../cli/view-lines.ts';
import type { ViewModel } from '../../cli/view-model.ts';
import { spec } from '../harness.ts';
import { holder, model, NOW_MS, nodeView, overview, probe, TUN_DENIED } from './view-fixture.ts';

const STATUS_MS = 10_000;

/** The lines of a row of models, without their times. */
function told(...models: readonly ViewModel[]): string[][] {
  let said: Said = NOTHING_SAID;
  return models.map((each) => {
    const next = newLines(each, said, STATUS_MS);
    said = next.said;
    return next.lines.map((line) => line.slice('2026-11-21T04:00:00Z '.length));
  });
}

/** A model of a later time, its overview as new as itself. */
function at(ms: number, over: Partial<ViewModel> = {}): ViewModel {
  const later = model({ nowMs: NOW_MS + ms, ...over });
  return later.overview === undefined
    ? later
    : { ...later, overview: { ...later.overview, generatedAtMs: NOW_MS + ms } };
}

spec('plain lines', (test) => {
  test('the first block tells everything once', () => {
    const { lines } = newLines(model(), NOTHING_SAID, STATUS_MS);
    assert.equal(lines, [
      '2026-11-21T04:00:00Z page       http://127.0.0.1:7460/',
      '2026-11-21T04:00:00Z traces     off (OTEL_EXPORTER_OTLP_ENDPOINT is not set)',
      '2026-11-21T04:00:00Z agent      alpha, kernel 6.12.1, mode probe',
      '2026-11-21T04:00:00Z sockets    IPv4 LISTEN 12, ESTABLISHED 1,204, CLOSE-WAIT 12, TIME-WAIT 45; IPv6 LISTEN 4, FIN-WAIT-2 1',
      "2026-11-21T04:00:00Z conntrack  1,234 of 262,144 (0.47 %), finwait's own 4, ESTABLISHED 1,100, TIME_WAIT 130",
      '2026-11-21T04:00:00Z holder     CLOSE-WAIT 12, java/4211, → 10.0.0.5:5432, oldest 3m12s',
      '2026-11-21T04:00:00Z holder     TIME-WAIT 31, nginx/80 (listens on the port), :443 ← 2001:db8::7, oldest 41s',
      '2026-11-21T04:00:00Z holder     TIME-WAIT 14, owner unknown, → 10.0.0.5:5432, oldest 8s',
      '2026-11-21T04:00:00Z probe      db.example:5432: filtered: no answer to 4 SYNs in 10 s',
      '2026-11-21T04:00:00Z probe      127.0.0.1:22 sshd/812: open: said to be open',
      '2026-11-21T04:00:00Z probe      127.0.0.1:5432 postgres/900: open: said to be open',
    ]);
  });

  test('says once how many network namespaces are not read, when there are any', () => {
    const [none, some, other] = told(
      at(0),
      at(1000, { unreadNamespaces: 31 }),
      at(2000, { unreadNamespaces: 30 }),
    );
    assert.not.match(String(none), 'others');
    assert.equal(some, ['others     31 other network namespaces are not read: finwait up -A does']);
    assert.equal(other, []);
  });

  test('nothing is said twice until the status is due', () => {
    const [, second, third] = told(at(0), at(1000), at(STATUS_MS));
    assert.equal(second, []);
    assert.equal(third, [
      'status     IPv4 LISTEN 12, ESTABLISHED 1,204, CLOSE-WAIT 12, TIME-WAIT 45; IPv6 LISTEN 4, FIN-WAIT-2 1; ' +
        "conntrack 1,234 of 262,144 (0.47 %), finwait's own 4, ESTABLISHED 1,100, TIME_WAIT 130; probes 1 filtered, 2 open",
    ]);
  });

  test('a silent operator is told of at once, then instead of the status, and when it is back', () => {
    const silent = (ms: number) => model({ nowMs: NOW_MS + ms });
    const [, quiet, old, same, still, fresh] = told(
      at(0),
      silent(4000),
      silent(6000),
      silent(7000),
      silent(STATUS_MS),
      at(STATUS_MS + 1000),
    );
    assert.equal(quiet, []);
    assert.equal(old, [
      'old        the operator has not answered for 6s: nothing is known since 2026-11-21T04:00:00Z',
    ]);
    assert.equal(same, []);
    assert.equal(still, [
      'old        the operator has not answered for 10s: nothing is known since 2026-11-21T04:00:00Z',
    ]);
    assert.equal(fresh, ['fresh      the operator is back']);
  });

  test('a silent agent is told of with the time of its last report', () => {
    const stale = overview(nodeView({ stale: true, lastReportMs: NOW_MS - 20_000 }));
    const [first] = told(at(0, { overview: stale }));
    assert.ok(
      first?.includes(
        'old        the last report of the agent is 20s old: nothing is known since 2026-11-21T03:59:40Z',
      ),
      String(first),
    );
  });

  test('a tainted result is marked, with why', () => {
    const probes = [probe('db:5432', 'filtered', { tainted: 'queue-drop' })];
    const [lines] = told(at(0, { overview: overview(nodeView({ probes })) }));
    assert.is(
      lines?.at(-1),
      'probe      db:5432: filtered?: said to be filtered (not to be trusted: queue-drop)',
    );
  });

  test('a changed verdict says what it was', () => {
    const before = overview(nodeView({ probes: [probe('db:5432')] }));
    const after = overview(nodeView({ probes: [probe('db:5432', 'refused')] }));
    const [, second] = told(at(0, { overview: before }), at(1000, { overview: after }));
    assert.equal(second, ['probe      db:5432: refused, was open: said to be refused']);
  });

  test('an agent that has no TUN device is not said to probe', () => {
    const faulty = overview(nodeView({ conditions: [TUN_DENIED] }));
    const [lines] = told(at(0, { overview: faulty }));
    assert.ok(
      lines?.includes('agent      alpha, kernel 6.12.1, mode probe (without probes: TUN_DENIED)'),
      lines?.join(),
    );
  });

  test('a fault is told with its hint, and when it is gone', () => {
    const faulty = overview(nodeView({ conditions: [TUN_DENIED] }));
    const [, appeared, , solved] = told(
      at(0),
      at(1000, { overview: faulty }),
      at(2000, { overview: faulty }),
      at(3000),
    );
    assert.equal(appeared, [
      'agent      alpha, kernel 6.12.1, mode probe (without probes: TUN_DENIED)',
      'problem    TUN_DENIED: the TUN device may not be opened: Operation not permitted',
      '  hint:    run as root, or give the process CAP_NET_ADMIN',
    ]);
    assert.equal(solved, [
      'agent      alpha, kernel 6.12.1, mode probe',
      'solved     TUN_DENIED: the TUN device may not be opened: Operation not permitted',
    ]);
  });

  test('a CLOSE-WAIT group gets a line when it has lasted, and when it is released', () => {
    const sockets = nodeView().sockets;
    if (sockets === undefined) throw new Error('the fixture has sockets');
    const withHolders = (...holders: ReturnType<typeof holder>[]) =>
      overview(nodeView({ sockets: { ...sockets, holders } }));
    const young = holder({ oldestMs: 900 });
    const old = holder({ oldestMs: 11_000 });
    const [, first, second, third] = told(
      at(0, { overview: withHolders() }),
      at(1000, { overview: withHolders(young) }),
      at(2000, { overview: withHolders(old) }),
      at(3000, { overview: withHolders() }),
    );
    assert.equal(first, []);
    assert.equal(second, ['holder     CLOSE-WAIT 12, java/4211, → 10.0.0.5:5432, oldest 11s']);
    assert.equal(third, ['released   CLOSE-WAIT of java/4211 → 10.0.0.5:5432']);
  });

  test('a CLOSE-WAIT group whose process is found later is told again, and not released', () => {
    const sockets = nodeView().sockets;
    if (sockets === undefined) throw new Error('the fixture has sockets');
    const of = (process: Holder['process']) => {
      const attribution = process === null ? 'unknown' : 'socket';
      const holders = [holder({ process, attribution, oldestMs: 11_000 })];
      return overview(nodeView({ sockets: { ...sockets, holders } }));
    };
    const nobody = overview(nodeView({ sockets: { ...sockets, holders: [] } }));
    const [, named, gone] = told(
      at(0, { overview: of(null) }),
      at(1000, { overview: of({ pid: 4211, name: 'java' }) }),
      at(2000, { overview: nobody }),
    );
    assert.equal(named, ['holder     CLOSE-WAIT 12, java/4211, → 10.0.0.5:5432, oldest 11s']);
    assert.equal(gone, ['released   CLOSE-WAIT of java/4211 → 10.0.0.5:5432']);
  });

  test('a fault that is named anew is not solved, and figures that change are not told again', () => {
    const faulty = (code: ErrorCode, message: string) => {
      return overview(nodeView({ conditions: [{ code, message, hint: 'see' }] }));
    };
    const [, unnamed, named, solved] = told(
      at(0),
      at(1000, { overview: faulty('LISTENER_STALLED', 'connections wait and its program does not accept') }),
      at(2000, { overview: faulty('LISTENER_STALLED', 'connections wait and lazyd/7 does not accept') }),
      at(3000),
    );
    assert.is(unnamed?.length, 2);
    assert.equal(named, [
      'problem    LISTENER_STALLED: connections wait and lazyd/7 does not accept',
      '  hint:    see',
    ]);
    assert.equal(solved, ['solved     LISTENER_STALLED: connections wait and lazyd/7 does not accept']);
    const full = (count: string) =>
      faulty('CONNTRACK_FULL', `conntrack holds ${count} of at most 262,144 entries`);
    const [, first, second] = told(
      at(0),
      at(1000, { overview: full('260,001') }),
      at(2000, { overview: full('9') }),
    );
    assert.equal([first?.length, second], [2, []]);
    const name = (text: string) => faulty('NAME_UNRESOLVED', `${text} does not resolve`);
    const [, , other] = told(
      at(0),
      at(1000, { overview: name('db-1') }),
      at(2000, { overview: name('db-2') }),
    );
    assert.is(other?.length, 3, 'a number in a name is no figure');
  });

  test('a CLOSE-WAIT group of the first block is not told again when it has lasted', () => {
    const sockets = nodeView().sockets;
    if (sockets === undefined) throw new Error('the fixture has sockets');
    const aged = (oldestMs: number) =>
      overview(nodeView({ sockets: { ...sockets, holders: [holder({ oldestMs })] } }));
    const [, second] = told(at(0, { overview: aged(2000) }), at(9000, { overview: aged(11_000) }));
    assert.equal(second, []);
  });

  test('a restarted operator without results makes no verdict new', () => {
    const probes = [probe('db:5432')];
    const [, gone, back] = told(
      at(0, { overview: overview(nodeView({ probes })) }),
      at(1000, { overview: overview(undefined) }),
      at(2000, { overview: overview(nodeView({ probes })) }),
    );
    assert.equal(gone, []);
    assert.equal(back, []);
  });
});
