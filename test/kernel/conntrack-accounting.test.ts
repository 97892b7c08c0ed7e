import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { ask, startFollower } from './conntrack-follower.ts';
import { flowsByConntrack } from './tables-oracles.ts';

const QUEUE_BYTES = 1 << 20;
const RULES =
  'add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in ct state invalid drop';
/** Each SIGUSR2 makes a connection that carries data both ways and stays; then its port is told. */
const PROGRAM = `
  const net = require('node:net');
  const server = net.createServer((s) => s.on('data', () => s.write(Buffer.alloc(50_000))));
  server.listen(7000, '127.0.0.1', () => console.log('listening'));
  const open = [];
  process.on('SIGUSR2', () => {
    const client = net.connect(7000, '127.0.0.1', () => client.write('hello'));
    let left = 50_000;
    client.on('data', (data) => { left -= data.length; if (left === 0) console.log(client.localPort); });
    open.push(client);
  });
`;

spec('what the kernel counts and stamps', (test) => {
  test(
    'of flows is in the table as conntrack -L has it, from those on that began when it was set to',
    async () => {
      await using ns = await makeNetns('acct');
      await ns.run('nft', RULES);
      const set = (setting: string, value: number) =>
        ns.run('sysctl', '-qw', `net.netfilter.${setting}=${value}`);
      await set('nf_conntrack_acct', 0);
      await set('nf_conntrack_timestamp', 0);
      await using program = ns.start(process.execPath, ['-e', PROGRAM]);
      await program.output(/listening\n/);
      const connect = async () => {
        const after = program.stdout.length;
        program.kill('SIGUSR2');
        const [, port = ''] = await program.output(/(\d+)\n/, { after });
        return port;
      };
      const plain = await connect();
      await using follower = await startFollower(ns, QUEUE_BYTES, 'dumps');
      const off = await ask(follower);
      assert.equal(off.counted, {});
      assert.equal([off.activity?.settings.accounting, off.activity?.settings.timestamps], [false, false]);
      assert.equal([off.activity?.sourcesByBytes, off.activity?.oldestFlowMs], [undefined, undefined]);

      await set('nf_conntrack_acct', 1);
      await set('nf_conntrack_timestamp', 1);
      const port = await connect();
      // The last acknowledgements may still be on their way.
      const { counted, activity } = await until('the counts of conntrack', async () => {
        const followed = await ask(follower);
        const theirs = (await flowsByConntrack(ns)).find(({ tuples }) =>
          tuples.startsWith(`127.0.0.1 ${port}>`),
        );
        return followed.counted[port] === theirs?.counters ? followed : undefined;
      });
      assert.equal(Object.keys(counted), [port]);
      assert.equal([activity?.settings.accounting, activity?.settings.timestamps], [true, true]);
      assert.ok((activity?.oldestFlowMs ?? -1) >= 0);
      const [most] = activity?.destinationsByBytes ?? [];
      assert.equal([most?.address, most?.port, most?.count], ['127.0.0.1', 7_000, 2]);
      assert.ok((most?.received?.bytes ?? 0) > 50_000 && (most?.sent?.packets ?? 0) > 2);
      assert.not.equal(plain, port);
    },
    { needs: ['netns', 'netfilter-conntrack', 'conntrack-tool', 'nft'] },
  );
});
