import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import { EINVAL, ENOBUFS, EPERM, EPROTONOSUPPORT } from '../../daemon/kernel/libc.ts';
import { NetlinkError } from '../../daemon/kernel/netlink-socket.ts';
import { readingConntrack, readingSockets } from '../../daemon/track/refusals.ts';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import { runFinwait } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';

const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
const SERVER = `${import.meta.dirname}/../support/tcp-server.ts`;

async function startServer(ns: Netns): Promise<Child> {
  const server = ns.start(process.execPath, [SERVER, 'hold', '127.0.0.1:8080']);
  await server.output(/listening/);
  return server;
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof FinwaitError) return error.code;
    throw error;
  }
  return 'no error';
}

spec('tables that may not be read', (test) => {
  test(
    'leave the sockets without the processes of others, and say so',
    async () => {
      await using ns = await makeNetns('refused');
      await using _ = await startServer(ns);
      const args = ['sockets', '--listening'];
      const { code, stdout, stderr } = await runFinwait(args, { within: [...ns.enter, ...NOBODY] });
      assert.is(code, 0);
      assert.match(stdout, /^LISTEN +0 +511 +127\.0\.0\.1:8080 +-$/m);
      assert.match(stderr, /^finwait: note: PROCESS_NAMES_PARTIAL: .*\n {2}hint: run finwait as root/);
      // Data on standard output stay data.
      const json = await runFinwait([...args, '--json'], { within: [...ns.enter, ...NOBODY] });
      assert.is(JSON.parse(json.stdout).length, 1);
    },
    { needs: ['netns', 'setpriv'] },
  );

  test(
    'need no note when the answer does not lack a process',
    async () => {
      await using ns = await makeNetns('refused');
      await using _ = await startServer(ns);
      const { stderr } = await runFinwait(['sockets', '-s', 'close-wait'], {
        within: [...ns.enter, ...NOBODY],
      });
      assert.is(stderr, '');
    },
    { needs: ['netns', 'setpriv'] },
  );

  test(
    'leave of conntrack how full it is, and exit with 3 and what is missing',
    async () => {
      const { code, stdout, stderr } = await runFinwait(['conntrack'], { within: NOBODY });
      assert.is(code, 3);
      assert.match(stdout, /^table: [\d,]+ \/ [\d,]+ \(.* %\)\n$/);
      assert.match(stderr, /^finwait: CONNTRACK_DENIED: .*\n {2}cause: .*EPERM.*\n {2}hint: .*CAP_NET_ADMIN/);
    },
    { needs: ['root', 'setpriv', 'netfilter-conntrack'] },
  );

  test(
    'are empty where no rule uses conntrack, which is no fault',
    async () => {
      await using ns = await makeNetns('refused');
      const { code, stdout, stderr } = await runFinwait(['conntrack'], { within: ns.enter });
      assert.equal([code, stderr], [0, '']);
      assert.match(stdout, /^0 of 0 TCP flows\ntable: 0 \/ [\d,]+ \(0 %\); no rule/m);
    },
    { needs: ['netns', 'netfilter-conntrack'] },
  );

  test('have a code for what the kernel says', () => {
    const refusing = (errno: number) => () => {
      throw new NetlinkError(errno, 'dump');
    };
    assert.is(
      codeOf(() => readingSockets(refusing(EPERM))),
      'SOCK_DIAG_DENIED',
    );
    assert.is(
      codeOf(() => readingSockets(refusing(EPROTONOSUPPORT))),
      'SOCK_DIAG_MISSING',
    );
    assert.is(
      codeOf(() => readingConntrack(refusing(EPERM))),
      'CONNTRACK_DENIED',
    );
    assert.is(
      codeOf(() => readingConntrack(refusing(EINVAL))),
      'CONNTRACK_MISSING',
    );
    assert.is(
      codeOf(() => readingConntrack(refusing(ENOBUFS))),
      'NETLINK_FAILED',
    );
    assert.is(
      readingSockets(() => 7),
      7,
    );
    // A bug is not dressed up as a fault of the machine.
    const bug = () => {
      throw new TypeError('a bug');
    };
    assert.throws(() => readingSockets(bug), /a bug/);
  });
});
