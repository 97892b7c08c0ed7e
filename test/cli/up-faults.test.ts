import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { ROOT } from '../support/child.ts';
import { until } from '../support/until.ts';
import { childOf, childrenOf, directoryOf, gone, MAIN, makeHost, OPEN_TOLD, OPTIONS } from './up-run.ts';

spec('finwait up when something is wrong', (test) => {
  test(
    'killed outright leaves no process, and the next start removes its directory',
    async () => {
      await using net = await makeHost();
      await using first = net.up(['--web-port', '0']);
      await first.output(/^\S+Z sockets/m);
      const children = childrenOf(first);
      assert.is(children.length, 2);
      first.kill('SIGKILL');
      await first.ended;
      await gone(children);
      const left = directoryOf(first);
      assert.ok(left !== undefined && existsSync(left));
      await using second = net.up(['--web-port', '0']);
      await second.output(OPEN_TOLD);
      assert.not.ok(existsSync(left));
      assert.match(await net.run('ip', '-brief', 'link'), /finwait0/);
    },
    OPTIONS,
  );

  test(
    'started by the finwait command it ends when that is killed',
    async () => {
      await using net = await makeHost();
      const bin = join(ROOT, 'cli', 'finwait.mjs');
      const up = ['up', '--plain', '--web-port', '0', '--observe'];
      await using command = net.netns.start(process.execPath, [bin, ...up]);
      await command.output(/^\S+Z sockets/m);
      const started = (await net.processes()).filter((pid) => pid !== net.listener.pid);
      assert.is(started.length, 4);
      process.kill(command.pid, 'SIGKILL');
      await gone(started);
    },
    OPTIONS,
  );

  test(
    'an agent that dies is told and started again',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--web-port', '0']);
      await run.output(/^\S+Z agent/m);
      process.kill(childOf(run, 'agent'), 'SIGKILL');
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
      process.kill(childOf(run, 'operator'), 'SIGKILL');
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
    'says when no local port is free, and not that another program has port 0',
    async () => {
      await using net = await makeHost();
      await net.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=8080 8080');
      await using run = net.up(['--web-port', '0']);
      assert.is((await run.ended).code, 3);
      assert.match(run.stderr, 'finwait: PORT_IN_USE: no local port is free to listen on 127.0.0.1');
      assert.match(run.stderr, 'hint: finwait ports tells towards whom they are in use');
      await using alone = net.netns.finwait([
        'agent',
        '--operator-url',
        'https://127.0.0.1:1',
        '--token-file',
        '/dev/null',
        '--mode',
        'observe',
        '--http-listen',
        '127.0.0.1:0',
      ]);
      assert.is((await alone.ended).code, 3);
      assert.match(alone.stderr, 'no local port is free to listen on 127.0.0.1');
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
    'ends in order and says why when its private directory is taken away',
    async () => {
      await using net = await makeHost();
      await using run = net.up(['--web-port', '0']);
      await run.output(/^\S+Z agent/m);
      rmSync(directoryOf(run) ?? '', { recursive: true });
      assert.is((await run.ended).code, 3);
      assert.match(
        run.stderr,
        /^finwait: RUN_DIR_UNUSABLE: .* was removed [^\n]*\n {2}hint: start finwait up again/,
      );
      assert.equal(await net.processes(), [net.listener.pid]);
    },
    OPTIONS,
  );

  test(
    'where /run has no room it says so with a hint for root, and leaves nothing there',
    async () => {
      await using net = await makeHost();
      const up = `"${process.execPath}" "${MAIN}" up --once --web-port 0`;
      // Room for the base and the run's directory, not for what is to be in it.
      const small = 'mount -t tmpfs -o nr_inodes=3 none /run';
      const script = `${small}; ${up} 2>&1; echo "ended with $?"; find /run`;
      const said = await net.run('unshare', '--mount', 'bash', '-c', script);
      assert.match(
        said,
        /^finwait: RUN_DIR_UNUSABLE: .*\n {2}cause: ENOSPC.*\n {2}hint: make it possible to write/,
      );
      assert.not.match(said, 'XDG_RUNTIME_DIR');
      assert.match(said, /\nended with 3\n\/run\n$/);
    },
    OPTIONS,
  );

  test(
    'with too few open files it says so and how to allow more',
    async () => {
      await using net = await makeHost();
      const up = `ulimit -n 40; "${process.execPath}" "${MAIN}" up --once --web-port 0; echo "ended with $?"`;
      const said = await net.run('bash', '-c', `exec 2>&1; ${up}`);
      assert.match(
        said,
        /^finwait: RESOURCES_EXHAUSTED: .* 40 files .*\n {2}hint: .*ulimit -n.*\nended with 3\n$/,
      );
    },
    OPTIONS,
  );

  for (const json of [[], ['--json']]) {
    test(
      `with --once ${json} that has nothing to report it is no success`,
      async () => {
        await using net = await makeHost();
        await using run = net.up([
          '--once',
          '--web-port',
          '0',
          '--connect-timeout',
          '10ms',
          '--close-timeout',
          '10ms',
          ...json,
        ]);
        const operator = await until('the operator', () => childrenOf(run)[0]);
        process.kill(operator, 'SIGSTOP');
        assert.is((await run.ended).code, 1);
        assert.match(run.stderr, /^finwait: OPERATOR_UNREACHABLE: no report .*\n {2}hint: .*--log-file/);
        assert.equal(await net.processes(), [net.listener.pid]);
      },
      OPTIONS,
    );
  }

  test(
    'ends in order and says why when its output has no room',
    async () => {
      await using net = await makeHost();
      const up = `"${process.execPath}" "${MAIN}" up --web-port 0 --status-interval 1s`;
      const said = await net.run('bash', '-c', `${up} 2>&1 > /dev/full; echo "ended with $?"`);
      assert.match(said, /^finwait: OUTPUT_FAILED: .*\n {2}cause: ENOSPC.*\n {2}hint: .*\nended with 3\n$/);
      assert.equal(await net.processes(), [net.listener.pid]);
      assert.not.match(await net.run('ip', '-brief', 'link'), /finwait0/);
    },
    OPTIONS,
  );

  test(
    'a probe whose output has no room takes back what it changed, and so does one that nobody reads',
    async () => {
      await using net = await makeHost();
      const probe = `"${process.execPath}" "${MAIN}" probe 127.0.0.1:8080 -c 100 -i 100ms --allow-forwarding`;
      const forwarding = () => net.run('cat', '/proc/sys/net/ipv4/ip_forward');
      assert.is(await forwarding(), '0\n');
      const full = await net.run('bash', '-c', `${probe} 2>&1 > /dev/full; echo "ended with $?"`);
      assert.match(full, /^finwait: OUTPUT_FAILED: .*[\s\S]*\nended with 3\n$/);
      assert.is(await forwarding(), '0\n');
      const unread = await net.run('bash', '-c', `${probe} | head -n 3; echo "ended with \${PIPESTATUS[0]}"`);
      assert.match(unread, /\nended with 0\n$/);
      assert.is(await forwarding(), '0\n');
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
    { ...OPTIONS, needs: [...OPTIONS.needs, 'setpriv'] },
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
