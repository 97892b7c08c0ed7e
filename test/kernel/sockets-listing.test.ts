/** How much `finwait sockets` asks for, and that what it leaves out is not missed. */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import * as assert from 'uvu/assert';
import type { SocketGroup } from '../../cli/sockets-groups.ts';
import type { SocketRow } from '../../cli/sockets-rows.ts';
import { noNetlinkFaults } from '../../daemon/kernel/netlink-socket.ts';
import { KERNEL_STATE } from '../../daemon/netlink/inet-diag.ts';
import { dumpSockets } from '../../daemon/track/dumps.ts';
import { spec } from '../harness.ts';
import { makeNetns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { COMMAND, NOBODY, needs, rowsOf, startScene } from './sockets-scene.ts';

spec('what finwait sockets asks for', (test) => {
  test(
    'asks the kernel for the states that are wanted, and finds the same owners for few as for all',
    async () => {
      await using ns = await makeNetns('socks');
      await using scene = await startScene(ns, 3, 2);
      const nameOf = ({ cookie, state, process, attribution, direction, pod }: SocketRow) =>
        [cookie, state, process?.pid, attribution, direction, pod?.uid].join(' ');
      const all = (await rowsOf(ns, '-s', 'all')).map(nameOf);
      for (const [args, expected] of [
        [['-s', 'close-wait'], 3],
        [['-s', 'close-wait', '-n', '1'], 1],
        [['-s', 'time-wait', '-n', '2', '--sort', 'age'], 2],
        [['-l'], 1],
        [['-p', String(scene.pid), '-s', 'close-wait', '-n', '2'], 2],
        [['--peer', '127.0.0.0/8', '-s', 'fin-wait-2', '-n', '2'], 2],
      ] as const) {
        const some = (await rowsOf(ns, ...args)).map(nameOf);
        assert.equal(
          [some.length, some.filter((each) => !all.includes(each))],
          [expected, []],
          args.join(' '),
        );
      }
      const text = await ns.run(process.execPath, ...COMMAND, '-s', 'close-wait', '-n', '1');
      assert.match(text, /^3 sockets \(1 shown\): 3 CLOSE-WAIT$/m);
      assert.match(await ns.run(process.execPath, ...COMMAND), /^8 of 9 sockets: /m);
      const flooded = JSON.parse(await ns.run(process.execPath, ...COMMAND, '--by', 'port', '--json'));
      assert.equal(
        flooded.map(({ direction, count }: SocketGroup) => `${direction} ${count}`),
        ['outbound 5', 'inbound 3'],
      );
    },
    { needs },
  );

  test(
    'names who listens for the few rows that are shown and nobody holds',
    async () => {
      await using ns = await makeNetns('socks');
      // The server closes first, so the TIME-WAIT is on its port.
      const script = `const { connect, createServer } = require('node:net');
        const server = createServer({ allowHalfOpen: true }, (socket) => socket.end().resume());
        server.listen(0, '127.0.0.1', () => {
          connect(server.address().port, '127.0.0.1').resume().on('close', () => console.log('ready'));
        });`;
      await using server = ns.start(process.execPath, ['-e', script]);
      await server.output(/ready/);
      const rows = await until('TIME-WAIT', async () => {
        const few = await rowsOf(ns, '-s', 'time-wait', '-n', '1');
        return few.length > 0 ? few : undefined;
      });
      assert.equal(
        rows.map(({ process, attribution, direction }) => [process?.pid, attribution, direction]),
        [[server.pid, 'listener', 'inbound']],
      );
    },
    { needs },
  );

  test('a dump has the sockets of the states that it is asked for', async () => {
    await using server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(client, 'connect');
    const states = new Set<number>();
    const onSocket = (view: DataView, from: number) => void states.add(view.getUint8(from + 1));
    dumpSockets(onSocket, noNetlinkFaults(), { states: 1 << KERNEL_STATE.LISTEN });
    client.destroy();
    assert.equal([...states], [KERNEL_STATE.LISTEN]);
  });

  test(
    'says who may not see that processes are why a filter finds none, and that a name is nobody',
    async () => {
      await using ns = await makeNetns('socks');
      await using scene = await startScene(ns, 1, 0);
      const asked = ['--process', String(scene.pid), '-s', 'close-wait'];
      const blind = await ns.try('setpriv', ...NOBODY, process.execPath, ...COMMAND, ...asked);
      assert.match(blind.stdout, /^0 sockets$/m);
      assert.match(blind.stderr, /PROCESS_NAMES_PARTIAL/);
      const seen = await ns.try(process.execPath, ...COMMAND, ...asked);
      assert.equal([/^1 sockets: 1 CLOSE-WAIT$/m.test(seen.stdout), seen.stderr], [true, '']);
      // A process without such a socket is no typing error.
      const other = await ns.try(process.execPath, ...COMMAND, '--process', String(process.pid));
      assert.equal([other.code, other.stderr], [0, '']);
      for (const [option, says] of [
        ['--process', /note: no process is seen whose name contains, or whose id is "no-such-name"/],
        ['--pod', /note: no pod is known whose name, UID or container id begins with "no-such-name"/],
      ] as const) {
        const { code, stderr } = await ns.try(process.execPath, ...COMMAND, option, 'no-such-name');
        assert.is(code, 0);
        assert.match(stderr, says);
      }
    },
    { needs },
  );
});
