import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { ProbeResult } from '../../daemon/contract.ts';
import { spec } from '../harness.ts';
import type { ChildOptions, Ran } from '../support/child.ts';
import { ROOT } from '../support/child.ts';
import { startCollector } from '../support/collector.ts';
import { watchLeftovers } from '../support/leftovers.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';

const NEEDS = ['root', 'tun', 'netns', 'netfilter-conntrack', 'conntrack-tool', 'nft', 'ss'] as const;
const OPTIONS = { needs: NEEDS, timeoutMs: 180_000 };
const CHAIN = 'nft add table inet t; nft add chain inet t in "{ type filter hook input priority 0; }";';

/** A namespace in which the kernel listens: 127.0.0.1 and ::1, port 8080. */
async function hostWith(behaviour: 'close' | 'hold' | 'echo'): Promise<Netns> {
  const ns = await makeNetns('probe');
  const server = ns.start(process.execPath, [
    join(ROOT, 'test/support/tcp-server.ts'),
    behaviour,
    '127.0.0.1:8080',
    '[::1]:8080',
  ]);
  await server.output(/listening/);
  return ns;
}

async function probe(ns: Netns, args: readonly string[], env: ChildOptions['env'] = {}): Promise<Ran> {
  const child = ns.finwait(['probe', ...args], { env });
  return { ...(await child.ended), stdout: child.stdout, stderr: child.stderr };
}

function resultOf({ stdout, stderr }: Ran): ProbeResult {
  assert.is.not(stdout, '', stderr);
  return JSON.parse(stdout.split('\n')[0] ?? '') as ProbeResult;
}

spec('finwait probe', (test) => {
  for (const [family, target] of [
    ['IPv4', '127.0.0.1:8080'],
    ['IPv6', '[::1]:8080'],
  ] as const) {
    test(
      `prints the ladder of a handshake and close with a kernel listener over ${family}`,
      async () => {
        await using ns = await hostWith('close');
        const watch = watchLeftovers(ns.enter);
        const { code, stdout, stderr } = await probe(ns, [target], watch.env);
        assert.is(code, 0, stdout + stderr);
        assert.match(stdout, /→ +SYN /);
        assert.match(stdout, /← +SYN ACK /);
        assert.match(stdout, /→ +FIN ACK /);
        assert.match(stdout, /← +FIN ACK /);
        assert.match(stdout, /^ *open: accepted the connection in /m);
        await watch.assertNothingLeft();
      },
      OPTIONS,
    );
  }

  test(
    'keeps the compiled code of its thread, too, which otherwise strips types by itself and takes 20 MiB more',
    async () => {
      await using ns = await hostWith('close');
      const env = { NODE_COMPILE_CACHE: undefined, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
      const { stdout, stderr } = await probe(ns, ['127.0.0.1:8080'], env);
      assert.match(stdout + stderr, /compile cache.* cache for .*daemon\/threads\/engine-worker\.ts/);
    },
    OPTIONS,
  );

  test(
    'sends a request and times the first byte of the answer',
    async () => {
      await using ns = await hostWith('echo');
      const ran = await probe(ns, ['127.0.0.1:8080', '--json', '--send', 'hello']);
      const { verdict, steps, phases } = resultOf(ran);
      assert.is(verdict, 'open');
      assert.ok(Number(steps.firstByteUs) >= Number(steps.requestSentUs));
      assert.equal(
        phases.map(({ name, ok }) => `${name} ${ok}`),
        ['handshake true', 'exchange true', 'close true'],
      );
    },
    OPTIONS,
  );

  const VERDICTS: Readonly<
    Record<string, readonly [behaviour: 'close' | 'hold', setUp: string, args: readonly string[]]>
  > = {
    refused: ['close', '', ['127.0.0.1:81']],
    filtered: [
      'close',
      `${CHAIN} nft add rule inet t in tcp dport 8080 drop`,
      ['127.0.0.1:8080', '--connect-timeout', '500ms'],
    ],
    rejected: [
      'close',
      `${CHAIN} nft add rule inet t in tcp dport 8080 reject with icmp port-unreachable`,
      ['127.0.0.1:8080', '--connect-timeout', '2s'],
    ],
    'half-closed': ['hold', '', ['127.0.0.1:8080', '--close-timeout', '500ms']],
  };
  for (const [verdict, [behaviour, setUp, args]] of Object.entries(VERDICTS)) {
    test(
      `says ${verdict}, with exit code 1, when the kernel makes it so`,
      async () => {
        await using ns = await hostWith(behaviour);
        if (setUp !== '') await ns.run('sh', '-ec', setUp);
        const ran = await probe(ns, [...args, '--json']);
        assert.is(ran.code, 1, ran.stdout + ran.stderr);
        assert.is(resultOf(ran).verdict, verdict);
      },
      OPTIONS,
    );
  }

  test(
    'conntrack and ss see the same handshake, from the same port',
    async () => {
      await using ns = await hostWith('hold');
      // The kernel tracks connections where a rule asks for their state.
      await ns.run('sh', '-ec', `${CHAIN} nft add rule inet t in ct state new accept`);
      await using child = ns.finwait(['probe', '127.0.0.1:8080', '--json', '--close-timeout', '120s']);
      // Half-closed: the flow is there to be looked at while the probe waits for the FIN that does not come.
      const flow = await until('the flow in conntrack', async () => {
        const { stdout } = await ns.try('conntrack', '-L', '-p', 'tcp', '--dport', '8080');
        return /CLOSE_WAIT|FIN_WAIT|ESTABLISHED/.test(stdout) ? stdout : undefined;
      });
      const sockets = await until('CLOSE-WAIT in ss', async () => {
        const { stdout } = await ns.try('ss', '-Htn', 'state', 'close-wait');
        return stdout.includes('127.0.0.1:8080') ? stdout : undefined;
      });
      const flows = await ns.run(process.execPath, join(ROOT, 'cli/main.ts'), 'conntrack', '--json');
      const exit = await child.stop('SIGINT');
      const { local } = resultOf({ ...exit, stdout: child.stdout, stderr: child.stderr });
      assert.match(flow, `src=${local.address} dst=127.0.0.1 sport=${local.port} dport=8080`);
      assert.match(sockets, `${local.address}:${local.port}`);
      assert.match(flows, String(local.port));
    },
    OPTIONS,
  );

  for (const [protocol, endpoint] of [
    ['http/protobuf', 'httpEndpoint'],
    ['grpc', 'grpcEndpoint'],
  ] as const) {
    test(
      `a probe is one trace in a real Collector over ${protocol}: root, phases, segments`,
      async () => {
        await using ns = await hostWith('echo');
        await using collector = await startCollector({ within: ns.enter });
        const ran = await probe(ns, ['127.0.0.1:8080', '--json', '--send', 'hello'], {
          OTEL_EXPORTER_OTLP_ENDPOINT: collector[endpoint],
          OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
        });
        assert.is(ran.code, 0, ran.stdout + ran.stderr);
        const result = resultOf(ran);
        const spans = await collector.spans(({ traceId }) => traceId === result.id, { count: 4 });
        const root = spans.find(({ parentSpanId }) => parentSpanId === '');
        assert.ok(root);
        const children = spans
          .filter((span) => span !== root)
          .toSorted((a, b) => Number(a.startNs - b.startNs));
        assert.equal(
          children.map(({ name }) => name),
          ['tcp handshake', 'tcp exchange', 'tcp close'],
        );
        assert.ok(children.every(({ parentSpanId }) => parentSpanId === root.spanId));

        // The times are those of the packets, not of the export.
        assert.is(root.startNs, BigInt(result.startUs) * 1000n);
        for (const [index, phase] of result.phases.entries()) {
          assert.is(children[index]?.startNs, BigInt(result.startUs + phase.fromUs) * 1000n, phase.name);
          assert.is(children[index]?.endNs, BigInt(result.startUs + phase.toUs) * 1000n, phase.name);
        }
        const events = spans.flatMap((span) => span.events).filter(({ name }) => name === 'tcp.segment');
        assert.is(events.length, result.segments.length);
        const [syn] = events.toSorted((a, b) => Number(a.timeNs - b.timeNs));
        assert.is(syn?.timeNs, root.startNs);
        assert.is(root.attributes['finwait.verdict'], 'open');
        assert.is(root.attributes['network.peer.port'], 8080);
      },
      { ...OPTIONS, needs: [...NEEDS, 'collector'] },
    );
  }

  test(
    'a Collector that is not there spoils neither the probe nor its exit code',
    async () => {
      await using ns = await hostWith('close');
      const ran = await probe(ns, ['127.0.0.1:8080', '--json'], {
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      });
      assert.is(ran.code, 0, ran.stderr);
      assert.is(resultOf(ran).verdict, 'open');
      assert.match(ran.stderr, /COLLECTOR_UNREACHABLE/);
    },
    OPTIONS,
  );

  test(
    'without an endpoint nothing is sent and nothing complains',
    async () => {
      await using ns = await hostWith('close');
      const ran = await probe(ns, ['127.0.0.1:8080', '--json']);
      assert.equal([ran.code, ran.stderr], [0, '']);
    },
    OPTIONS,
  );
});
