import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { ROOT } from '../support/child.ts';
import { isAlive, listProcesses } from '../support/processes.ts';
import { makeHost } from './up-run.ts';

const RUN = '/run/finwait';
const MAIN = join(ROOT, 'cli', 'main.ts');
const NEEDS = ['root', 'netns', 'tun'] as const;
const OPTIONS = { needs: NEEDS, timeoutMs: 60_000 };

/** Directory of a run in /run/finwait. */
function directoryOf(run: Child): string | undefined {
  const name = existsSync(RUN)
    ? readdirSync(RUN).find((each) => each.startsWith(`up-${run.pid}-`))
    : undefined;
  return name === undefined ? undefined : join(RUN, name);
}

/** Agent and operator of a run: they name its directory on their command line. */
function childrenOf(run: Child): number[] {
  return listProcesses()
    .filter(({ command }) => command.includes(`/up-${run.pid}-`))
    .map(({ pid }) => pid);
}

async function gone(pids: readonly number[], signal: AbortSignal): Promise<void> {
  while (pids.some(isAlive)) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

spec('finwait up', (test) => {
  test(
    '--once reports sockets and the probes of what listens, and ends with 0',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--once', '--web-port', '0', '127.0.0.1:8080', '127.0.0.1:9']);
      const { code } = await run.ended;
      assert.is(run.stderr, '');
      assert.is(code, 0);
      const report = run.stdout;
      assert.match(report, /^IPv4 +\d+/m);
      assert.match(report, /^ {2}127\.0\.0\.1:8080 +\S+\/\d+ +open +[\d.]+ (us|ms)/m);
      assert.match(report, /^ {2}127\.0\.0\.1:9 +- +refused/m);
      assert.match(report, /^ {2}\[::1\]:8080 +\S+\/\d+ +open/m);
      // Agent and operator listen, too, but are no news.
      const probed = [...report.matchAll(/^ {2}(\S+:\d+) .* (?:open|refused) /gm)].map(([, name]) => name);
      assert.equal(probed.sort(), ['127.0.0.1:8080', '127.0.0.1:9', '[::1]:8080']);
      assert.is(directoryOf(run), undefined);
    },
    OPTIONS,
  );

  test(
    '--once --json gives the overview as data',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--once', '--json', '--web-port', '0', '--no-listeners', '127.0.0.1:8080']);
      assert.is((await run.ended).code, 0);
      const overview = JSON.parse(run.stdout);
      assert.is(overview.nodes[0].probes[0].verdict, 'open');
      assert.is(overview.nodes[0].probes[0].target.name, '127.0.0.1:8080');
      assert.equal(overview.up, { conditions: [] });
    },
    OPTIONS,
  );

  test(
    'in a pipe tells everything within seconds, then ends on Ctrl-C and leaves nothing',
    async ({ signal }) => {
      await using net = await makeHost();
      const startedMs = performance.now();
      await using run = net.up(['--web-port', '0']);
      await run.output(/^\S+Z sockets {4}IPv4 .*LISTEN/m);
      const firstMs = performance.now() - startedMs;
      await run.output(/^\S+Z probe {6}127\.0\.0\.1:8080 .*: open: /m);
      assert.match(await net.run('ip', '-brief', 'link'), /finwait0/);
      const children = childrenOf(run);
      assert.is(children.length, 2);
      assert.ok(firstMs < 10_000, `${firstMs} ms`);
      const endingMs = performance.now();
      run.kill('SIGINT');
      assert.equal(await run.ended, { code: 0, signal: null });
      assert.ok(performance.now() - endingMs < 6000);
      await gone(children, signal);
      assert.is(directoryOf(run), undefined);
      assert.not.match(await net.run('ip', '-brief', 'link'), /finwait/);
      assert.not.match(await net.run('ip', 'rule'), /finwait/);
      assert.is(await net.run('nft', 'list', 'tables'), '');
    },
    OPTIONS,
  );

  test(
    'killed outright leaves no process, and the next start removes its directory',
    async ({ signal }) => {
      await using net = await makeHost();
      await using first = net.up(['--web-port', '0']);
      await first.output(/^\S+Z sockets/m);
      const children = childrenOf(first);
      assert.is(children.length, 2);
      first.kill('SIGKILL');
      await first.ended;
      await gone(children, signal);
      const left = directoryOf(first);
      assert.ok(left !== undefined && existsSync(left));
      await using second = net.up(['--web-port', '0']);
      await second.output(/^\S+Z probe {6}127\.0\.0\.1:8080 .*: open: /m);
      assert.not.ok(existsSync(left));
      assert.match(await net.run('ip', '-brief', 'link'), /finwait0/);
    },
    OPTIONS,
  );

  test(
    'started by the finwait command it ends when that is killed',
    async ({ signal }) => {
      await using net = await makeHost();
      const bin = join(ROOT, 'cli', 'finwait.mjs');
      const up = ['up', '--plain', '--web-port', '0', '--observe'];
      await using command = net.netns.start(process.execPath, [bin, ...up]);
      await command.output(/^\S+Z sockets/m);
      const started = (await net.processes()).filter((pid) => pid !== net.listener.pid);
      assert.is(started.length, 4);
      process.kill(command.pid, 'SIGKILL');
      await gone(started, signal);
    },
    OPTIONS,
  );

  test(
    'an agent that dies is told and started again',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--web-port', '0']);
      await run.output(/^\S+Z agent/m);
      const agent = listProcesses().find(
        ({ command }) => command.includes(`main.ts agent `) && command.includes(`/up-${run.pid}-`),
      );
      process.kill(agent?.pid ?? 0, 'SIGKILL');
      await run.output(/problem {4}CHILD_DIED: the agent was ended by SIGKILL/);
      await run.output(/agent {6}.*\n[\s\S]*agent {6}/);
      await run.output(/solved {5}CHILD_DIED/);
    },
    OPTIONS,
  );

  test(
    'an operator that dies comes back on the same port and the agent finds it',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--web-port', '7460', '--status-interval', '1s']);
      await run.output(/^\S+Z sockets/m);
      const operator = listProcesses().find(
        ({ command }) => command.includes(`main.ts operator `) && command.includes(`/up-${run.pid}-`),
      );
      process.kill(operator?.pid ?? 0, 'SIGKILL');
      await run.output(/problem {4}CHILD_DIED: the operator was ended by SIGKILL/);
      await run.output(/CHILD_DIED[\s\S]*status/);
      assert.match(run.stdout, /page {7}http:\/\/127\.0\.0\.1:7460\//);
      assert.is(run.stdout.split('page       ').length - 1, 1);
    },
    OPTIONS,
  );

  test(
    'a page port that is taken is told with who holds it',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--web-port', '8080']);
      assert.is((await run.ended).code, 3);
      assert.match(
        run.stderr,
        new RegExp(
          `^finwait: PORT_IN_USE: port 8080 of 127\\.0\\.0\\.1 is held by \\S+/${net.listener.pid} `,
        ),
      );
      assert.match(run.stderr, /hint: choose another port with --web-port/);
    },
    OPTIONS,
  );

  test(
    'a second one finds the first',
    async () => {
      await using net = await makeHost();
      await using first = net.up(['--observe']);
      await first.output(/^\S+Z page/m);
      await using second = net.up(['--observe']);
      assert.is((await second.ended).code, 3);
      assert.match(second.stderr, /hint: finwait runs already: its page is http:\/\/127\.0\.0\.1:7460\//);
    },
    OPTIONS,
  );

  test(
    'ends when nobody reads its lines any more',
    async () => {
      await using net = await makeHost();
      const up = `"${process.execPath}" "${MAIN}" up --web-port 0 --observe --status-interval 1s`;
      const shown = await net.run('bash', '-c', `${up} | head -n 4; echo "ended with \${PIPESTATUS[0]}"`);
      assert.match(shown, /ended with 0\n$/);
      assert.is(shown.split('\n').length, 6);
      assert.equal(await net.processes(), [net.listener.pid]);
    },
    OPTIONS,
  );

  test(
    'without root shows what can be seen and says what is missing',
    async () => {
      await using net = await makeHost();
      const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps', '-all'];
      const up = [process.execPath, MAIN, 'up', '--once', '--web-port', '0', '127.0.0.1:8080'];
      await using run = net.netns.start('setpriv', [...nobody, ...up]);
      assert.is((await run.ended).code, 0);
      assert.match(run.stdout, /^IPv4 +\d+/m);
      assert.match(run.stdout, /TUN_DENIED: /);
      assert.match(run.stdout, /hint: /);
    },
    { ...OPTIONS, needs: [...NEEDS, 'setpriv'] },
  );

  test(
    'a name that does not resolve is told and the rest goes on',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--once', '--web-port', '0', 'no-such-name.invalid:80', '127.0.0.1:8080']);
      assert.is((await run.ended).code, 0);
      assert.match(run.stdout, /NAME_UNRESOLVED: .*no-such-name\.invalid/);
      assert.match(run.stdout, /127\.0\.0\.1:8080 .* open/);
    },
    OPTIONS,
  );

  test(
    'targets that are none are all told, with exit code 2',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['localhost', '::1:80', '127.0.0.1:99999']);
      assert.is((await run.ended).code, 2);
      assert.match(
        run.stderr,
        /TARGET_INVALID: "localhost" is not HOST:PORT; "::1:80" .*brackets.*; "127\.0\.0\.1:99999" /,
      );
    },
    OPTIONS,
  );
});

spec('finwait up on a terminal', (test) => {
  test(
    'shows a screen, gives the terminal back on q, and leaves the last frame',
    async () => {
      await using net = await makeHost();
      const command = `stty rows 40 cols 100; LANG=C.UTF-8 exec ${process.execPath} ${MAIN} up --observe --web-port 0`;
      const terminal = spawn(
        'nsenter',
        [...net.netns.enter.slice(1), 'script', '-qec', command, '/dev/null'],
        {
          stdio: ['pipe', 'pipe', 'inherit'],
          env: { PATH: process.env.PATH, TERM: 'xterm-256color' },
        },
      );
      let shown = '';
      const exited = once(terminal, 'close');
      for await (const text of terminal.stdout.setEncoding('utf8')) {
        const before = shown;
        shown += text;
        if (/IPv6 +\d/.test(shown) && !/IPv6 +\d/.test(before)) terminal.stdin.write('q');
      }
      const [code] = await exited;
      terminal.stdin.destroy();
      assert.is(code, 0);
      assert.ok(shown.startsWith('\x1b[?1049h\x1b[?25l'), JSON.stringify(shown.slice(0, 40)));
      const [screen = '', rest = ''] = shown.split('\x1b[?25h\x1b[?1049l');
      assert.match(screen, /\[1mfinwait/);
      assert.match(screen, /q quits/);
      assert.match(rest, /^.\[1mfinwait [\s\S]*IPv6/);
      assert.not.match(rest, /q quits/);
    },
    OPTIONS,
  );
});
