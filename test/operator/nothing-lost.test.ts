import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Overview } from '../../operator/fleet/view.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { startCollector } from '../support/collector.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const WEB = 'http://127.0.0.1:7460';

spec('agent, operator and Collector together', (test) => {
  test(
    'a probe taken while the Collector is away survives the death of the operator',
    async () => {
      await using dir = await makeTempDir('nothing-lost');
      await using ns = await makeNetns('lost');
      await using collector = await startCollector({ within: ns.enter, started: false });
      const token = join(dir.path, 'token');
      writeFileSync(token, 'a-token-of-a-test-0123456789', { mode: 0o600 });
      const operator = (): Child =>
        ns.finwait(
          [
            ...['operator', '--agent-token-file', token, '--tls-dir', join(dir.path, 'tls')],
            ...['--target', '127.0.0.1:7460', '--target-interval', '1s', '--report-interval', '1s'],
          ],
          { env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.httpEndpoint } },
        );

      await using first = operator();
      await first.output(/ready/, { stream: 'stderr' });
      await using _agent = ns.finwait([
        ...['agent', '--token-file', token, '--ca-file', join(dir.path, 'tls/ca.crt')],
        ...['--state-dir', join(dir.path, 'state'), '--report-interval', '1s'],
      ]);
      const id = await until('a probe that waits for the Collector', async () => {
        const overview = await overviewIn(ns);
        const probe = overview?.nodes[0]?.probes[0];
        const waiting = overview?.operator.telemetry.waiting ?? 0;
        return probe !== undefined && waiting > 0 ? probe.id : undefined;
      });
      await first.stop('SIGKILL');

      await collector.start();
      await using second = operator();
      await second.output(/ready/, { stream: 'stderr' });
      const spans = await collector.spans((span) => span.traceId === id, { count: 3, timeoutMs: 60_000 });
      const names = new Set(spans.map(({ name }) => name));
      for (const name of ['tcp probe', 'tcp handshake', 'tcp close']) assert.ok(names.has(name), name);
      assert.is(spans.find(({ name }) => name === 'tcp probe')?.attributes['finwait.verdict'], 'open');
    },
    { needs: ['root', 'tun', 'netns', 'collector'], timeoutMs: 300_000 },
  );
});

async function overviewIn(ns: Netns): Promise<Overview | undefined> {
  const program = `fetch('${WEB}/api/v1/overview').then((r) => r.text()).then(console.log)`;
  const { code, stdout } = await ns.try(process.execPath, '-e', program);
  return code === 0 ? (JSON.parse(stdout) as Overview) : undefined;
}
