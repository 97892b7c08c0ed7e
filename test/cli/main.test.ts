import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { VERSION } from '#base/version.ts';
import { spec } from '../harness.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { cliRun } from './cli-run.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BIN = join(ROOT, 'cli', 'finwait.mjs');
const MAIN = join(ROOT, 'cli', 'main.ts');

spec('the command line', (test) => {
  test('without a command shows what there is, and is a usage error', async () => {
    const { code, stdout, stderr } = await cliRun([]);
    assert.is(code, 2);
    assert.is(stdout, '');
    assert.match(stderr, /Usage: finwait COMMAND/);
    assert.match(stderr, /^ {2}up +watch this machine/m);
  });

  test('--help and help say the same, on standard output', async () => {
    const outcomes = await Promise.all([['--help'], ['-h'], ['help']].map((args) => cliRun(args)));
    for (const { code, stdout } of outcomes) {
      assert.is(code, 0);
      assert.is(stdout, outcomes[0]?.stdout);
    }
    assert.match(outcomes[0]?.stdout ?? '', /Exit codes: 0 all is well/);
  });

  test('every command has help with its usage line first', async () => {
    const { stdout } = await cliRun(['--help']);
    const names = [...stdout.matchAll(/^ {2}(\w+) {2,}/gm)].map(([, name]) => name ?? '');
    assert.ok(names.length >= 3, names.join(' '));
    for (const name of names) {
      const own = await cliRun([name, '--help']);
      assert.is(own.code, 0, name);
      assert.match(own.stdout, new RegExp(`^Usage: finwait ${name}\\b`));
      assert.equal(await cliRun(['help', name]), own);
      for (const line of own.stdout.split('\n')) assert.not.match(line, /undefined|\[object|NaN/, name);
    }
  });

  test('--version tells version and Node', async () => {
    assert.equal(await cliRun(['--version']), {
      code: 0,
      stdout: `finwait ${VERSION} (node ${process.version})\n`,
      stderr: '',
    });
  });

  test('a pipe gets all of a long output, however slowly it is read', async () => {
    const args = ['simulate', 'congestion', '--bytes', '3000000', '--json'];
    const { stdout } = await cliRun(args);
    const piped = spawnSync('bash', ['-c', `${[process.execPath, MAIN, ...args].join(' ')} | wc -c`]);
    assert.is(Number(piped.stdout.toString()), stdout.length);
  });

  test('an unknown command is a usage error that names the nearest one', async () => {
    const { code, stderr } = await cliRun(['opreator']);
    assert.is(code, 2);
    assert.is(
      stderr,
      'finwait: USAGE: there is no command "opreator"\n  hint: did you mean finwait operator?\n',
    );
    assert.match((await cliRun(['constructor'])).stderr, /there is no command "constructor"/);
  });

  test('every unknown option of a command is told at once', async () => {
    const { code, stderr } = await cliRun(['up', '--web-prot', '1', '--nope', '--refresh', 'soon']);
    assert.is(code, 2);
    assert.match(stderr, /unknown option --web-prot \(did you mean --web-port\?\)/);
    assert.match(stderr, /unknown option --nope/);
    assert.match(stderr, /--refresh: "soon" is not a duration/);
  });

  test('programs that take options only refuse anything else', async () => {
    for (const name of ['agent', 'operator']) {
      const { code, stderr } = await cliRun([name, 'db:5432']);
      assert.is(code, 2, name);
      assert.match(stderr, /unexpected "db:5432"/);
    }
  });
});

spec('output that cannot be written', (test) => {
  const run = (args: string, into: string) =>
    spawnSync('bash', ['-c', `"${process.execPath}" "${MAIN}" ${args} ${into}`], { encoding: 'utf8' });

  test('is an error with code and hint when there is no room for it', () => {
    for (const args of ['--version', '--help', 'up --help', 'sockets -s closed', 'conntrack --json']) {
      const { status, stderr } = run(args, '> /dev/full');
      assert.is(status, 3, args);
      const expected = /^finwait: OUTPUT_FAILED: .*\n {2}cause: ENOSPC: .*\n {2}hint: see that .*\n$/;
      assert.match(stderr, expected, args);
    }
  });

  test('is no matter to a command that prints nothing there', () => {
    const { status, stderr } = run('nothing', '> /dev/full');
    assert.is(status, 2);
    assert.not.match(stderr, 'OUTPUT_FAILED');
  });

  test('is no fault when nobody reads any more', () => {
    const { status, stderr } = run('sockets -s closed', '| true; exit $PIPESTATUS');
    assert.equal([status, stderr], [0, '']);
  });
});

spec('the installed command', (test) => {
  test('runs on the Node this package pins, whichever Node started it', () => {
    const { status, stdout } = spawnSync(process.execPath, [BIN, '--version'], { encoding: 'utf8' });
    const pinned: string = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).optionalDependencies[
      `node-linux-${process.arch}`
    ];
    assert.is(status, 0);
    assert.is(stdout, `finwait ${VERSION} (node v${pinned})\n`);
  });

  test('passes exit codes through', () => {
    assert.is(spawnSync(process.execPath, [BIN, 'nothing'], { encoding: 'utf8' }).status, 2);
  });

  test('says what is missing when the pinned Node is not installed', async () => {
    await using temp = await makeTempDir('bin');
    mkdirSync(join(temp.path, 'cli'));
    cpSync(BIN, join(temp.path, 'cli', 'finwait.mjs'));
    const { status, stderr } = spawnSync(process.execPath, [join(temp.path, 'cli', 'finwait.mjs'), 'up'], {
      encoding: 'utf8',
    });
    assert.is(status, 3);
    assert.match(
      stderr,
      /^finwait: NOT_SET_UP: the Node .* is not installed\n {2}hint: run `node scripts\/setup\.mjs` in \/\S+ as the owner/,
    );
  });

  test('says which package is missing when an install was cut short', async () => {
    await using temp = await makeTempDir('bin');
    for (const folder of ['base', 'cli', 'daemon']) {
      cpSync(join(ROOT, folder), join(temp.path, folder), { recursive: true });
    }
    cpSync(join(ROOT, 'package.json'), join(temp.path, 'package.json'));
    const { status, stderr } = spawnSync(process.execPath, [join(temp.path, 'cli/main.ts'), 'sockets'], {
      encoding: 'utf8',
    });
    assert.is(status, 3);
    assert.match(stderr, /^finwait: NOT_SET_UP: koffi is not installed\n/);
    assert.match(stderr, `hint: run \`node scripts/setup.mjs\` in ${temp.path} as`);
  });

  test(
    'says that /proc is not mounted, where something is asked of this machine',
    () => {
      const run = (...args: readonly string[]) => {
        const within = ['-m', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh'];
        return spawnSync('unshare', [...within, process.execPath, MAIN, ...args], { encoding: 'utf8' });
      };
      const { status, stderr } = run('sockets', '--all-namespaces');
      assert.is(status, 3);
      assert.match(stderr, /^finwait: UNSUPPORTED_PLATFORM: \/proc is not mounted\n {2}hint: mount it/);
      assert.is(run('sockets', '--help').status, 0);
    },
    { needs: ['root', 'netns'] },
  );

  test('runs through a link from another directory, for a user who may only read it', async () => {
    await using temp = await makeTempDir('bin');
    chmodSync(temp.path, 0o755);
    symlinkSync(BIN, join(temp.path, 'finwait'));
    const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all'];
    const as = process.getuid?.() === 0 ? ['setpriv', ...nobody] : [];
    const [program = '', ...args] = [...as, join(temp.path, 'finwait'), 'sockets', '--no-header'];
    const env = { PATH: process.env.PATH, HOME: '/nonexistent' };
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: '/', env, encoding: 'utf8' });
    assert.is(status, 0, stderr);
    assert.not.match(stdout, 'finwait:');
  });

  test('passes signals on and ends as its program ended', async () => {
    await using temp = await makeTempDir('bin');
    for (const folder of ['cli', 'node_modules']) mkdirSync(join(temp.path, folder));
    cpSync(BIN, join(temp.path, 'cli', 'finwait.mjs'));
    const platform = `node-linux-${process.arch}`;
    symlinkSync(join(ROOT, 'node_modules', platform), join(temp.path, 'node_modules', platform));
    const script =
      "process.on('SIGTERM', () => process.exit(7)); console.log('ready'); setTimeout(() => {}, 60_000);";

    writeFileSync(join(temp.path, 'cli', 'main.ts'), script);
    const run = () =>
      spawn(process.execPath, [join(temp.path, 'cli', 'finwait.mjs')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    for (const [signal, end] of [
      ['SIGTERM', [7, null]],
      ['SIGHUP', [null, 'SIGHUP']],
    ] as const) {
      const child = run();
      await once(child.stdout, 'data');
      const ended = once(child, 'exit');
      child.kill(signal);
      assert.equal(await ended, [...end]);
    }
  });

  test('ends quietly when nobody reads its output', () => {
    const { status, stderr } = spawnSync(
      'bash',
      ['-c', `"${process.execPath}" "${BIN}" --help | true; exit \${PIPESTATUS[0]}`],
      {
        encoding: 'utf8',
      },
    );
    assert.is(stderr, '');
    assert.is(status, 0);
  });
});
