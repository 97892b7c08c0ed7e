import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { NodeView, Overview } from '../../operator/fleet/view.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { startFinwait, startProgram } from '../support/child.ts';
import { freePorts } from '../support/ports.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const AGENT = join(import.meta.dirname, 'agent-child.ts');
const TOKEN = 'a-token-of-the-tests-that-is-long-enough';

interface Scene extends AsyncDisposable {
  operator(): Child;
  agent(env?: Record<string, string>): Child;
  /** Files in the agent's spool. */
  spooled(): Promise<string[]>;
  /** The node as the operator shows it, once it holds what is wanted. */
  node(what: string, holds: (node: NodeView) => boolean): Promise<NodeView>;
}

/** The real operator, and agents whose workers need nothing of the machine. */
async function makeScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await makeTempDir('agent-operator')).path;
  const tokenFile = join(dir, 'token');
  await writeFile(tokenFile, TOKEN);
  const [ingest, web] = await freePorts(2);
  const kept = stack.move();
  const overview = async () => {
    const response = await fetch(`http://127.0.0.1:${web}/api/v1/overview`).catch(() => undefined);
    return response?.ok ? ((await response.json()) as Overview) : undefined;
  };
  return {
    operator: () =>
      kept.use(
        startFinwait([
          ...['operator', '--ingest-listen', `127.0.0.1:${ingest}`, '--web-listen', `127.0.0.1:${web}`],
          ...['--tls-dir', join(dir, 'tls'), '--agent-token-file', tokenFile, '--report-interval', '200ms'],
        ]),
      ),
    agent: (env = {}) =>
      kept.use(
        startProgram(
          process.execPath,
          [
            ...[AGENT, '--operator-url', `https://127.0.0.1:${ingest}`, '--token-file', tokenFile],
            ...['--ca-file', join(dir, 'tls/ca.crt'), '--state-dir', join(dir, 'state')],
            ...['--http-listen', '127.0.0.1:0', '--report-interval', '200ms'],
          ],
          { env },
        ),
      ),
    node: (what, holds) => until(what, async () => (await overview())?.nodes.find(holds)),
    spooled: () => readdir(join(dir, 'state/spool')),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function ready(operator: Child): Promise<unknown> {
  return operator.output(/ready/, { stream: 'stderr' });
}

spec('agent and the real operator', (test) => {
  test(
    'the operator takes every report, once each, and shows what was in it',
    async () => {
      await using scene = await makeScene();
      await ready(scene.operator());
      scene.agent({ FAKE_RESULTS: '5' });
      const node = await scene.node('five reports', ({ reports }) => reports.applied >= 5);
      assert.equal([node.reports.duplicates, node.reports.missing, node.reports.boots], [0, 0, 1]);
      assert.equal(node.conditions, []);
      assert.is(node.probes[0]?.target.name, 'db:5432');
    },
    { timeoutMs: 180_000 },
  );

  test(
    'an operator that is killed and started again is found, and no number is missing',
    async () => {
      await using scene = await makeScene();
      const first = scene.operator();
      await ready(first);
      const agent = scene.agent();
      await scene.node('a report', () => true);
      await first.stop('SIGKILL');
      await agent.output(/warn: reports do not reach .*OPERATOR_UNREACHABLE/, { stream: 'stderr' });
      scene.operator();
      const node = await scene.node('reports to the second run', ({ reports }) => reports.applied >= 2);
      assert.is(node.reports.missing, 0);
      await agent.output(/reports reach the operator again/, { stream: 'stderr' });
      assert.is((await agent.stop()).code, 0);
    },
    { timeoutMs: 180_000 },
  );

  test(
    'what an agent had found when it was killed reaches the operator with the next agent',
    async () => {
      await using scene = await makeScene();
      const first = scene.operator();
      await ready(first);
      await first.stop();
      const killed = scene.agent({ FAKE_RESULTS: '7' });
      await killed.output(/OPERATOR_UNREACHABLE/, { stream: 'stderr' });
      await killed.stop('SIGKILL');
      assert.is((await scene.spooled()).filter((name) => name.endsWith('-7.json')).length, 1);
      scene.operator();
      scene.agent();
      const node = await scene.node('both boots', ({ reports }) => reports.boots === 2);
      assert.equal([node.reports.missing, node.reports.duplicates], [0, 0]);
      await until('an empty spool', async () => ((await scene.spooled()).length === 0 ? true : undefined));
    },
    { timeoutMs: 180_000 },
  );
});
