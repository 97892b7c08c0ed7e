import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Overview } from '../../operator/fleet/view.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { ROOT, runProgram } from '../support/child.ts';
import { watchLeftovers } from '../support/leftovers.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import type { TempDir } from '../support/temp-dir.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const NEEDS = ['root', 'tun', 'netns', 'nft', 'ss'] as const;
const OPTIONS = { needs: NEEDS, timeoutMs: 180_000 };
const WEB = 'http://127.0.0.1:7460';
const AGENT = 'http://127.0.0.1:7463';

/** Agent and operator as somebody starts them without `finwait up`, on their default ports. */
interface Place extends AsyncDisposable {
  readonly ns: Netns;
  readonly dir: TempDir;
  operator(...args: string[]): Child;
  agent(...args: string[]): Child;
  get(url: string): Promise<{ readonly status: number; readonly body: string }>;
  overview(): Promise<Overview | undefined>;
}

async function makePlace(): Promise<Place> {
  await using made = new AsyncDisposableStack();
  const dir = made.use(await makeTempDir('by-hand'));
  const ns = made.use(await makeNetns('hand'));
  const server = made.use(
    ns.start(process.execPath, [join(ROOT, 'test/support/tcp-server.ts'), 'close', '127.0.0.1:8080']),
  );
  await server.output(/listening/);
  writeFileSync(join(dir.path, 'token'), 'a-token-of-the-tests-that-is-long-enough\n', { mode: 0o600 });
  writeFileSync(join(dir.path, 'wrong'), 'another-token-that-nobody-has-given-out\n', { mode: 0o600 });
  const token = join(dir.path, 'token');
  const kept = made.move();
  const start = (args: readonly string[]) => kept.use(ns.finwait(args));
  const get = async (url: string) => {
    const program = `fetch('${url}').then(async (r) => console.log(JSON.stringify({ status: r.status, body: await r.text() })), () => console.log('{"status":0,"body":""}'))`;
    return JSON.parse(await ns.run(process.execPath, '-e', program));
  };
  const place = {
    ns,
    dir,
    get,
    operator: (...args: string[]) =>
      start([
        'operator',
        ...['--agent-token-file', token, '--tls-dir', join(dir.path, 'tls'), '--report-interval', '1s'],
        ...args,
      ]),
    agent: (...args: string[]) =>
      start([
        'agent',
        ...['--token-file', token, '--ca-file', join(dir.path, 'tls/ca.crt')],
        ...['--state-dir', join(dir.path, 'state')],
        ...args,
      ]),
    async overview() {
      const { status, body } = await get(`${WEB}/api/v1/overview`);
      return status === 200 ? (JSON.parse(body) as Overview) : undefined;
    },
  };
  return { ...place, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** Waits for a report in the overview. */
function reported(place: Place, holds: (overview: Overview) => boolean = () => true): Promise<Overview> {
  return until(
    'a report',
    async () => {
      const overview = await place.overview();
      return overview?.nodes[0] !== undefined && holds(overview) ? overview : undefined;
    },
    90_000,
  );
}

async function promtool(metrics: string): Promise<{ readonly code: number | null; readonly said: string }> {
  const script = 'printf %s "$METRICS" | promtool check metrics';
  const { code, stdout, stderr } = await runProgram('sh', ['-c', script], { env: { METRICS: metrics } });
  return { code, said: stdout + stderr };
}

/** Waits until the operator serves. */
async function serving(place: Place): Promise<void> {
  await until('the operator', async () => {
    const { status } = await place.get(`${WEB}/readyz`);
    return status === 200 ? true : undefined;
  });
}

/** Waits until a program is healthy: on a busy machine the agent's first look at all processes may take long. */
async function healthy(place: Place, base: string): Promise<void> {
  await until('health', async () => ((await place.get(`${base}/healthz`)).status === 200 ? true : undefined));
}

spec('agent and operator by hand', (test) => {
  test(
    'the agent reports and probes, both are healthy, and promtool has nothing to say of their metrics',
    async () => {
      await using place = await makePlace();
      const operator = place.operator('--target', '127.0.0.1:8080', '--target-interval', '1s');
      await serving(place);
      const agent = place.agent('--footprint');
      await reported(place, ({ nodes: [node] }) => (node?.probes.length ?? 0) > 0);
      for (const base of [WEB, AGENT]) {
        await healthy(place, base);
        const ready = await place.get(`${base}/readyz`);
        assert.is(ready.status, 200, ready.body);
        const metrics = await place.get(`${base}/metrics`);
        assert.is(metrics.status, 200);
        assert.match(metrics.body, /^finwait_/m);
        const { code, said } = await promtool(metrics.body);
        assert.is(code, 0, said);
        assert.is(said, '', 'promtool has remarks');
      }
      assert.is((await agent.stop('SIGTERM')).code, 0);
      assert.is((await operator.stop('SIGTERM')).code, 0);
    },
    { ...OPTIONS, needs: [...NEEDS, 'promtool'] },
  );

  test(
    'an agent that starts first waits for its operator and then delivers',
    async () => {
      await using place = await makePlace();
      // The CA must be there for the agent to trust: a first run of the operator makes it.
      const first = place.operator();
      await serving(place);
      await first.stop('SIGTERM');
      const agent = place.agent();
      await agent.output(/OPERATOR_UNREACHABLE/, { stream: 'stderr', timeoutMs: 90_000 });
      place.operator();
      const { nodes } = await reported(place);
      assert.is(nodes[0]?.reports.missing, 0);
    },
    OPTIONS,
  );

  test(
    'an agent with the wrong token is told, is seen by nobody, and goes on',
    async () => {
      await using place = await makePlace();
      place.operator();
      await serving(place);
      const wrong = place.ns.finwait([
        'agent',
        ...['--token-file', join(place.dir.path, 'wrong'), '--ca-file', join(place.dir.path, 'tls/ca.crt')],
        ...['--state-dir', join(place.dir.path, 'state')],
      ]);
      await wrong.output(/OPERATOR_REFUSED|UNAUTHENTICATED/, { stream: 'stderr', timeoutMs: 90_000 });
      assert.equal((await place.overview())?.nodes, []);
      await healthy(place, AGENT);
      await wrong.stop('SIGTERM');
    },
    OPTIONS,
  );

  test(
    'a port that is taken is told with its number, exit code 3',
    async () => {
      await using place = await makePlace();
      const operator = place.operator('--web-listen', '127.0.0.1:8080');
      assert.is((await operator.ended).code, 3);
      assert.match(operator.stderr, /PORT_IN_USE: .*8080/);
      assert.match(operator.stderr, /hint: /);
      const agent = place.ns.finwait([
        ...['agent', '--token-file', join(place.dir.path, 'token'), '--http-listen', '127.0.0.1:8080'],
        ...['--mode', 'observe'],
      ]);
      assert.is((await agent.ended).code, 3);
      assert.match(agent.stderr, /PORT_IN_USE: .*8080/);
    },
    OPTIONS,
  );

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    test(
      `${signal} ends both in order, and nothing is left`,
      async () => {
        await using place = await makePlace();
        const watch = watchLeftovers(place.ns.enter);
        const operator = place.operator();
        await serving(place);
        const agent = place.agent('--footprint', '--allow-forwarding');
        await reported(place);
        assert.is((await agent.stop(signal)).code, 0, agent.stderr);
        assert.is((await operator.stop(signal)).code, 0, operator.stderr);
        await watch.assertNothingLeft();
      },
      OPTIONS,
    );
  }
});
