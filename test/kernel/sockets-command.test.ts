/** `finwait sockets` on sockets of the kernel, beside ss and /proc. */

import { readdirSync, readlinkSync, statSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { NamespaceFacts } from '#contract';
import type { SocketEvent } from '../../cli/sockets-events.ts';
import type { SocketGroup } from '../../cli/sockets-groups.ts';
import type { SocketRow } from '../../cli/sockets-rows.ts';
import { noNetlinkFaults } from '../../daemon/kernel/netlink-socket.ts';
import { dumpSockets } from '../../daemon/track/dumps.ts';
import { NamespaceFinder } from '../../daemon/track/namespace-finder.ts';
import { Sweeper } from '../../daemon/track/sweeper.ts';
import { spec } from '../harness.ts';
import { runFinwait, runProgram, startFinwait, startProgram } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { startPod } from './pods.ts';
import { COMMAND, NOBODY, needs, rowsOf, startScene } from './sockets-scene.ts';

/** Of `ss -i`: what it leaves out is 0 or none. */
function shownBySs(line: string): Record<string, number | null> {
  const number = (name: string) => {
    const found = new RegExp(` ${name}:(\\d+)`).exec(line)?.[1];
    return found === undefined ? null : Number(found);
  };
  return {
    rto: number('rto'),
    mss: number('mss'),
    pmtu: number('pmtu'),
    cwnd: number('cwnd'),
    ssthresh: number('ssthresh'),
    unacked: number('unacked') ?? 0,
    segsOut: number('segs_out') ?? 0,
    segsIn: number('segs_in') ?? 0,
    bytesSent: number('bytes_sent') ?? 0,
    sendWindow: number('snd_wnd') ?? 0,
  };
}

function ours(of: NonNullable<SocketRow['transmission']>): ReturnType<typeof shownBySs> {
  return {
    rto: of.rtoMs,
    mss: of.mss,
    pmtu: of.pathMtu,
    cwnd: of.congestionWindow,
    ssthresh: of.slowStartThreshold,
    unacked: of.unacknowledged,
    segsOut: of.segmentsSent ?? 0,
    segsIn: of.segmentsReceived ?? 0,
    bytesSent: of.bytesSent ?? 0,
    sendWindow: of.peerWindow ?? 0,
  };
}

/** The whole lines of it. */
function eventsOf(stdout: string): SocketEvent[] {
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

function netnsInode({ name }: Netns): number {
  return statSync(`/run/netns/${name}`).ino;
}

/** The sockets of the process, by its descriptors. */
function descriptorsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder)
    .map((fd) => readlinkSync(`${folder}/${fd}`))
    .filter((link) => link.startsWith('socket:'));
}

spec('finwait sockets on the kernel', (test) => {
  test(
    'shows the cookie, memory and congestion control that ss shows',
    async () => {
      await using ns = await makeNetns('socks');
      await using _scene = await startScene(ns, 3, 2);
      const rows = await rowsOf(ns, '-s', 'all');
      const lines = (await ns.run('ss', '-H', '-tanemiO')).split('\n').filter(Boolean);
      assert.is(rows.length, lines.length);
      const bySk = new Map(lines.map((line) => [/ sk:([0-9a-f]+)/.exec(line)?.[1], line]));
      for (const { cookie, state, memory, congestion, transmission, local, peer } of rows) {
        const line = bySk.get(cookie);
        if (line === undefined) throw new Error(`ss has no socket ${cookie}`);
        const short = { ESTABLISHED: 'ESTAB' }[state as string] ?? state;
        assert.ok(line.startsWith(short), `${state}: ${line}`);
        for (const { port } of [local, peer]) assert.ok(port === 0 || line.includes(`:${port} `), line);
        const skmem = /skmem:\(r(\d+),rb(\d+),t(\d+),tb(\d+),f(\d+),w(\d+),o(\d+),bl(\d+),d(\d+)\)/.exec(
          line,
        );
        const told =
          memory === null
            ? undefined
            : [
                memory.receive,
                memory.receiveLimit,
                memory.send,
                memory.sendLimit,
                memory.forward,
                memory.queued,
                memory.options,
                memory.backlog,
                memory.drops,
              ];
        assert.equal(told, skmem?.slice(1).map(Number), line);
        if (congestion !== null) assert.ok(line.includes(` ${congestion} `), `${congestion}: ${line}`);
        if (transmission !== null && state !== 'LISTEN')
          assert.equal(ours(transmission), shownBySs(line), line);
      }
      assert.equal([...new Set(rows.map(({ state, shutdown }) => `${state} ${shutdown}`))].sort(), [
        'CLOSE-WAIT receive',
        'FIN-WAIT-2 send',
        'LISTEN null',
        'TIME-WAIT null',
      ]);
    },
    { needs },
  );

  test(
    'destroys the one that is named by its ends and cookie, and only with --yes; its descriptor stays',
    async () => {
      await using ns = await makeNetns('socks');
      await using scene = await startScene(ns, 2, 0);
      const [victim, other] = await rowsOf(ns, '-s', 'close-wait');
      if (victim === undefined || other === undefined) throw new Error('no sockets');
      const end = ({ address, port }: SocketRow['local']) => `${address}:${port}`;
      const destroy = (cookie: string, ...more: string[]) => [
        ...COMMAND,
        'destroy',
        end(victim.local),
        end(victim.peer),
        '--cookie',
        cookie,
        ...more,
      ];
      const told = await ns.try(process.execPath, ...destroy(victim.cookie));
      assert.is(told.code, 2);
      assert.match(told.stdout, /^would destroy CLOSE-WAIT /);
      const wrong = await ns.try(process.execPath, ...destroy(other.cookie, '--yes'));
      assert.is(wrong.code, 1);
      assert.match(wrong.stderr, /SOCKET_NOT_FOUND/);
      const denied = await ns.try('setpriv', ...NOBODY, process.execPath, ...destroy(victim.cookie, '--yes'));
      assert.equal([denied.code, /SOCKET_DESTROY_DENIED/.test(denied.stderr)], [3, true], denied.stderr);
      const blind = await ns.try('setpriv', ...NOBODY, process.execPath, ...destroy(victim.cookie));
      assert.match(
        blind.stdout,
        /of a process that may not be seen\n.*the process that holds it keeps the descr/,
      );
      assert.match(blind.stderr, /PROCESS_NAMES_PARTIAL/);
      assert.is((await rowsOf(ns, '-s', 'close-wait')).length, 2);
      const done = await ns.run(process.execPath, ...destroy(victim.cookie, '--yes'));
      assert.match(done, /^destroyed CLOSE-WAIT .* of /);
      const left = await rowsOf(ns, '-s', 'close-wait');
      assert.equal(
        left.map(({ cookie }) => cookie),
        [other.cookie],
      );
      assert.ok(descriptorsOf(scene.pid).includes(`socket:[${victim.inode}]`));
    },
    { needs },
  );

  test(
    'tells by the state what follows when a socket is destroyed, in the namespace of a pod',
    async () => {
      await using ns = await makeNetns('socks');
      await using pod = await startPod(ns.enter, 1, 1);
      await ns.run('ip', 'link', 'add', 'fwd0', 'type', 'veth', 'peer', 'name', 'fwd1');
      await ns.run('ip', 'link', 'set', 'fwd1', 'up');
      await ns.run('ip', 'link', 'set', 'fwd0', 'up');
      await ns.run('ip', 'address', 'add', '192.0.2.2/24', 'dev', 'fwd0');
      await ns.run('ip', 'neighbour', 'add', '192.0.2.1', 'lladdr', '02:00:00:00:00:01', 'dev', 'fwd0');
      const strange = `printf 'a\\033[31mX' >/proc/$$/comm; exec 3<>/dev/tcp/192.0.2.1/9`;
      await using _caller = ns.start('bash', ['-c', strange]);
      const rows = await until('SYN-SENT', async () => {
        const all = await rowsOf(ns, '-s', 'all');
        return all.some(({ state }) => state === 'SYN-SENT') ? all : undefined;
      });
      const consequences = new Map<string, string>();
      for (const { state, local, peer, cookie } of rows) {
        const { code, stdout, stderr } = await runFinwait([
          ...['sockets', 'destroy', `${local.address}:${local.port}`, `${peer.address}:${peer.port}`],
          ...['--cookie', cookie, '--yes', '--pod', pod.uid],
        ]);
        // A connection goes with its other end, which the RST reaches.
        if (state === 'SYN-SENT') assert.match(stdout, / of a\?\[31mX\/\d+\n/);
        if (code === 0) consequences.set(state, stdout.split('\n')[1] ?? '');
        else assert.match(stderr, /SOCKET_NOT_FOUND/);
      }
      assert.match(consequences.get('LISTEN') ?? '', /^\S+ no longer accepts connections there until/);
      assert.match(consequences.get('SYN-SENT') ?? '', /^nothing is sent to the peer/);
      assert.match(consequences.get('TIME-WAIT') ?? '', /^its port can be used again/);
      const reset = consequences.get('CLOSE-WAIT') ?? consequences.get('FIN-WAIT-2') ?? '';
      assert.match(reset, /^the peer gets a RST/);
      assert.is((await ns.run('ss', '-Htan')).trim(), '');
    },
    { needs },
  );

  test(
    'shows what is left in a namespace that no program is in any more',
    async () => {
      await using ns = await makeNetns('socks');
      const scene = await startScene(ns, 0, 3);
      await scene.stop();
      for (const name of [ns.name, `/run/netns/${ns.name}`, `net:[${netnsInode(ns)}]`]) {
        const { stdout, stderr } = await runFinwait(['sockets', '--json', '--netns', name]);
        const rows = JSON.parse(stdout) as SocketRow[];
        assert.equal(
          rows.map(({ state, netns }) => [state, netns]),
          Array.from({ length: 3 }, () => ['TIME-WAIT', netnsInode(ns)]),
          stderr,
        );
      }
    },
    { needs },
  );

  test(
    'tells of each connection that ends what it had done and whose it was, as it happens',
    async () => {
      await using ns = await makeNetns('socks');
      await using scene = await startScene(ns, 1, 0);
      const [listener] = await rowsOf(ns, '-l');
      const args = ['sockets', '--events', '--json', '--interval', '100ms', '--netns', ns.name];
      await using child = startFinwait(args);
      const events = () => eventsOf(child.stdout);
      // Whose sockets are is looked up before the events are read, as often as the interval says.
      await until('another look', async () => {
        await ns.run('bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${listener?.local.port}`);
        const [first, last] = [events()[0], events().at(-1)];
        return first !== undefined && last !== undefined && last.atMs - first.atMs > 200 ? true : undefined;
      });
      await scene.stop();
      const ended = await until('the end in CLOSE-WAIT', () =>
        events().find(({ state, process }) => state === 'CLOSE-WAIT' && process?.pid === scene.pid),
      );
      assert.equal([ended.event, ended.netns, ended.direction], ['ended', netnsInode(ns), 'inbound']);
      assert.is(ended.transmission?.bytesSent, 0);
      const { code } = await child.stop('SIGINT');
      assert.equal([code, child.stderr], [0, '']);
    },
    { needs },
  );

  test(
    'tells no peer of a connection that its own program reset, for the kernel has forgotten it',
    async () => {
      await using ns = await makeNetns('socks');
      const args = ['sockets', '--events', '--json', '--interval', '1h', '--netns', ns.name];
      await using child = startFinwait(args);
      const events = () => eventsOf(child.stdout);
      const script = `const { connect, createServer } = require('node:net');
        const server = createServer((socket) => socket.on('error', () => server.close())).listen(0, '127.0.0.1', () => {
          const client = connect(server.address().port, '127.0.0.1', () => client.resetAndDestroy());
        });`;
      const forgotten = await until('a reset', async () => {
        await ns.run(process.execPath, '-e', script);
        return events().find(({ peer }) => peer === null);
      });
      assert.is(forgotten.event, 'ended');
      assert.equal(
        events().filter(({ peer }) => peer?.port === 0 && peer.address !== '0.0.0.0'),
        [],
      );
    },
    { needs },
  );

  test(
    'tells pods and namespaces apart, and says why it may not',
    async () => {
      await using ns = await makeNetns('socks');
      await using pod = await startPod(ns.enter, 3, 4);
      const inode = netnsInode(ns);
      const json = async (...args: string[]) =>
        JSON.parse((await runFinwait(['sockets', '--json', ...args])).stdout);
      const groups: SocketGroup[] = await json('--by', 'pod', '--pod', pod.uid.slice(0, 13));
      assert.equal(
        groups.map(({ pod: uid, count }) => [uid, count]),
        [[pod.uid, 10]],
      );
      const rows: SocketRow[] = await json('--netns', ns.name, '-s', 'close-wait,time-wait');
      assert.equal(
        rows
          .map(({ netns, pod: of, podBy, state }) => `${netns === inode} ${of?.uid} ${podBy} ${state}`)
          .sort(),
        [
          ...Array.from({ length: 4 }, () => `true ${pod.uid} namespace TIME-WAIT`),
          ...Array.from({ length: 3 }, () => `true ${pod.uid} process CLOSE-WAIT`),
        ],
      );
      const named = await runProgram('unshare', [
        ...['-m', 'sh', '-ec', `mount -t tmpfs none /var/log; mkdir -p "$1"; shift; exec "$@"`, 'sh'],
        ...[`/var/log/pods/default_web-0_${pod.uid}`, process.execPath, ...COMMAND, '--json'],
        ...['--by', 'pod', '--pod', 'default/web', '-s', 'time-wait'],
      ]);
      assert.equal(
        JSON.parse(named.stdout).map(({ podName, count }: SocketGroup) => [podName, count]),
        [['default/web-0', 4]],
        named.stderr,
      );
      const denied = await ns.try('setpriv', ...NOBODY, process.execPath, ...COMMAND, '--by', 'pod');
      assert.equal([denied.code, /NAMESPACES_DENIED/.test(denied.stderr)], [3, true]);
      const rootless = await ns.try(
        'unshare',
        ...['--user', '--map-root-user', process.execPath, ...COMMAND, '--all-namespaces'],
      );
      assert.match(rootless.stderr, /NAMESPACES_PARTIAL[\s\S]*hint: .* only in a user namespace of its own/);
    },
    { needs },
  );

  test(
    'says of a namespace that may not be seen that this is why',
    async () => {
      const args = [...NOBODY, process.execPath, ...COMMAND, '--netns', '/proc/1/ns/net'];
      const { code, stderr } = await runProgram('setpriv', args);
      assert.equal(
        [code, /leads to what may not be seen: run finwait as root/.test(stderr)],
        [2, true],
        stderr,
      );
    },
    { needs },
  );

  test(
    'shows the counters that the kernel shows of the namespace',
    async () => {
      await using ns = await makeNetns('socks');
      await using _scene = await startScene(ns, 2, 3);
      const [facts] = JSON.parse(
        await ns.run(process.execPath, ...COMMAND, '--counters', '--json'),
      ) as NamespaceFacts[];
      const [names = [], values = []] = (await ns.run('sh', '-c', 'cat /proc/net/snmp'))
        .split('\n')
        .filter((line) => line.startsWith('Tcp:'))
        .map((line) => line.split(' '));
      for (const name of ['ActiveOpens', 'PassiveOpens']) {
        assert.is(facts?.counters[name]?.total, Number(values[names.indexOf(name)]), name);
      }
      assert.equal(facts?.settings?.portRange, { from: 32_768, to: 60_999 });
      assert.is(facts?.timeWait, 3);
    },
    { needs },
  );

  test(
    'watches: states that one look cannot date have an age, until a signal ends it in order',
    async () => {
      await using ns = await makeNetns('socks');
      await using _scene = await startScene(ns, 1, 0);
      const args = [...COMMAND, '--watch', '--interval', '100ms', '-s', 'listen'];
      await using child = ns.start(process.execPath, args);
      await child.output(/LISTEN .* -\n[\s\S]*LISTEN .* \d+s\+\n/);
      const { code } = await child.stop('SIGINT');
      assert.is(code, 0);
    },
    { needs },
  );

  test(
    'a sweep gives a sign of progress for each namespace, for it may take longer than the agent may be silent',
    async () => {
      await using ns = await makeNetns('socks');
      await using _scene = await startScene(ns, 1, 0);
      const signsOf = (allNamespaces: boolean) => {
        let signs = 0;
        using sweeper = new Sweeper({ maxTracked: 1_000, allNamespaces, onProgress: () => signs++ });
        const { namespaces_found: found = 0 } = sweeper.sweep(0).counters;
        return { signs, found };
      };
      const { signs, found } = signsOf(true);
      assert.ok(found > 0 && signs >= signsOf(false).signs + found, `${signs} signs for ${found} namespaces`);
    },
    { needs },
  );

  test('a dump of sockets stops before each part of the table', () => {
    const order: string[] = [];
    const onSocket = () => void order.push('socket');
    dumpSockets(onSocket, noNetlinkFaults(), {}, () => order.push('stop'));
    assert.is(order[0], 'stop');
  });

  test(
    'namespaces that come and go, and processes that end, while they are swept: nothing breaks, nothing is kept',
    async () => {
      const loop =
        'while :; do for j in 1 2 3; do unshare -n sh -c "ip link set lo up; :" & done; wait; done';
      await using _churn = startProgram('sh', ['-c', loop]);
      using sweeper = new Sweeper({ maxTracked: 1_000, allNamespaces: true });
      let [found, vanished] = [0, 0];
      // The clock leaps, so that each sweep looks for namespaces anew.
      for (let nowMs = 0; vanished < 20; nowMs += 10_000) {
        const { counters } = sweeper.sweep(nowMs);
        ({ namespaces_found: found = 0, namespaces_vanished: vanished = 0 } = counters);
        await new Promise((resolve) => setImmediate(resolve));
      }
      const kept = found - vanished;
      // Other tests have namespaces of their own.
      const there = new NamespaceFinder().find(0).size;
      assert.ok(kept < there + 40, `${kept} are kept of ${there}`);
    },
    { needs, timeoutMs: 120_000 },
  );
});
