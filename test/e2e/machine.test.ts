import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { ROOT, startProgram } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const NEEDS = ['root', 'netns', 'tun', 'netfilter-conntrack', 'nft', 'setpriv'] as const;
const OPTIONS = { needs: NEEDS, timeoutMs: 180_000 };

const SERVER = join(ROOT, 'test/support/tcp-server.ts');

/** A namespace in which the kernel listens on 127.0.0.1:8080. */
async function host(): Promise<Netns> {
  const ns = await makeNetns('machine');
  await ns.start(process.execPath, [SERVER, 'hold', '127.0.0.1:8080']).output(/listening/);
  return ns;
}

/** Starts finwait on a machine that lacks something: an empty folder hides what is at `hidden`. */
function finwaitWithout(hidden: string, ns: Netns, args: readonly string[]): Child {
  const hide = ['unshare', '--mount', 'sh', '-ec', `mount -t tmpfs none ${hidden}; exec "$@"`, 'sh'];
  return startProgram(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], {
    within: [...ns.enter, ...hide],
  });
}

/**
 * Starts finwait as user nobody without any capability. The tree is bound to a place that nobody may read, since
 * the checkout may lie in somebody's private folder.
 */
function finwaitAsNobody(place: string, ns: Netns, args: readonly string[]): Child {
  const bind = `
    mount -t tmpfs -o mode=755 none ${place}
    for name in base cli daemon operator node_modules; do
      mkdir ${place}/$name
      mount --bind ${ROOT}/$name ${place}/$name
    done
    cp ${ROOT}/package.json ${place}
    cd ${place}
    exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all \\
      ${place}/node_modules/.bin/node cli/main.ts "$@"`;
  return startProgram('unshare', ['--mount', 'sh', '-ec', bind, 'sh', ...args], {
    within: ns.enter,
    env: { HOME: '/nonexistent', TMPDIR: '/tmp', XDG_RUNTIME_DIR: undefined },
  });
}

async function ended(child: Child): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { code } = await child.ended;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

spec('a machine without /dev/net/tun', (test) => {
  test(
    'finwait probe says so, with a hint, and exit code 3',
    async () => {
      await using ns = await host();
      const { code, stderr } = await ended(finwaitWithout('/dev/net', ns, ['probe', '127.0.0.1:8080']));
      assert.is(code, 3);
      assert.match(stderr, /^finwait: TUN_MISSING: .*\/dev\/net\/tun/m);
      assert.match(stderr, /hint: .*modprobe tun.*--device \/dev\/net\/tun/);
    },
    OPTIONS,
  );

  test(
    'finwait up says so, and shows sockets all the same',
    async () => {
      await using ns = await host();
      await using up = finwaitWithout('/dev/net', ns, ['up']);
      await up.output(/problem +TUN_MISSING/);
      await up.output(/sockets .*LISTEN [1-9]/);
      assert.is((await up.stop('SIGINT')).code, 0);
    },
    OPTIONS,
  );
});

spec('a machine without conntrack', (test) => {
  test(
    'finwait conntrack says so, with a hint, and exit code 3',
    async () => {
      await using ns = await host();
      const { code, stderr } = await ended(finwaitWithout('/proc/sys/net/netfilter', ns, ['conntrack']));
      assert.is(code, 3);
      assert.match(stderr, /^finwait: CONNTRACK_MISSING: /m);
      assert.match(stderr, /hint: .*modprobe nf_conntrack/);
    },
    OPTIONS,
  );

  test(
    'finwait up says so, and probes all the same',
    async () => {
      await using ns = await host();
      await using up = finwaitWithout('/proc/sys/net/netfilter', ns, ['up', '--close-timeout', '200ms']);
      await up.output(/problem +CONNTRACK_MISSING/);
      await up.output(/probe +127\.0\.0\.1:8080.* half-closed\??: .* for [\d.]+ ms/);
      assert.is((await up.stop('SIGINT')).code, 0);
    },
    OPTIONS,
  );
});

spec('without root', (test) => {
  const COMMANDS: Readonly<Record<string, readonly [code: number, said: RegExp]>> = {
    'probe 127.0.0.1:8080': [3, /TUN_DENIED: [\s\S]*hint: .*(root|NET_ADMIN)/],
    conntrack: [3, /CONNTRACK_DENIED: [\s\S]*hint: .*(root|NET_ADMIN)/],
    'sockets --listening': [0, /127\.0\.0\.1:8080/],
  };
  for (const [command, [code, said]] of Object.entries(COMMANDS)) {
    test(
      `finwait ${command} ends with ${code} and says what is to be known`,
      async () => {
        await using ns = await host();
        await using place = await makeTempDir('nobody');
        chmodSync(place.path, 0o755);
        const ran = await ended(finwaitAsNobody(place.path, ns, command.split(' ')));
        assert.is(ran.code, code, ran.stdout + ran.stderr);
        assert.match(ran.stdout + ran.stderr, said);
      },
      OPTIONS,
    );
  }

  test(
    'finwait up shows the states, says what is missing, and ends in order',
    async () => {
      await using ns = await host();
      // A rule that asks for the state of connections makes the kernel track them.
      const chain = 'nft add table inet t; nft add chain inet t c "{ type filter hook input priority 0; }"';
      await ns.run('sh', '-ec', `${chain}; nft add rule inet t c ct state new accept`);
      await using place = await makeTempDir('nobody');
      chmodSync(place.path, 0o755);
      await using up = finwaitAsNobody(place.path, ns, ['up']);
      await up.output(/problem +TUN_DENIED/);
      await up.output(/problem +CONNTRACK_DENIED/);
      await up.output(/problem +PROCESS_NAMES_PARTIAL/);
      await up.output(/sockets .*LISTEN [1-9]/);
      assert.is((await up.stop('SIGINT')).code, 0);
    },
    OPTIONS,
  );
});

spec('bad input', (test) => {
  const CASES: Readonly<Record<string, readonly [args: string, code: number, said: RegExp]>> = {
    'an unknown command': ['prob', 2, /USAGE: .*"prob"[\s\S]*hint: did you mean finwait probe/],
    'an unknown option': [
      'probe localhost:80 --jsno',
      2,
      /USAGE: unknown option --jsno \(did you mean --json\?\)/,
    ],
    'a target without a port': ['probe localhost', 2, /TARGET_INVALID|USAGE/],
    'a value that is none': ['up --interval soon', 2, /USAGE: .*"soon"/],
    'a name that nobody knows': [
      'probe nobody.invalid:80',
      1,
      /NAME_UNRESOLVED: .*nobody\.invalid[\s\S]*hint: /,
    ],
  };
  for (const [what, [args, code, said]] of Object.entries(CASES)) {
    test(
      `${what} ends with ${code}, is named, and comes with a hint`,
      async () => {
        await using ns = await makeNetns('input');
        const child = ns.finwait(args.split(' '));
        const ran = await ended(child);
        assert.is(ran.code, code, ran.stderr);
        assert.match(ran.stderr, said);
        assert.match(ran.stderr, 'hint: ');
      },
      OPTIONS,
    );
  }
});
