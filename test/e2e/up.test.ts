import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { NodeView, Overview } from '../../operator/fleet/view.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { ROOT } from '../support/child.ts';
import { startCollector } from '../support/collector.ts';
import { watchLeftovers } from '../support/leftovers.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';

const NEEDS = ['root', 'tun', 'netns', 'netfilter-conntrack', 'nft', 'ss'] as const;
const OPTIONS = { needs: NEEDS, timeoutMs: 180_000 };
/** "finw", the mark of finwait's own flows. */
const MARK = '0x66696e77';

/** A namespace in which the kernel listens on port 8080 of 127.0.0.1 and ::1. */
async function host(behaviour: 'close' | 'hold'): Promise<Netns> {
  const ns = await makeNetns('up');
  const program = join(ROOT, 'test/support/tcp-server.ts');
  const server = ns.start(process.execPath, [program, behaviour, '127.0.0.1:8080', '[::1]:8080']);
  await server.output(/listening/);
  return ns;
}

/** Asks the page for its JSON until it says what is waited for. */
async function overviewWith(
  ns: Netns,
  up: Child,
  what: string,
  holds: (overview: Overview) => boolean,
  timeoutMs = 90_000,
): Promise<Overview> {
  const [, url] = await up.output(/page +(http:\/\/\S+)/);
  const ask = `fetch('${url}api/v1/overview').then((r) => r.text()).then(console.log, () => {})`;
  return until(
    what,
    async () => {
      const text = (await ns.run(process.execPath, '-e', ask)).trim();
      const overview = text === '' ? undefined : (JSON.parse(text) as Overview);
      return overview !== undefined && holds(overview) ? overview : undefined;
    },
    timeoutMs,
  );
}

function probed(node: NodeView | undefined, address: string) {
  return node?.probes.find(({ remote }) => remote.port === 8080 && remote.address === address);
}

spec('finwait up, end to end', (test) => {
  test(
    'the handshake that a probe reports is in conntrack with finwait’s mark, and counted as its own',
    async () => {
      await using ns = await host('hold');
      const watch = watchLeftovers(ns.enter);
      await using up = ns.finwait(['up', '--close-timeout', '500ms'], { env: watch.env });
      const overview = await overviewWith(
        ns,
        up,
        'a probe of both listeners and own flows',
        ({ nodes: [node] }) =>
          Boolean(probed(node, '127.0.0.1') && probed(node, '::1') && (node?.conntrack?.own ?? 0) > 0),
      );
      const flows = await ns.run('conntrack', '-L', '-p', 'tcp', '--mark', MARK);
      const result = probed(overview.nodes[0], '127.0.0.1');
      assert.is(result?.verdict, 'half-closed');
      assert.match(
        flows,
        `src=${result?.local.address} dst=127.0.0.1 sport=${result?.local.port} dport=8080`,
      );
      await up.stop('SIGINT');
      await watch.assertNothingLeft();
    },
    { ...OPTIONS, needs: [...NEEDS, 'conntrack-tool'] },
  );

  test(
    'who holds CLOSE-WAIT is named with process and destination, as ss counts it',
    async () => {
      await using ns = await host('hold');
      // Three clients close their side; the server does not.
      const clients = "for (let i = 0; i < 3; i++) require('node:net').connect(8080, '127.0.0.1').end()";
      await using client = ns.start(process.execPath, ['-e', clients]);
      const counted = await until('three CLOSE-WAIT in ss', async () => {
        const lines = (await ns.run('ss', '-Htn', 'state', 'close-wait')).trim().split('\n');
        return lines.length === 3 ? lines : undefined;
      });
      await using up = ns.finwait(['up', '--observe']);
      const { nodes } = await overviewWith(ns, up, 'the holder', ({ nodes: [node] }) =>
        // On a machine full of open files the process is found by a later sweep than the sockets.
        Boolean(
          node?.sockets?.holders.some(({ state, process }) => state === 'CLOSE-WAIT' && process !== null),
        ),
      );
      const holder = nodes[0]?.sockets?.holders.find(({ state }) => state === 'CLOSE-WAIT');
      assert.equal([holder?.count, holder?.direction, holder?.port], [counted.length, 'inbound', 8080]);
      assert.is(holder?.process?.name, 'node');
      client.kill('SIGKILL');
    },
    OPTIONS,
  );

  test(
    'killed all at once it leaves nothing that the next run does not take away',
    async () => {
      await using ns = await host('close');
      const watch = watchLeftovers(ns.enter);
      const first = ns.finwait(['up'], { env: watch.env });
      await first.output(/probe +127\.0\.0\.1:8080/);
      const pids = watch.processes().map((line) => Number.parseInt(line, 10));
      assert.ok(pids.length >= 3, `up, agent and operator run: ${watch.processes()}`);
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await first.ended;
      await using second = ns.finwait(['up'], { env: watch.env });
      await second.output(/probe +127\.0\.0\.1:8080/);
      await second.stop('SIGINT');
      await watch.assertNothingLeft();
    },
    OPTIONS,
  );

  test(
    'an operator that is killed is started again, and no report of the agent is lost',
    async () => {
      await using ns = await host('close');
      const watch = watchLeftovers(ns.enter);
      await using up = ns.finwait(['up'], { env: watch.env });
      const before = await overviewWith(ns, up, 'reports', ({ nodes: [node] }) => (node?.seq ?? 0) >= 2);
      const operator = watch.processes().find((line) => / operator /.test(line));
      process.kill(Number.parseInt(operator ?? '', 10), 'SIGKILL');
      const after = await overviewWith(
        ns,
        up,
        'further reports to a new operator',
        ({ operator, nodes: [node] }) =>
          operator.startedAtMs > before.operator.startedAtMs &&
          (node?.seq ?? 0) > (before.nodes[0]?.seq ?? 0) + 1,
      );
      assert.is(after.nodes[0]?.boot, before.nodes[0]?.boot, 'the agent was not started again');
      assert.is(after.nodes[0]?.reports.missing, 0);
      await up.stop('SIGINT');
      await watch.assertNothingLeft();
    },
    OPTIONS,
  );
});

spec('finwait up and the Collector', (test) => {
  const options = { needs: [...NEEDS, 'collector'] as const, timeoutMs: 300_000 };

  test(
    'counts of states are metrics under the names of the semantic conventions',
    async () => {
      await using ns = await host('close');
      await using collector = await startCollector({ within: ns.enter });
      await using up = ns.finwait(['up'], {
        env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.httpEndpoint, OTEL_METRIC_EXPORT_INTERVAL: '1000' },
      });
      await up.output(/probe +127/);
      const [point] = await collector.metrics(
        ({ name, attributes, value }) =>
          name === 'system.network.connection.count' &&
          attributes['network.connection.state'] === 'listen' &&
          value >= 2,
        { timeoutMs: 180_000 },
      );
      assert.is(point?.unit, '{connection}');
      const [duration] = await collector.metrics(({ name }) => name === 'tcp.handshake.duration');
      assert.equal([duration?.type, duration?.unit], ['histogram', 's']);
    },
    options,
  );

  test(
    'one that is dead at the start and dies later is told of each time, and misses no probe',
    async () => {
      await using ns = await host('close');
      await using collector = await startCollector({ within: ns.enter, started: false });
      await using up = ns.finwait(['up', '--no-listeners', '--interval', '1s', '127.0.0.1:8080'], {
        env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.httpEndpoint },
      });
      await up.output(/problem +COLLECTOR_UNREACHABLE/, { timeoutMs: 60_000 });
      await up.output(/probe +127\.0\.0\.1:8080.* open/);
      await collector.start();
      await up.output(/solved +COLLECTOR_UNREACHABLE/, { timeoutMs: 60_000 });
      const roots = await collector.spans(({ parentSpanId }) => parentSpanId === '', { count: 3 });

      await collector.stop();
      const seen = up.stdout.length;
      await up.output(/problem +COLLECTOR_UNREACHABLE/, { timeoutMs: 60_000, after: seen });
      await collector.start();
      await up.output(/solved +COLLECTOR_UNREACHABLE/, { timeoutMs: 60_000, after: seen });
      const { operator, nodes } = await overviewWith(
        ns,
        up,
        'more accepted traces',
        (overview) => overview.operator.telemetry.accepted >= roots.length + 3,
      );
      assert.equal([operator.telemetry.lost, nodes[0]?.reports.missing], [0, 0]);
      const { accepted } = operator.telemetry;
      const later = await collector.spans(({ parentSpanId }) => parentSpanId === '', { count: accepted });
      assert.is(new Set(later.map(({ traceId }) => traceId)).size, later.length, 'no probe is sent twice');
      await up.stop('SIGINT');
    },
    options,
  );
});
