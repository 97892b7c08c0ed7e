import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { listProcesses } from '../support/processes.ts';
import type { TempDir } from '../support/temp-dir.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Stands in for a network that is down: nothing listens on the discard port of the loopback address. RFC 863 */
const DEAD_LOOPBACK_ADDRESS = 'http://127.0.0.1:9/';

/** Stands in for npm where the point is what set-up does around it; the end-to-end tests use the real one. */
const FAKE_NPM = `
const { appendFileSync, existsSync, mkdirSync, rmSync, writeFileSync } = require('node:fs');
appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n');
// Two that work in one folder at a time would destroy each other's work: the second fails here.
writeFileSync('npm-running', '', { flag: 'wx' });
const work = setInterval(() => {
  if (process.env.FAKE_NPM_WAITS && !existsSync('npm-may-end')) return;
  clearInterval(work);
  mkdirSync('node_modules/.bin', { recursive: true });
  writeFileSync('node_modules/.bin/node', '');
  rmSync('npm-running');
}, 10);
`;

interface Clone extends AsyncDisposable {
  readonly path: string;
  readonly calls: () => number;
}

/** A folder with what set-up reads, and the stand-in for npm. */
async function makeClone(): Promise<Clone> {
  const dir: TempDir = await makeTempDir('setup');
  mkdirSync(join(dir.path, 'scripts'));
  for (const file of ['scripts/setup.mjs', 'package.json', 'package-lock.json']) {
    copyFileSync(join(ROOT, file), join(dir.path, file));
  }
  writeFileSync(join(dir.path, 'npm.cjs'), FAKE_NPM);
  const calls = join(dir.path, 'npm-calls');
  return {
    path: dir.path,
    calls: () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n').length : 0),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** Lets the stand-in for npm wait until the test lets it end. */
const WAITS = { FAKE_NPM_WAITS: '1' };

interface Ran {
  readonly code: number | null;
  readonly said: string;
}

function start(clone: Clone, env: NodeJS.ProcessEnv, nodeArgs: readonly string[] = []): ChildProcess {
  return spawn(process.execPath, [...nodeArgs, 'scripts/setup.mjs'], {
    cwd: clone.path,
    env: { ...process.env, npm_execpath: join(clone.path, 'npm.cjs'), ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

/** @param onSaid is told all that was said, each time when it is more */
async function setUp(
  clone: Clone,
  env: NodeJS.ProcessEnv = {},
  nodeArgs: readonly string[] = [],
  onSaid: (said: string) => void = () => {},
): Promise<Ran> {
  const child = start(clone, env, nodeArgs);
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    said += text;
    onSaid(said);
  });
  const [code] = await once(child, 'close');
  return { code, said };
}

/** For `onSaid`: npm, which waits, ends when a set-up has said that it waits for another one. */
function endsNpmOf(clone: Clone): (said: string) => void {
  return (said) => {
    if (said.includes('another set-up')) writeFileSync(join(clone.path, 'npm-may-end'), '');
  };
}

/** Runs before set-up and makes the process look like another machine's. */
function pretend(statement: string): string[] {
  return ['--import', `data:text/javascript,${encodeURIComponent(statement)}`];
}

spec('setup', (test) => {
  test('installs once and says so; the second run is silent and asks npm nothing', async () => {
    await using clone = await makeClone();
    const first = await setUp(clone);
    assert.is(first.code, 0, first.said);
    assert.match(first.said, /installing \d+ packages/);
    assert.match(readFileSync(join(clone.path, 'npm-calls'), 'utf8'), /^ci --ignore-scripts/);
    const second = await setUp(clone);
    assert.equal([second.code, second.said, clone.calls()], [0, '', 1]);
  });

  test('installs again when the lock file has changed or the pinned Node is gone', async () => {
    await using clone = await makeClone();
    await setUp(clone);
    const lock = join(clone.path, 'package-lock.json');
    writeFileSync(lock, `${readFileSync(lock, 'utf8')}\n`);
    await setUp(clone);
    assert.is(clone.calls(), 2);
    rmSync(join(clone.path, 'node_modules/.bin/node'));
    await setUp(clone);
    assert.is(clone.calls(), 3);
  });

  test('killed outright, its npm goes on; the next waits for that and begins anew', async () => {
    await using clone = await makeClone();
    const child = start(clone, WAITS);
    await until('the start of npm', () => existsSync(join(clone.path, 'npm-running')) || undefined);
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.ok(existsSync(join(clone.path, 'npm-running')));
    const again = await setUp(clone, {}, [], endsNpmOf(clone));
    assert.is(again.code, 0, again.said);
    assert.match(again.said, /another set-up of this folder is at work[\s\S]*installing/);
    assert.is(clone.calls(), 2);
    const npm = join(clone.path, 'npm.cjs');
    assert.ok(listProcesses().every(({ command }) => !command.includes(npm)));
  });

  test('two at once install once; the second waits and says so', async () => {
    await using clone = await makeClone();
    const [one, two] = await Promise.all([
      setUp(clone, WAITS, [], endsNpmOf(clone)),
      setUp(clone, WAITS, [], endsNpmOf(clone)),
    ]);
    assert.equal([one.code, two.code, clone.calls()], [0, 0, 1]);
    assert.match(one.said + two.said, 'another set-up of this folder is at work');
  });

  test('says that npm is missing', async () => {
    await using clone = await makeClone();
    const { code, said } = await setUp(clone, { npm_execpath: '', PATH: '/nowhere' });
    assert.is(code, 1);
    assert.match(said, /npm is missing\n {2}hint: install npm/);
  });

  test(
    'without a network it fails soon, says what cannot be reached and what to check',
    async () => {
      await using clone = await makeClone();
      const { code, said } = await setUp(clone, {
        npm_execpath: '',
        npm_config_registry: DEAD_LOOPBACK_ADDRESS,
        npm_config_cache: join(clone.path, 'cache'),
      });
      assert.is(code, 1);
      assert.match(said, /packages cannot be fetched/);
      assert.match(said, /hint: check the network, the proxy and the registry/);
      assert.ok(!existsSync(join(clone.path, 'node_modules/.finwait-setup')));
    },
    { timeoutMs: 180_000 },
  );

  test(
    'in a folder it may not write to it says whose turn it is',
    async () => {
      await using clone = await makeClone();
      chmodSync(clone.path, 0o755);
      const child = spawn(
        'setpriv',
        ['--reuid', '65534', '--regid', '65534', '--clear-groups', 'node', 'scripts/setup.mjs'],
        {
          cwd: clone.path,
          env: {
            PATH: '/usr/local/bin:/usr/bin:/bin',
            HOME: clone.path,
            npm_config_cache: '/nonexistent',
          },
          stdio: ['ignore', 'ignore', 'pipe'],
        },
      );
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
      const [code] = await once(child, 'close');
      assert.is(code, 1);
      assert.match(said, /cannot write to .*node_modules/);
      assert.match(said, /hint: run it as the owner/);
    },
    { needs: ['root', 'setpriv'], timeoutMs: 180_000 },
  );

  for (const [machine, statement, complaint] of [
    [
      'an older Node',
      "Object.defineProperty(process.versions, 'node', { value: '18.20.1' })",
      /Node 20 or newer is needed.*18\.20\.1/,
    ],
    [
      'another system',
      "Object.defineProperty(process, 'platform', { value: 'darwin' })",
      /runs on Linux.*this is darwin/,
    ],
    ['another C library', 'process.report.getReport = () => ({ header: {} })', /needs glibc/],
  ] as const) {
    test(`says on ${machine} what is needed`, async () => {
      await using clone = await makeClone();
      const { code, said } = await setUp(clone, {}, pretend(statement));
      assert.is(code, 1);
      assert.match(said, complaint);
      assert.match(said, 'hint: ');
      assert.is(clone.calls(), 0);
    });
  }
});

spec('package files', (test) => {
  test('the lock file names no address to download from', () => {
    const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
    assert.not.match(lock, /"resolved"|https?:\/\/registry/);
  });

  test('every dependency is pinned to one version, and the lock file agrees', () => {
    const pkg = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    for (const group of ['dependencies', 'devDependencies', 'optionalDependencies']) {
      for (const [name, version] of Object.entries(pkg[group])) {
        assert.match(String(version), /^\d+\.\d+\.\d+$/, `${name} ${version}`);
        assert.is(lock.packages[`node_modules/${name}`]?.version, version, name);
      }
    }
  });
});
