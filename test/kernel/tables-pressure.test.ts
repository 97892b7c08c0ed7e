import * as assert from 'uvu/assert';
import type { Divergence, PortUse } from '#contract';
import { spec } from '../harness.ts';
import type { Child } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import { joinNetns, makeNetns } from '../support/netns.ts';
import { sweepWhere } from './tables-sweeps.ts';

const WATCH = `${import.meta.dirname}/tables-watch.ts`;
const NEEDS = { needs: ['root' as const, 'netns' as const], timeoutMs: 120_000 };
const CONNTRACK = {
  needs: [...NEEDS.needs, 'nft' as const, 'netfilter-conntrack' as const],
  timeoutMs: 120_000,
};
const RANGE = 'net.ipv4.ip_local_port_range=40000 40099';

/** Listens on the ports given, on any address, and takes all that comes. */
const SERVER = `
  const net = require('node:net');
  const ports = process.argv.slice(1).map(Number);
  let waiting = ports.length;
  for (const port of ports) {
    net.createServer((socket) => socket.resume().on('error', () => {})).listen({ port, host: '0.0.0.0' }, () => {
      if (--waiting === 0) console.log('listening');
    });
  }
`;

/**
 * Opens connections to HOST PORT one after the other until there are COUNT or the kernel has no port left; with LOCAL
 * after bind(2) to port 0 of that address, as Node does it; `chat` to send something all the time. Closes all when it is
 * told to.
 */
const CLIENT = `
  const net = require('node:net');
  const [host, port, count, localAddress, chat] = process.argv.slice(1);
  const sockets = [];
  const report = (why) => console.log('opened ' + sockets.length + ' ' + why);
  const next = () => {
    if (sockets.length >= Number(count)) return report('all');
    const socket = net.connect({ host, port: Number(port), ...(localAddress ? { localAddress } : {}) });
    socket.once('error', (error) => report(error.code));
    socket.once('connect', () => { sockets.push(socket); socket.on('error', () => {}).resume(); next(); });
  };
  next();
  if (chat) setInterval(() => sockets.forEach((socket) => socket.write('x')), 100);
  process.on('SIGUSR2', () => sockets.forEach((socket) => socket.end()));
`;

async function serve(ns: Netns, ...ports: readonly number[]): Promise<Child> {
  const server = ns.start(process.execPath, ['-e', SERVER, ...ports.map(String)]);
  await server.output(/listening/);
  return server;
}

interface Opened extends AsyncDisposable {
  /** How many connections there came to be, and why no more. */
  readonly told: string;
  close(): void;
}

async function open(
  ns: Netns,
  { host = '127.0.0.1', port = 7000, count = 1_000, local = '', chat = '' },
): Promise<Opened> {
  const child = ns.start(process.execPath, ['-e', CLIENT, host, String(port), String(count), local, chat]);
  const [told] = await child.output(/opened \d+ \w+/);
  return {
    told,
    close: () => child.kill('SIGUSR2'),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

function watch(ns: Netns, ...which: readonly 'all'[]): Child {
  return ns.start(process.execPath, [WATCH, ...which]);
}

async function portsTo(watching: Child, port: number, passes: (use: PortUse) => boolean): Promise<PortUse> {
  const of = (uses: readonly PortUse[] = []) => uses.find(({ destination }) => destination.port === port);
  const sweep = await sweepWhere(watching, `the ports towards ${port}`, ({ sockets }) => {
    const use = of(sockets?.ports?.destinations);
    return use !== undefined && passes(use);
  });
  const use = of(sweep.sockets?.ports?.destinations);
  if (use === undefined) throw new Error('there is no such destination');
  return use;
}

spec('ports that run out, on a real kernel', (test) => {
  test(
    'are all used when connect(2) finds none any more, and towards other destinations free',
    async () => {
      await using ns = await makeNetns('ports');
      await ns.run('sysctl', '-qw', RANGE, 'net.ipv4.ip_local_reserved_ports=40010-40019');
      await using _server = await serve(ns, 7000, 7001);
      await using first = await open(ns, { port: 7000 });
      assert.equal(first.told, 'opened 90 EADDRNOTAVAIL');
      await using second = await open(ns, { port: 7001, count: 5 });
      assert.equal(second.told, 'opened 5 all');
      await using watching = watch(ns);
      const full = await portsTo(watching, 7000, () => true);
      assert.equal([full.used, full.usable, full.bound, full.exhaustedInMs], [90, 90, 0, 0]);
      const other = await portsTo(watching, 7001, () => true);
      assert.equal([other.used, other.usable, other.exhaustedInMs], [5, 90, undefined]);
    },
    NEEDS,
  );

  test(
    'are taken from every destination by sockets that were bound first, and by listeners',
    async () => {
      await using ns = await makeNetns('bound');
      await ns.run('sysctl', '-qw', RANGE);
      await using _server = await serve(ns, 7000, 7001, 40_050);
      await using bound = await open(ns, { port: 7000, count: 20, local: '127.0.0.1' });
      assert.equal(bound.told, 'opened 20 all');
      await using watching = watch(ns);
      const there = await portsTo(watching, 7000, () => true);
      assert.equal([there.used, there.usable, there.bound], [20, 99, 20]);
      await using plain = await open(ns, { port: 7001 });
      assert.equal(plain.told, 'opened 79 EADDRNOTAVAIL');
      const elsewhere = await portsTo(watching, 7001, ({ used }) => used === 79);
      assert.equal([elsewhere.usable, elsewhere.exhaustedInMs], [79, 0]);
    },
    NEEDS,
  );

  test(
    'in TIME-WAIT are used, or given to new connections: as tcp_tw_reuse says',
    async () => {
      await using ns = await makeNetns('reuse');
      await ns.run('sysctl', '-qw', RANGE, 'net.ipv4.tcp_tw_reuse=0');
      await using _server = await serve(ns, 7000);
      await using first = await open(ns, { port: 7000 });
      first.close();
      await using watching = watch(ns);
      const waiting = await portsTo(watching, 7000, ({ timeWait }) => timeWait === 100);
      assert.equal([waiting.used, waiting.usable, waiting.reusable], [100, 100, 0]);
      await using refused = await open(ns, { port: 7000 });
      assert.equal(refused.told, 'opened 0 EADDRNOTAVAIL');
      await ns.run('sysctl', '-qw', 'net.ipv4.tcp_tw_reuse=2');
      // Somebody who has run out of ports is not told the same for ten minutes more.
      const given = await portsTo(watching, 7000, ({ reusable }) => reusable === 100);
      assert.equal([given.used, given.timeWait], [0, 0]);
      await using again = await open(ns, { port: 7000, count: 10 });
      assert.equal(again.told, 'opened 10 all');
    },
    NEEDS,
  );

  test(
    'are told of other network namespaces as those are set',
    async () => {
      await using ns = await makeNetns('far');
      await using here = await makeNetns('here');
      await ns.run('sysctl', '-qw', RANGE);
      await using _server = await serve(ns, 7005);
      await using opened = await open(ns, { port: 7005, count: 60 });
      assert.is(opened.told, 'opened 60 all');
      await using watching = watch(here, 'all');
      const there = await portsTo(watching, 7005, () => true);
      assert.equal([there.used, there.usable, there.bound], [60, 100, 0]);
    },
    NEEDS,
  );

  test(
    'are those of clients by the range of their own namespace, though a server has a port that is given to clients elsewhere',
    async () => {
      await using ns = await makeNetns('low');
      await using here = await makeNetns('here');
      await ns.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=10000 10099');
      await using _server = await serve(ns, 50_051);
      await using opened = await open(ns, { port: 50_051, count: 60 });
      assert.is(opened.told, 'opened 60 all');
      await using watching = watch(here, 'all');
      const there = await portsTo(watching, 50_051, () => true);
      assert.equal([there.used, there.usable], [60, 100]);
    },
    NEEDS,
  );
});

spec('ports of a masqueraded address', (test) => {
  test(
    'are told with the address before NAT',
    async () => {
      await using inner = await makeNetns('inner');
      await using gate = await makeNetns('gate');
      await using outer = await makeNetns('outer');
      await joinNetns(inner, gate, {
        device: 'in0',
        addressesA: ['10.9.1.5/24', '10.9.1.6/24'],
        addressesB: ['10.9.1.1/24'],
      });
      await joinNetns(gate, outer, {
        device: 'out0',
        addressesA: ['10.9.2.1/24'],
        addressesB: ['10.9.2.9/24'],
      });
      await inner.run('ip', 'route', 'add', 'default', 'via', '10.9.1.1');
      await gate.run('sysctl', '-qw', 'net.ipv4.ip_forward=1');
      await gate.run(
        'nft',
        'add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; add rule ip nat out oifname out0 masquerade',
      );
      await using _server = await serve(outer, 7000);
      await using five = await open(inner, { host: '10.9.2.9', count: 7, local: '10.9.1.5' });
      await using six = await open(inner, { host: '10.9.2.9', count: 3, local: '10.9.1.6' });
      await using own = await open(gate, { host: '10.9.2.9', count: 2 });
      assert.equal([five.told, six.told, own.told], ['opened 7 all', 'opened 3 all', 'opened 2 all']);
      await using watching = watch(gate);
      const sweep = await sweepWhere(
        watching,
        'the masqueraded ports',
        ({ conntrack }) => conntrack?.sourceNat !== undefined,
      );
      assert.equal(sweep.conntrack?.sourceNat, {
        destinations: [
          {
            address: '10.9.2.1',
            destination: { address: '10.9.2.9', port: 7000 },
            used: 12,
            usable: 64_512,
            usableBasis: 'assumed',
            waiting: 0,
            consumers: [
              { source: '10.9.1.5', count: 7 },
              { source: '10.9.1.6', count: 3 },
              { source: '10.9.2.1', count: 2 },
            ],
          },
        ],
        folded: 0,
      });
      // What passes through has no socket here, and is not missed.
      const compared = await sweepWhere(
        watching,
        'the second comparison',
        ({ conntrack }) => conntrack?.divergence?.unsettled === 0,
      );
      const { flows, through, flowsWithoutSocket } = compared.conntrack?.divergence ?? {};
      assert.equal([flows, through, flowsWithoutSocket], [2, 10, []]);
    },
    CONNTRACK,
  );
});

spec('sockets and conntrack that do not tell the same', (test) => {
  test(
    'are told when an entry is deleted under a socket, and when a socket goes without a word',
    async () => {
      await using ns = await makeNetns('diverge');
      await track(ns);
      await using _server = await serve(ns, 7000, 7001, 7002);
      await using _kept = await open(ns, { port: 7000, count: 3 });
      await using _aged = await open(ns, { port: 7001, count: 2 });
      await using _gone = await open(ns, { port: 7002, count: 4 });
      await using watching = watch(ns);
      const agreeing = await divergenceWhere(watching, ({ sockets }) => sockets === 18);
      assert.equal([agreeing.flows, agreeing.socketsWithoutFlow, agreeing.flowsWithoutSocket], [9, [], []]);

      // The reset of a destroyed socket would end the entry as well. Nobody hears of a machine whose power fails, either.
      await ns.run('nft', 'add rule inet t out tcp flags rst drop');
      await ns.run('conntrack', '-D', '-p', 'tcp', '--dport', '7001');
      await ns.run('ss', '-K', 'dport', '=', ':7002', 'or', 'sport', '=', ':7002');
      const diverging = await divergenceWhere(
        watching,
        (found) => found.socketsWithoutFlow.length > 0 && found.flowsWithoutSocket.length > 0,
      );
      const [forgotten, ghosts] = [diverging.socketsWithoutFlow[0], diverging.flowsWithoutSocket[0]];
      // Both ends of a connection are here.
      assert.equal([forgotten?.state, forgotten?.count], ['ESTABLISHED', 4]);
      assert.ok(forgotten?.samples.every(({ local, peer }) => [local.port, peer.port].includes(7001)));
      assert.equal([ghosts?.state, ghosts?.count, ghosts?.keptLong], ['ESTABLISHED', 4, 4]);
      assert.ok(ghosts?.samples.every(({ peer }) => peer.port === 7002));
      assert.equal([diverging.untracked, diverging.disbelief], [0, undefined]);
    },
    CONNTRACK,
  );

  test(
    'are not compared where no rule uses conntrack, and what a rule keeps away is not missed',
    async () => {
      await using ns = await makeNetns('untracked');
      await using _server = await serve(ns, 7000, 7003);
      await using watching = watch(ns);
      const idle = await divergenceWhere(watching, () => true);
      assert.equal([idle.disbelief, idle.sockets], ['conntrack-idle', 0]);
      await track(ns, 'th dport 7003 notrack', 'th sport 7003 notrack');
      await using _tracked = await open(ns, { port: 7000, count: 1 });
      await using _untracked = await open(ns, { port: 7003, count: 3, chat: 'chat' });
      const compared = await divergenceWhere(watching, ({ untracked }) => untracked === 6);
      assert.equal([compared.flows, compared.socketsWithoutFlow, compared.unsettled], [1, [], 0]);
    },
    CONNTRACK,
  );
});

/** Has a rule that uses conntrack, and others that come before it. */
async function track(ns: Netns, ...first: readonly string[]): Promise<void> {
  const chains = [
    'chain inet t in { type filter hook input priority 0; }',
    'chain inet t pre { type filter hook prerouting priority -300; }',
    'chain inet t out { type filter hook output priority -300; }',
  ];
  const rules = first.flatMap((rule) => ['pre', 'out'].map((chain) => `${chain} meta l4proto tcp ${rule}`));
  const adds = [
    'table inet t',
    ...chains,
    'rule inet t in ct state invalid drop',
    ...rules.map((rule) => `rule inet t ${rule}`),
  ];
  await ns.run('nft', adds.map((each) => `add ${each}`).join('; '));
}

async function divergenceWhere(
  watching: Child,
  passes: (divergence: Divergence) => boolean,
): Promise<Divergence> {
  const sweep = await sweepWhere(
    watching,
    'a comparison',
    ({ conntrack }) => conntrack?.divergence !== undefined && passes(conntrack.divergence),
  );
  if (sweep.conntrack?.divergence === undefined) throw new Error('nothing was compared');
  return sweep.conntrack.divergence;
}
