import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { PEER_PORTS } from '../kernel/peers.ts';
import type { Ran } from '../support/child.ts';
import { watchLeftovers } from '../support/leftovers.ts';
import { makeNetns, type Netns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { cliRun } from './cli-run.ts';

const NEEDS = { needs: ['root', 'tun', 'netns'], timeoutMs: 180_000 } as const;

async function withPeers(ns: Netns) {
  const peers = ns.start(process.execPath, ['test/kernel/peers.ts']);
  await peers.output(/ready/);
  return peers;
}

async function probe(ns: Netns, ...args: string[]): Promise<Ran> {
  const child = ns.finwait(['probe', ...args]);
  const exit = await child.ended;
  return { ...exit, stdout: child.stdout, stderr: child.stderr };
}

spec('the command line of finwait probe', (test) => {
  for (const [args, words] of [
    [[], /USAGE: no target is given/],
    [['localhost'], /TARGET_INVALID: "localhost" is not HOST:PORT\n {2}hint: give a port, too: localhost:80/],
    [['localhost', '22'], /TARGET_INVALID.*\n {2}hint: did you mean localhost:22\?/],
    [['-4', '-6', 'localhost:22'], /USAGE: -4 and -6 exclude each other/],
    [
      ['--conect-timeout', '1s', 'localhost:22'],
      /unknown option --conect-timeout \(did you mean --connect-timeout\?\)/,
    ],
    [['--count', '0', 'localhost:22'], /--count: "0" is not a whole number/],
    [['--send', 'a\\q', 'localhost:22'], /--send: .*escape that is not known: \\q/],
    [['--send', `${'x'.repeat(600)}`, 'localhost:22'], /longer than 512 bytes/],
    [['--mtu', '12', 'localhost:22'], /--mtu: "12"/],
  ] as const) {
    test(`says what is wrong with "${args.join(' ').slice(0, 50)}", exit code 2`, async () => {
      const { code, stdout, stderr } = await cliRun(['probe', ...args]);
      assert.is(code, 2);
      assert.is(stdout, '');
      assert.match(stderr, words);
    });
  }

  test('tells all its options with --help', async () => {
    const { code, stdout } = await cliRun(['probe', '--help']);
    assert.is(code, 0);
    for (const word of ['-4, --ipv4', '-c, --count N', '--send TEXT', '--allow-forwarding', 'Exit codes']) {
      assert.ok(stdout.includes(word), word);
    }
  });
});

spec('finwait probe on a machine', (test) => {
  test(
    'prints a line a target with --quiet, a summary, and exits by the worst',
    async () => {
      await using ns = await makeNetns('cli');
      await using _peers = await withPeers(ns);
      const open = `127.0.0.1:${PEER_PORTS.closes}`;
      const good = await probe(ns, '-q', '-c', '3', '-i', '20ms', open);
      assert.is(good.code, 0, good.stderr);
      assert.is(good.stdout.match(/ open: accepted the connection in /g)?.length, 3);
      assert.match(good.stdout, /^3 probes: 3 open; handshake .* half of them within/m);
      const bad = await probe(ns, '-q', open, `127.0.0.1:${PEER_PORTS.nobody}`);
      assert.is(bad.code, 1);
      assert.match(bad.stdout, /^2 probes: 1 (open|refused), 1 (open|refused);/m);
    },
    NEEDS,
  );

  test(
    'names the listener whose accept queue is full, and its process, from the kernel',
    async () => {
      await using ns = await makeNetns('cli');
      await using peer = ns.start(process.execPath, ['test/kernel/peers.ts', 'never-accepts']);
      await peer.output(/ready/);
      const target = `127.0.0.1:${PEER_PORTS.neverAccepts}`;
      const ran = await probe(
        ns,
        '-q',
        '-c',
        '5',
        '-i',
        '10ms',
        '--connect-timeout',
        '300ms',
        '--close-timeout',
        '300ms',
        target,
      );
      assert.is(ran.code, 1, ran.stderr);
      assert.match(
        ran.stdout,
        /half-closed: .* of \S+\/\d+ with \d waiting and a backlog of 8: connections wait/,
      );
      assert.match(
        ran.stdout,
        /accept-queue-full: .* with 9 waiting and a backlog of 8: its accept queue is full/,
      );
    },
    NEEDS,
  );

  test(
    'writes ASCII where the locale is not of UTF-8',
    async () => {
      await using ns = await makeNetns('cli');
      await using _peers = await withPeers(ns);
      const args = ['probe', `127.0.0.1:${PEER_PORTS.closes}`];
      await using plain = ns.finwait(args, { env: { LC_ALL: 'C' } });
      await plain.ended;
      assert.match(plain.stdout, /0\.000 +> +SYN/);
      assert.not.match(plain.stdout, /[^\n -~]/);
    },
    NEEDS,
  );

  test(
    'goes on with the other targets when a name does not resolve, exit code 1',
    async () => {
      await using ns = await makeNetns('cli');
      await using _peers = await withPeers(ns);
      const { code, stdout, stderr } = await probe(
        ns,
        '-q',
        'nowhere.invalid:80',
        `127.0.0.1:${PEER_PORTS.closes}`,
      );
      assert.is(code, 1);
      assert.match(stdout, / open: /);
      assert.match(stderr, /NAME_UNRESOLVED: nowhere.invalid does not resolve/);
      const json = await probe(ns, '--json', 'nowhere.invalid:80');
      assert.is(json.code, 1);
      const { target, error } = JSON.parse(json.stdout);
      assert.equal([target, error.code], ['nowhere.invalid:80', 'NAME_UNRESOLVED']);
    },
    NEEDS,
  );

  test(
    'says with a hint that there is no way to a target, exit code 1',
    async () => {
      await using ns = await makeNetns('cli');
      const { code, stdout } = await probe(ns, '192.0.2.1:80');
      assert.is(code, 1);
      assert.match(stdout, /unreachable: .*192\.0\.2\.1/);
      assert.match(stdout, /\n {2}hint: /);
    },
    NEEDS,
  );

  test(
    'says what is missing without the right to a TUN device, exit code 3',
    async () => {
      await using ns = await makeNetns('cli');
      const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
      const ran = await ns.try(
        'setpriv',
        ...nobody,
        process.execPath,
        'cli/main.ts',
        'probe',
        '127.0.0.1:80',
      );
      assert.is(ran.code, 3, ran.stderr);
      assert.match(ran.stderr, /TUN_DENIED: .*\n(.*\n)*? {2}hint: .*NET_ADMIN/);
      assert.is(ran.stdout, '');
    },
    { ...NEEDS, needs: [...NEEDS.needs, 'setpriv'] },
  );

  test(
    'says what is missing where there is no /dev/net/tun, exit code 3',
    async () => {
      await using ns = await makeNetns('cli');
      const script = `mount -t tmpfs none /dev/net && exec ${process.execPath} cli/main.ts probe 127.0.0.1:80`;
      const ran = await ns.try('unshare', '--mount', 'sh', '-c', script);
      assert.is(ran.code, 3, ran.stderr);
      assert.match(ran.stderr, /TUN_MISSING: .*\n(.*\n)*? {2}hint: /);
    },
    NEEDS,
  );

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    test(
      `resets the connection and leaves nothing when ${signal} comes, exit code ${code}`,
      async () => {
        await using ns = await makeNetns('cli');
        await using _peers = await withPeers(ns);
        const watch = watchLeftovers(ns.enter);
        await using child = ns.finwait(
          ['probe', `127.0.0.1:${PEER_PORTS.keepsOpen}`, '--close-timeout', '180s'],
          {
            env: watch.env,
          },
        );
        const port = PEER_PORTS.keepsOpen.toString(16).toUpperCase();
        // CLOSE-WAIT is 08 in /proc/net/tcp: the peer has our FIN.
        const halfClosed = new RegExp(`:${port} \\S+ 08 `);
        await until(
          'the connection is half closed',
          async () => halfClosed.test(await ns.run('cat', '/proc/net/tcp')) || undefined,
        );
        const exit = await child.stop(signal);
        assert.is(exit.code, code);
        assert.match(child.stdout, /aborted: finwait stopped after .* in the close/);
        assert.match(child.stdout, /(→|>) +RST ACK/);
        assert.not.match(await ns.run('cat', '/proc/net/tcp'), halfClosed);
        await watch.assertNothingLeft();
      },
      NEEDS,
    );
  }

  for (const [state, port] of [
    ['dead', 9],
    ['silent', PEER_PORTS.keepsOpen],
  ] as const) {
    test(
      `a ${state} collector costs one warning, a patience of its own, and not the exit code`,
      async () => {
        await using ns = await makeNetns('cli');
        await using _peers = await withPeers(ns);
        const child = ns.finwait(['probe', '--json', `127.0.0.1:${PEER_PORTS.closes}`], {
          // An exporter by itself would wait for so long that the test would miss its deadline.
          env: {
            OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
            OTEL_EXPORTER_OTLP_TIMEOUT: '600000',
          },
        });
        const { code } = await child.ended;
        assert.is(code, 0);
        assert.is(child.stdout.trim().split('\n').length, 1);
        assert.is(child.stderr.match(/COLLECTOR_UNREACHABLE/g)?.length, 1, child.stderr);
        assert.match(child.stderr, /these traces are lost/);
      },
      NEEDS,
    );
  }
});
