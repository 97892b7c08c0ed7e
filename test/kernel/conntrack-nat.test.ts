import * as assert from 'uvu/assert';
import type { FlowRow } from '../../cli/conntrack-rows.ts';
import { spec } from '../harness.ts';
import type { Netns } from '../support/netns.ts';
import { joinNetns, makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { ask, startFollower } from './conntrack-follower.ts';
import { flowsByConntrack, flowTexts } from './tables-oracles.ts';

const QUEUE_BYTES = 1 << 20;

/** Accepts connections of both families and keeps them. */
const SERVER = `
  require('node:net').createServer(() => {}).listen(8080, '::', () => console.log('listening'));
`;
/** Opens a connection to each \`HOST PORT\` of its arguments, and keeps them. */
const CLIENT = `
  const [, ...args] = process.argv;
  const open = (at) => at < args.length
    ? require('node:net').connect({ host: args[at], port: Number(args[at + 1]) }, () => open(at + 2))
    : console.log('connected');
  open(0);
`;

/** Both services are NAT to the server's port, sources are masqueraded; what goes to 8080 itself is in a zone, and marked. */
const ROUTER = `
  add table inet fw
  add chain inet fw raw { type filter hook prerouting priority -300; }
  add rule inet fw raw iifname "eth0" tcp dport 8080 ct zone set 7
  add rule inet fw raw iifname "eth1" tcp sport 8080 tcp dport != 5000-5999 ct zone set 7
  add chain inet fw marks { type filter hook forward priority 0; }
  add rule inet fw marks tcp dport 8080 ct mark set 42
  add chain inet fw to { type nat hook prerouting priority -100; }
  add rule inet fw to ip daddr 10.96.0.10 tcp dport 80 dnat ip to 10.9.2.2:8080
  add rule inet fw to ip6 daddr fd00:96::10 tcp dport 80 dnat ip6 to [fd00:9:2::2]:8080
  add chain inet fw as { type nat hook postrouting priority 100; }
  add rule inet fw as oifname "eth1" tcp dport 8080 ct mark 42 ct status dnat masquerade to :5000-5999
`;

async function twoSides(): Promise<{ client: Netns; router: Netns; server: Netns } & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const [client, router, server] = [
    stack.use(await makeNetns('client')),
    stack.use(await makeNetns('router')),
    stack.use(await makeNetns('server')),
  ];
  const near = {
    addressesA: ['10.9.1.2/24', 'fd00:9:1::2/64'],
    addressesB: ['10.9.1.1/24', 'fd00:9:1::1/64'],
  };
  await joinNetns(client, router, { device: 'eth0', ...near });
  const far = {
    addressesA: ['10.9.2.1/24', 'fd00:9:2::1/64'],
    addressesB: ['10.9.2.2/24', 'fd00:9:2::2/64'],
  };
  await joinNetns(router, server, { device: 'eth1', ...far });
  await client.run('ip', 'route', 'add', 'default', 'via', '10.9.1.1');
  await client.run('ip', '-6', 'route', 'add', 'default', 'via', 'fd00:9:1::1');
  await server.run('ip', 'route', 'add', 'default', 'via', '10.9.2.1');
  await server.run('ip', '-6', 'route', 'add', 'default', 'via', 'fd00:9:2::1');
  await router.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  for (const rule of ROUTER.trim().split('\n')) await router.run('nft', rule.trim());
  return { client, router, server, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

function textOf({ state, source, destination, natSource, natDestination, zone, mark }: FlowRow): string {
  const end = ({ address, port }: FlowRow['source']) => `${address} ${port}`;
  const reply = `${end(natDestination ?? destination)}>${end(natSource ?? source)}`;
  return `${state} ${end(source)}>${end(destination)} ${reply} zone ${zone} mark ${mark}`;
}

async function flowsByFinwait(ns: Netns): Promise<FlowRow[]> {
  return JSON.parse(await ns.run(process.execPath, 'cli/main.ts', 'conntrack', '--json')) as FlowRow[];
}

spec('conntrack of a router', (test) => {
  const needs = ['netns', 'nft', 'conntrack-tool', 'netfilter-conntrack'] as const;

  test(
    'shows NAT of both ends at once, zones and marks as conntrack does, for both families',
    async () => {
      await using sides = await twoSides();
      const { client, router, server } = sides;
      await using listening = server.start(process.execPath, ['-e', SERVER]);
      await listening.output(/listening/);
      const targets = [
        ...['10.96.0.10', '80', 'fd00:96::10', '80'],
        ...['10.9.2.2', '8080', 'fd00:9:2::2', '8080'],
      ];
      await using connected = client.start(process.execPath, ['-e', CLIENT, ...targets]);
      await connected.output(/connected/);
      const flows = await flowsByFinwait(router);
      assert.equal(flows.map(textOf).sort(), flowTexts(await flowsByConntrack(router)));
      const bothEnds = flows.filter(
        ({ natSource, natDestination }) => natSource !== null && natDestination !== null,
      );
      assert.equal(
        bothEnds.map(({ natSource, natDestination }) => [natSource?.address, natDestination]).sort(),
        [
          ['10.9.2.1', { address: '10.9.2.2', port: 8080 }],
          ['fd00:9:2::1', { address: 'fd00:9:2::2', port: 8080 }],
        ],
      );
      for (const { natSource } of bothEnds) {
        assert.ok(
          (natSource?.port ?? 0) >= 5000 && (natSource?.port ?? 0) < 6000,
          'the port is another, too',
        );
      }
      const zoned = flows.filter(({ zone }) => zone === 7);
      assert.equal(zoned.map(({ destination }) => destination.address).sort(), ['10.9.2.2', 'fd00:9:2::2']);
      assert.ok(flows.every(({ mark, state }) => mark === 42 && state === 'ESTABLISHED'));
    },
    { needs },
  );

  test(
    'keeps flows apart that differ by their zone alone, in whichever direction it holds',
    async () => {
      await using ns = await makeNetns('zones');
      const same =
        '-I -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 --state ESTABLISHED -u SEEN_REPLY -t 600';
      // Their answers have to differ as well, where the zone does not hold for them.
      const answers = '-r 10.0.0.2 -q 10.0.0.1 --reply-port-src 2 --reply-port-dst 99';
      for (const zone of ['', ' --zone 5', ` --orig-zone 6 ${answers}`]) {
        await ns.run('conntrack', ...`${same}${zone}`.split(/ +/));
      }
      const other =
        '-I -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 3 --state ESTABLISHED -u SEEN_REPLY -t 600';
      await ns.run('conntrack', ...other.split(' '), '--reply-zone', '8');
      const flows = await flowsByFinwait(ns);
      assert.equal(flows.map(textOf).sort(), flowTexts(await flowsByConntrack(ns)));
      assert.equal(flows.map(({ zone }) => zone).sort(), [0, 0, 5, 6]);
      await using follower = await startFollower(ns, QUEUE_BYTES);
      assert.equal((await ask(follower)).flows, flowTexts(await flowsByConntrack(ns)));
      await ns.run('conntrack', '-D', '-p', 'tcp', '--zone', '5');
      await ns.run('conntrack', ...`${same} --zone 11`.split(' '));
      const theirs = flowTexts(await flowsByConntrack(ns));
      // The kernel may tell no end of a flow that began before anybody listened: two dumps have to miss it.
      await until('the flows of conntrack in the table', async () => {
        const { flows } = await ask(follower);
        return flows.join() === theirs.join() ? true : undefined;
      });
    },
    { needs },
  );
});
