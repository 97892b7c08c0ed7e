import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { ROOT, runProgram, startProgram } from '../support/child.ts';
import type { Watch } from '../support/leftovers.ts';
import { watchLeftovers } from '../support/leftovers.ts';
import { freePorts } from '../support/ports.ts';
import { makeTempDir } from '../support/temp-dir.ts';

/** What of this machine's network is finwait's: others may change the rest while the test runs. */
const OURS = /finwait|198\.18\.77\.|fd66:696e:7761/;

/** The environment of a newcomer: nothing of the npm that runs these tests, and the system's own Node first. */
function newcomer(): Record<string, string | undefined> {
  const ours = Object.keys(process.env).filter((name) => /^npm_|^NODE|^OTEL_|^FINWAIT_|^CI$/i.test(name));
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
  return { ...Object.fromEntries(ours.map((name) => [name, undefined])), PATH: path.join(delimiter) };
}

/** What Ctrl-C does: every process of the terminal gets the signal. */
function ctrlC(watch: Watch): void {
  for (const line of watch.processes()) process.kill(Number.parseInt(line, 10), 'SIGINT');
}

/** A program that listens through the kernel's TCP on a free port of 127.0.0.1. */
async function startServer(
  behaviour: 'close' | 'hold',
): Promise<AsyncDisposable & { readonly port: number }> {
  const program = join(ROOT, 'test/support/tcp-server.ts');
  const child = startProgram(process.execPath, [program, behaviour, '127.0.0.1:0']);
  const [, port] = await child.output(/listening (\d+)/);
  return { port: Number(port), [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}

/** Waits for everything that the first screen promises, in a pipe, and says how long that took. */
async function firstLines(up: Child, port: number): Promise<void> {
  const startedMs = performance.now();
  await up.output(/^\S+ page +http:\/\/127\.0\.0\.1:\d+\//m);
  await up.output(/^\S+ sockets .*LISTEN \d+/m);
  await up.output(/^\S+ conntrack +\S/m);
  await up.output(/^\S+ holder +CLOSE-WAIT 3\b.*\bnode\b.*oldest/m);
  await up.output(
    new RegExp(
      `^\\S+ probe +127\\.0\\.0\\.1:${port}.*open\\??: accepted the connection in .* and closed it .* after our FIN`,
      'm',
    ),
  );
  // Five seconds are promised where nothing else runs, which nobody can tell of the machine under a test.
  console.log(`the first screen was complete after ${Math.round(performance.now() - startedMs)} ms`);
}

spec(
  'a fresh clone',
  (test) => {
    test(
      'npm start sets itself up once, shows this machine, and leaves nothing behind',
      async () => {
        await using dir = await makeTempDir('clone');
        const clone = join(dir.path, 'finwait');
        const cloned = await runProgram('git', ['clone', '-q', '--no-hardlinks', ROOT, clone]);
        assert.is(cloned.code, 0, cloned.stderr);

        // One server closes its side, the other does not: three connections stay in CLOSE-WAIT.
        await using good = await startServer('close');
        await using leaking = await startServer('hold');
        for (let i = 0; i < 3; i++) {
          connect(leaking.port, '127.0.0.1')
            .on('error', () => {})
            .end();
        }

        const [webPort = 0] = await freePorts(1);
        const watch = watchLeftovers([], OURS);
        const args = ['start', '--', '--web-port', String(webPort)];
        const options = { cwd: clone, env: { ...newcomer(), ...watch.env } };
        {
          await using up = startProgram('npm', args, options);
          await up.output(/finwait set-up: installing \d+ packages/, { stream: 'stderr', timeoutMs: 90_000 });
          await up.output(/finwait set-up: done in/, { stream: 'stderr', timeoutMs: 180_000 });
          await firstLines(up, good.port);
          ctrlC(watch);
          await up.ended;
          await watch.assertNothingLeft();
        }

        await using up = startProgram('npm', args, options);
        await firstLines(up, good.port);
        assert.not.match(
          up.stderr,
          /set-up|npm warn|Warning/i,
          'the second run sets nothing up, and nothing warns',
        );
        ctrlC(watch);
        await up.ended;
        assert.not.match(up.stderr, /npm error/i);
        await watch.assertNothingLeft();

        // The command itself, as the README has it.
        const probe = await runProgram('npx', ['finwait', 'probe', '--json', `127.0.0.1:${good.port}`], {
          ...options,
          timeoutMs: 90_000,
        });
        assert.is(probe.code, 0, probe.stderr);
        assert.is(JSON.parse(probe.stdout).verdict, 'open');
        await watch.assertNothingLeft();
      },
      { needs: ['root', 'tun', 'nft', 'ss', 'netfilter-conntrack'], timeoutMs: 300_000 },
    );
  },
  { exclusive: true },
);
