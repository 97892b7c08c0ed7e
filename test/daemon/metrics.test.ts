import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { promText } from '#base/prom-text.ts';
import type { AgentFigures } from '../../daemon/metrics.ts';
import { agentFamilies } from '../../daemon/metrics.ts';
import { ProbeMetrics } from '../../daemon/metrics-probes.ts';
import { spec } from '../harness.ts';
import { ROOT, runProgram } from '../support/child.ts';
import { sampleReport } from '../support/report.ts';
import { makeSweep } from './fake-workers.ts';
import { listenerTargetOf, makeResult, makeSockets } from './report/fixtures.ts';

const { sockets: { ports } = {}, conntrack: { sourceNat, divergence } = {} } = sampleReport();

const ACTIVITY = {
  followed: 'events',
  settings: { events: 'on', accounting: false, timestamps: false },
  toFullMs: 90_000,
  ends: [{ reason: 'half-closed-timeout', count: 3 }],
  lifetimes: [{ basis: 'seen', counts: [2, 0, 1], sumMs: 9_000 }],
  lifetimeBoundsMs: [100, 1_000],
  lifetimesUnknown: 0,
  sources: [],
  destinations: [],
  statistics: [{ name: 'earlyDrop', total: 4 }],
} as const;

const FIGURES: AgentFigures = {
  mode: 'probe',
  sweep: makeSweep({
    sockets: makeSockets({
      folded: [{ state: 'TIME-WAIT', groups: 2, sockets: 9 }],
      listenersFolded: 3,
      counters: { ListenOverflows: { total: 12, perSecond: 1.5 } },
      memory: { pages: 40, orphans: 2, allocated: 9 },
      namespaces: [
        {
          inode: 7,
          own: true,
          inUse: 3,
          timeWait: 0,
          counters: {},
          settings: { memoryPages: { low: 10, pressure: 20, high: 30 } },
        },
      ],
      ...(ports && { ports }),
    }),
    conntrack: {
      status: 'on',
      count: 7,
      max: 100,
      states: [{ state: 'LAST_ACK', count: 7 }],
      own: 1,
      activity: ACTIVITY,
      ...(sourceNat && { sourceNat }),
      ...(divergence && { divergence }),
    },
    counters: { sockets_undecodable: 1 },
  }),
  engineReady: true,
  engineCounters: { probes_finished: 4, tcp_dropped_checksum: 2 },
  plan: { targets: [listenerTargetOf('0.0.0.0:22', '198.18.77.1', 22)], folded: 1 },
  reporter: {
    cut: 3,
    pushes: { acknowledged: 2, unreachable: 1, unavailable: 0, unauthorized: 0, invalid: 0 },
    droppedReports: { 'spool-full': 1 },
    droppedResults: { 'spool-full': 5 },
    spool: { reports: 1, results: 2, inMemory: 0, bytes: { disk: 300, memory: 0 } },
    spoolFileErrors: 0,
    acknowledgedMs: 1_700_000_000_000,
  },
  heartbeatsMs: { tables: 100 },
  loopLagMs: 3,
  conditions: [
    { code: 'TUN_MISSING', message: 'a "quoted" message\nin two lines', hint: 'h' },
    { code: 'TUN_MISSING', message: 'another', hint: 'h' },
  ],
};

function textOf(probes: ProbeMetrics): string {
  return promText([...agentFamilies(FIGURES), ...probes.families()]);
}

function handshake(seconds: number) {
  return makeResult({
    phases: [{ name: 'handshake', fromUs: 0, toUs: seconds * 1e6, ok: true }],
    handshakeNetUs: 200,
  });
}

spec('agent metrics', (test) => {
  test(
    'promtool has nothing to say, also of names a stranger chose',
    async () => {
      const probes = new ProbeMetrics();
      probes.add(makeResult({ target: { name: 'a"b\\c\nd', host: 'h', port: 1, origin: 'user' } }));
      const env = { METRICS: textOf(probes) };
      const checked = await runProgram('sh', ['-c', 'printf %s "$METRICS" | promtool check metrics'], {
        env,
      });
      assert.equal([checked.code, checked.stdout, checked.stderr], [0, '', '']);
    },
    { needs: ['promtool'] },
  );

  test('docs/metrics.md lists exactly the families there are, with their types', () => {
    const probes = new ProbeMetrics();
    probes.add(makeResult());
    const produced = [...textOf(probes).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(
      ([, name, type]) => `${name} ${type}`,
    );
    const page = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8');
    const section = page.split(/^## /m).find((part) => part.startsWith('The agent\n')) ?? '';
    const listed = [...section.matchAll(/^\| `(\w+)`[^|]* \| (\w+) \|/gm)].map(
      ([, name, type]) => `${name} ${type}`,
    );
    assert.equal(listed.toSorted(), produced.toSorted());
  });

  test("counts the kernel's TCP counters by name", () => {
    const text = textOf(new ProbeMetrics());
    assert.match(text, /^finwait_agent_tcp_events_total{event="ListenOverflows"} 12$/m);
    assert.match(text, /^finwait_agent_tcp_memory_pages 40$/m);
  });

  test('puts a handshake into the bucket that tells how many SYNs it took', () => {
    const probes = new ProbeMetrics();
    for (const seconds of [0.00005, 1.0002, 3.1, 7.2, 200]) probes.add(handshake(seconds));
    const text = promText(probes.families());
    const bucket = (le: string) =>
      Number(
        new RegExp(`handshake_duration_seconds_bucket{le="${le.replace('+', '\\+')}"} (\\d+)`).exec(
          text,
        )?.[1],
      );
    assert.equal(['0.0001', '1', '3', '7', '15', '127', '+Inf'].map(bucket), [1, 1, 2, 3, 4, 4, 5]);
    assert.match(text, /handshake_duration_seconds_count 5\n/);
    assert.match(text, /handshake_net_duration_seconds_bucket{le="0.00025"} 5\n/);
  });

  test('counts no handshake time for a probe whose handshake did not complete', () => {
    const probes = new ProbeMetrics();
    const phases = [{ name: 'handshake', fromUs: 0, toUs: 10_000_000, ok: false } as const];
    const { handshakeNetUs: _, ...result } = makeResult({ phases, verdict: 'filtered' });
    probes.add(result);
    const text = promText(probes.families());
    assert.match(text, /handshake_duration_seconds_count 0\n/);
    assert.match(text, /probes_total{target="db:5432",verdict="filtered"} 1\n/);
  });

  test('gives the first hundred targets series of their own and sums the rest, and says so', () => {
    const probes = new ProbeMetrics();
    for (let round = 0; round < 2; round++) {
      for (let port = 1; port <= 130; port++) {
        probes.add(makeResult({ target: { name: `a:${port}`, host: 'a', port, origin: 'listener' } }));
      }
    }
    const text = promText(probes.families());
    assert.is([...text.matchAll(/^finwait_agent_probes_total{/gm)].length, 101);
    assert.match(text, /probes_total{target="other",verdict="open"} 60\n/);
    assert.match(text, /series_folded 30\n/);
  });

  test('shows each condition once by its code', () => {
    const text = textOf(new ProbeMetrics());
    assert.is([...text.matchAll(/^finwait_agent_condition{code="TUN_MISSING"} 1$/gm)].length, 1);
  });

  test('leaves out what could not be read instead of calling it zero', () => {
    const { sockets: _, ...sweep } = makeSweep();
    const text = promText(agentFamilies({ ...FIGURES, sweep, engineReady: undefined }));
    assert.not.match(text, /^finwait_agent_(listeners|conntrack_entries|engine_ready)/m);
  });

  test('tell of ports and divergence the worst and the sums, and nothing of what is not known', () => {
    const lines = (sweep: AgentFigures['sweep']) =>
      promText(agentFamilies({ ...FIGURES, sweep }))
        .split('\n')
        .filter((line) => /^finwait_agent_(ports|divergent)/.test(line));
    assert.equal(lines(FIGURES.sweep), [
      `finwait_agent_ports_used_ratio{ports="local"} ${20_000 / 28_230}`,
      `finwait_agent_ports_used_ratio{ports="masqueraded"} ${31_000 / 64_512}`,
      'finwait_agent_ports_exhausted_seconds{ports="local"} 247',
      'finwait_agent_divergent{missing="flow",state="CLOSE-WAIT"} 1',
      'finwait_agent_divergent{missing="socket",state="ESTABLISHED"} 2',
    ]);
    assert.equal(lines(undefined), []);
  });
});
