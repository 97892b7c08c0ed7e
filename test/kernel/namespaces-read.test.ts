/** The sockets of other network namespaces as they are read from sweep to sweep: what is seen, spared and said. */

import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import * as assert from 'uvu/assert';
import { insideNamespace } from '../../daemon/kernel/network-namespace.ts';
import { localAddresses } from '../../daemon/track/local-addresses.ts';
import { NamespaceFinder } from '../../daemon/track/namespace-finder.ts';
import type { NamespaceSockets } from '../../daemon/track/namespace-sockets.ts';
import { parseIpAddress } from '../../daemon/wire/address.ts';
import { spec } from '../harness.ts';
import { runProgram } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { joinNetns, makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { reader } from './namespaces-reader.ts';
import type { Seen } from './namespaces-starved.ts';

const NEEDS = { needs: ['root' as const, 'netns' as const], timeoutMs: 120_000 };

/** Listens on PORT of all addresses. */
const SERVER = `require('node:net').createServer().listen(Number(process.argv[1]), '0.0.0.0', () => console.log('listening'));`;

/** Makes COUNT connections to HOST PORT, and waits for ever. */
const CLIENT = `
  const [host, port, count] = process.argv.slice(1);
  for (let i = 0; i < Number(count); i++) require('node:net').connect({ host, port: Number(port) }).on('error', () => {});
  setInterval(() => {}, 1000);
`;

/** Leaves COUNT connections of loopback in TIME-WAIT, and ends. */
const LEAVE = `
  const net = require('node:net');
  const server = net.createServer((socket) => socket.resume()).listen(0, '127.0.0.1', async () => {
    for (let left = Number(process.argv[1]); left > 0; left--) {
      const client = net.connect(server.address().port, '127.0.0.1').resume();
      await new Promise((resolve) => client.on('connect', () => client.end()).on('close', resolve));
    }
    server.close();
  });
`;

function statesIn(ns: Netns, sockets: NamespaceSockets): Record<string, number> {
  const { ino } = statSync(`/run/netns/${ns.name}`);
  const tables = [...sockets.tables()].filter(({ inode }) => inode === ino);
  return Object.fromEntries(
    tables.flatMap(({ table }) =>
      Array.from(table.counts(), ([state, count]) => [state, count[4] + count[6]]),
    ),
  );
}

/** A thread of this process that is in the namespace, until the end of the scope. */
async function threadIn(ns: Netns): Promise<AsyncDisposable> {
  const path = `/run/netns/${ns.name}`;
  const wake = new Int32Array(new SharedArrayBuffer(4));
  const module = new URL('../../daemon/kernel/network-namespace.ts', import.meta.url).href;
  const worker = new Worker(
    `import(${JSON.stringify(module)}).then(({ insideNamespace }) => {
      const { parentPort, workerData } = require('node:worker_threads');
      insideNamespace(workerData.path, workerData.inode, () => {
        parentPort.postMessage('inside');
        Atomics.wait(workerData.wake, 0, 0);
      });
    })`,
    { eval: true, workerData: { path, inode: statSync(path).ino, wake } },
  );
  await once(worker, 'message');
  return {
    async [Symbol.asyncDispose]() {
      const ended = once(worker, 'exit');
      Atomics.store(wake, 0, 1);
      Atomics.notify(wake, 0);
      await ended;
    },
  };
}

async function serve(ns: Netns, port: number) {
  const server = ns.start(process.execPath, ['-e', SERVER, String(port)]);
  await server.output(/listening/);
  return server;
}

async function serveAll(all: readonly Netns[], port: number): Promise<AsyncDisposableStack> {
  const servers = new AsyncDisposableStack();
  for (const ns of all) servers.use(await serve(ns, port));
  return servers;
}

spec('the sockets of other network namespaces', (test) => {
  test(
    'are read when connections hang half open, which no count of sockets shows',
    async () => {
      await using pod = await makeNetns('pod');
      await using peer = await makeNetns('peer');
      await joinNetns(pod, peer, { addressesA: ['10.9.0.1/24'], addressesB: ['10.9.0.2/24'] });
      await using _server = await serve(pod, 8080);
      const sockets = reader();
      sockets.read(0, 0);
      sockets.read(2_000, 0);
      // Two readings more tell that there was nothing to see.
      sockets.read(10_000, 0);
      assert.equal(statesIn(pod, sockets), { LISTEN: 1 });
      // The SYN-ACK gets lost.
      await peer.run('nft', 'add table ip t; add chain ip t in { type filter hook input priority 0; }');
      await peer.run('nft', 'add rule ip t in tcp sport 8080 drop');
      await using _client = peer.start(process.execPath, ['-e', CLIENT, '10.9.0.1', '8080', '5']);
      await until('a SYN-ACK sent again', async () => {
        const snmp = await pod.run('cat', '/proc/thread-self/net/snmp');
        const [names = [], values = []] = snmp
          .split('\n')
          .flatMap((line) => (line.startsWith('Tcp: ') ? [line.split(' ')] : []));
        return Number(values[names.indexOf('RetransSegs')]) >= 5 ? true : undefined;
      });
      sockets.read(14_000, 0);
      assert.equal(statesIn(pod, sockets), { LISTEN: 1, 'SYN-RECEIVED': 5 });
    },
    { ...NEEDS, needs: [...NEEDS.needs, 'nft'] },
  );

  test(
    'are read where no process is any more, and nothing holds such a namespace back',
    async () => {
      const sockets = reader();
      const name = await (async () => {
        await using ns = await makeNetns('left');
        await ns.run(process.execPath, '-e', LEAVE, '7');
        sockets.read(0, 0);
        assert.equal(statesIn(ns, sockets), { 'TIME-WAIT': 7 });
        return ns.name;
      })();
      assert.not.ok(readdirSync('/run/netns').includes(name));
      const { namespaces_vanished: before = 0 } = sockets.counters();
      sockets.read(100, 0);
      assert.ok((sockets.counters().namespaces_vanished ?? 0) > before);
    },
    NEEDS,
  );

  test(
    'are read in turns where a sweep has no time for all, and those that are put off are counted',
    async () => {
      await using one = await makeNetns('one');
      await using two = await makeNetns('two');
      await using three = await makeNetns('three');
      await using _servers = await serveAll([one, two, three], 8083);
      let cpuMs = 0;
      // By the clock each namespace takes a millisecond.
      const sockets = reader({ mostCpuMs: 2, cpuMs: () => cpuMs++ });
      const seen = () => [one, two, three].filter((ns) => statesIn(ns, sockets).LISTEN === 1).length;
      const counted = (name: string) => sockets.counters()[name] ?? 0;
      sockets.read(0, 0);
      assert.ok(seen() < 3 && counted('namespace_reads_put_off') >= 2);
      let readsBefore = counted('namespace_reads');
      for (let turns = 2 * counted('namespaces_found'); turns > 0 && seen() < 3; turns--) {
        sockets.read(0, 0);
        assert.ok(counted('namespace_reads') - readsBefore <= 1, 'one in a sweep');
        readsBefore = counted('namespace_reads');
      }
      assert.is(seen(), 3, 'each had its turn');
    },
    NEEDS,
  );

  test(
    'are read without a descriptor that is kept when few may be open',
    async () => {
      await using ns = await makeNetns('few');
      await using _server = await serve(ns, 8081);
      const open = () => readdirSync('/proc/self/fd').length;
      const before = open();
      const few = reader({ openFiles: 100 });
      for (const nowMs of [0, 1_000]) few.read(nowMs, 0);
      assert.equal([open(), statesIn(ns, few)], [before, { LISTEN: 1 }]);
      const many = reader();
      many.read(0, 0);
      assert.ok(open() > before, 'else one is kept for each that has sockets');
      assert.is(many.condition(), undefined);
    },
    NEEDS,
  );

  test(
    'are in no figure while their reading breaks off, the condition says so, and nothing dies of having no descriptor left',
    async () => {
      await using ns = await makeNetns('starved');
      await using _server = await serve(ns, 8082);
      const { ino } = statSync(`/run/netns/${ns.name}`);
      const args = ['test/kernel/namespaces-starved.ts', String(ino)];
      const within = ['prlimit', '--nofile=100:100'];
      const { code, stdout, stderr } = await runProgram(process.execPath, args, { within });
      assert.is(code, 0, stderr);
      const [before, meanwhile, after] = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Seen);
      for (const seen of [before, after]) {
        assert.equal([seen?.states, seen?.inUse, seen?.condition], [['LISTEN'], 1, undefined]);
        assert.not.ok(seen?.swept.includes('RESOURCES_EXHAUSTED'));
      }
      assert.equal(meanwhile?.states, []);
      assert.match(meanwhile?.condition ?? '', /in no figure: .*EMFILE/);
      assert.ok(meanwhile?.swept.includes('RESOURCES_EXHAUSTED'), stdout);
      assert.is(meanwhile?.rssBytes, before?.rssBytes);
    },
    NEEDS,
  );

  test(
    'are read when nothing but a thread leads into their namespace',
    async () => {
      await using pod = await makeNetns('pod');
      await pod.run(process.execPath, '-e', LEAVE, '2');
      const sockets = reader({ finder: new NamespaceFinder({ lookAt: () => 'gone' }) });
      sockets.read(0, 0);
      assert.equal(statesIn(pod, sockets), {});
      await using _thread = await threadIn(pod);
      // Each search sees a share of the machine's threads.
      for (let search = 1; search < 1_000 && statesIn(pod, sockets)['TIME-WAIT'] === undefined; search++) {
        sockets.read(6_000 * search, 0);
      }
      assert.equal(statesIn(pod, sockets), { 'TIME-WAIT': 2 });
    },
    NEEDS,
  );
});

spec('the addresses of a network namespace', (test) => {
  test(
    'are those of all its links, also where the link is down',
    async () => {
      await using ns = await makeNetns('addresses');
      await ns.run('ip', 'link', 'add', 'ipvs0', 'type', 'bridge');
      for (const address of ['10.9.9.9/32', 'fd00:9::9/128']) {
        await ns.run('ip', 'address', 'add', address, 'dev', 'ipvs0');
      }
      await ns.run('ip', 'link', 'add', 'tun9', 'type', 'bridge');
      await ns.run('ip', 'address', 'add', '10.9.8.1', 'peer', '10.9.8.2', 'dev', 'tun9');
      const path = `/run/netns/${ns.name}`;
      const isLocal = insideNamespace(path, statSync(path).ino, localAddresses);
      const locals = ['10.9.9.9', '10.9.8.1', '127.0.0.1', '127.0.0.53', '::1'].map(bytesOf);
      assert.ok(locals.every(isLocal));
      assert.not.ok(['10.9.8.2', '10.9.9.8', 'fd00:9::8'].map(bytesOf).some(isLocal));
    },
    NEEDS,
  );
});

function bytesOf(text: string): Uint8Array {
  const address = parseIpAddress(text);
  if (!address.ok) throw new Error(address.reason);
  return address.value.bytes;
}
