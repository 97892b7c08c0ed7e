import * as assert from 'uvu/assert';
import { HolderTable } from '../../cli/flow-owners.ts';
import { spec } from '../harness.ts';
import { flow, socket } from './tables-fixture.ts';

const HERE = 1;
const POD = { uid: 'p', containerId: 'c' };
const WEB = { pid: 7, name: 'nginx' };

function table(): HolderTable {
  const holders = new HolderTable(HERE);
  holders.addAddress('192.0.2.1', { inode: HERE, pod: null, podName: null });
  holders.addAddress('10.244.0.5', { inode: 2, pod: { uid: 'p' }, podName: 'default/web' });
  holders.addAddress('127.0.0.1', { inode: 2, pod: { uid: 'p' }, podName: 'default/web' });
  return holders;
}

spec('whose the ends of a flow are', (test) => {
  test('is told by the sockets, that of who accepted by where NAT sends it and as whom it comes', () => {
    const holders = table();
    const [source, destination] = [
      { address: '10.244.0.5', port: 40_000 },
      { address: '10.96.0.1', port: 80 },
    ];
    const [natSource, natDestination] = [
      { address: '192.0.2.1', port: 61_000 },
      { address: '192.0.2.1', port: 8080 },
    ];
    holders.addSocket(
      socket({ netns: 2, local: source, peer: destination, pod: POD, podName: 'default/web' }),
    );
    holders.addSocket(socket({ netns: HERE, local: natDestination, peer: natSource, process: WEB }));
    const { opener, acceptor } = holders.of(flow({ source, destination, natSource, natDestination }));
    assert.equal([opener?.process?.name, opener?.podName, opener?.pod], ['curl', 'default/web', POD]);
    assert.equal([acceptor?.process, acceptor?.attribution, acceptor?.pod], [WEB, 'socket', null]);
  });

  test('is told by addresses and listeners where there is no socket any more', () => {
    const holders = table();
    const listener = socket({ state: 'LISTEN', netns: 2, process: WEB, pod: POD, dualStack: true });
    holders.addSocket({ ...listener, local: { address: '::', port: 80 }, peer: { address: '::', port: 0 } });
    const toPod = holders.of(
      flow({ source: { address: '192.0.2.9', port: 1 }, destination: { address: '10.244.0.5', port: 80 } }),
    );
    assert.equal(toPod, {
      opener: null,
      acceptor: { process: WEB, attribution: 'listener', pod: { uid: 'p' }, podName: 'default/web' },
    });
    const fromPod = holders.of(flow({ source: { address: '10.244.0.5', port: 80 } }));
    // Who listens on the port it comes from did not open it.
    assert.equal(
      [fromPod.opener?.process, fromPod.opener?.attribution, fromPod.opener?.podName, fromPod.acceptor],
      [null, 'unknown', 'default/web', null],
    );
  });

  test('of several that listen on one port is the one on the address, else the one on any', () => {
    const holders = table();
    const listen = (address: string, name: string, changes = {}) =>
      holders.addSocket(
        socket({
          ...{ state: 'LISTEN', netns: HERE, local: { address, port: 53 }, peer: { address, port: 0 } },
          ...{ process: { pid: 7, name }, ...changes },
        }),
      );
    const acceptor = () => {
      const destination = { address: '192.0.2.1', port: 53 };
      return holders.of(flow({ source: { address: '192.0.2.9', port: 1 }, destination })).acceptor?.process
        ?.name;
    };
    listen('::', 'of IPv6 alone');
    assert.is(acceptor(), undefined);
    listen('::', 'of both', { dualStack: true });
    listen('127.0.0.53', 'elsewhere');
    assert.is(acceptor(), 'of both');
    listen('0.0.0.0', 'any');
    assert.is(acceptor(), 'any');
    listen('192.0.2.1', 'here');
    listen('127.0.0.54', 'elsewhere');
    assert.is(acceptor(), 'here');
  });

  test('may be a process that may not be seen, also where it only listens', () => {
    const holders = table();
    const local = { address: '192.0.2.1', port: 80 };
    const peer = { address: '0.0.0.0', port: 0 };
    holders.addSocket(socket({ state: 'LISTEN', netns: HERE, local, peer, process: null, inode: 5 }));
    const ends = holders.of(flow({ source: { address: '192.0.2.9', port: 1 }, destination: local }));
    assert.is(holders.hasHidden(ends), true);
  });

  test('tells an end on this machine that nobody holds from one that is elsewhere', () => {
    const [here, elsewhere] = ['192.0.2.1', '192.0.2.9'];
    const from = (address: string) => table().of(flow({ source: { address, port: 40_000 } })).opener;
    assert.equal(from(here), { process: null, attribution: 'unknown', pod: null, podName: null });
    assert.is(from(elsewhere), null);
  });

  test('does not take the loopback of another namespace for this one', () => {
    const holders = table();
    const [source, destination] = [
      { address: '127.0.0.1', port: 40_000 },
      { address: '127.0.0.1', port: 80 },
    ];
    holders.addSocket(socket({ netns: 2, local: source, peer: destination }));
    assert.equal(holders.of(flow({ source, destination })), { opener: null, acceptor: null });
    holders.addSocket(socket({ netns: HERE, local: source, peer: destination }));
    assert.is(holders.of(flow({ source, destination })).opener?.process?.name, 'curl');
  });
});
