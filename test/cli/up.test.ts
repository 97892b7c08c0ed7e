import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { childrenOf, directoryOf, gone, MAIN, makeHost, OPEN_TOLD, OPTIONS } from './up-run.ts';

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
      assert.match(report, /^ {2}127\.0\.0\.1:8080 +\S+\/\d+ +open\?? +[\d.]+ (us|ms)/m);
      assert.match(report, /^ {2}127\.0\.0\.1:9 +- +refused\b/m);
      assert.match(report, /^ {2}\[::1\]:8080 +\S+\/\d+ +open\b/m);
      // Agent and operator listen, too, but are no news.
      const probed = [...report.matchAll(/^ {2}(\S+:\d+) .* (?:open|refused)\?? /gm)].map(([, name]) => name);
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
    'says that other network namespaces are not read, and reads them with -A',
    async () => {
      await using net = await makeHost();
      await using other = await makeHost();
      const { ino } = statSync(`/proc/${other.listener.pid}/ns/net`);
      const once = ['--once', '--web-port', '0', '--no-listeners'];
      await using alone = net.up([...once]);
      await alone.ended;
      assert.match(alone.stdout, /network namespaces? (is|are) not read: finwait up -A does/);
      await using all = net.up([...once, '--json', '-A']);
      assert.is((await all.ended).code, 0);
      const [node] = JSON.parse(all.stdout).nodes;
      assert.is(node.agent.mode, 'inspect');
      assert.ok(node.sockets.namespaces.length + node.sockets.namespacesFolded > 1);
      const told = node.sockets.namespaces.map(({ inode }: { inode: number }) => inode);
      assert.ok(told.includes(ino) || node.sockets.namespacesFolded > 0);
      await using both = net.up(['-A', '--observe']);
      assert.is((await both.ended).code, 2);
    },
    OPTIONS,
  );

  test(
    'leaves no flow of its own in conntrack for longer than a close takes, where no other rule uses it',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--once', '--web-port', '0', '--refresh', '500ms']);
      assert.is((await run.ended).code, 0);
      assert.is(await net.run('nft', 'list', 'tables'), '');
      const left = (await net.run('conntrack', '-L', '-p', 'tcp')).trim().split('\n');
      assert.ok(left.length > 2, 'what was seen of it');
      const long = left.filter((line) => Number(/^tcp +6 (\d+)/.exec(line)?.[1]) > 120);
      assert.equal(long, []);
    },
    { ...OPTIONS, needs: [...OPTIONS.needs, 'nft', 'netfilter-conntrack', 'conntrack-tool'] },
  );

  test(
    'in a pipe tells everything, then ends on Ctrl-C and leaves nothing',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--web-port', '0']);
      await run.output(/^\S+Z sockets {4}IPv4 .*LISTEN/m);
      await run.output(OPEN_TOLD);
      assert.match(await net.run('ip', '-brief', 'link'), /finwait0/);
      const children = childrenOf(run);
      assert.is(children.length, 2);
      run.kill('SIGINT');
      assert.equal(await run.ended, { code: 0, signal: null });
      await gone(children);
      assert.is(directoryOf(run), undefined);
      assert.not.match(await net.run('ip', '-brief', 'link'), /finwait/);
      assert.not.match(await net.run('ip', 'rule'), /finwait/);
      assert.is(await net.run('nft', 'list', 'tables'), '');
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
