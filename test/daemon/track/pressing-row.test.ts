import * as assert from 'uvu/assert';
import { ProcessTable } from '../../../daemon/track/processes.ts';
import { SocketTable } from '../../../daemon/track/socket-table.ts';
import { spec } from '../../harness.ts';
import { diagMessage, STATE, show } from './diag-message.ts';
import { makeFakeProc } from './fake-proc.ts';

spec('the sockets as port pressure counts them', (test) => {
  test('are the same in numbers as they are as objects', async () => {
    await using proc = await makeFakeProc();
    const ends = ['10.0.0.1', '127.0.0.9', '[::ffff:10.0.0.1]', '[2001:db8::1]', '[::1]', '[1::]'];
    const rows = ends.flatMap((local) =>
      ends.map((peer, at) => {
        const [state, bindAddressNoPort] = [at % 2 === 0 ? STATE.established : STATE.timeWait, at > 2];
        return { state, local: `${local}:${40_000 + at}`, peer: `${peer}:443`, bindAddressNoPort };
      }),
    );
    const messages = [...rows, { state: STATE.listen, local: '10.0.0.1:80' }].map(diagMessage);
    const table = new SocketTable({
      dump: (onSocket) => show(messages, onSocket),
      processes: new ProcessTable({ procRoot: proc.path }),
      maxTracked: 1_000,
      ephemeralFrom: 32_768,
    });
    table.sweep(1_000);
    const isLoopback = (address: string) => address === '::1' || address.startsWith('127.');
    const told = Array.from(table.pressing(), (numbers) => ({
      ...table.endsOf(numbers.row),
      localPort: numbers.localPort,
      towards: numbers.towards,
      onLoopback: numbers.onLoopback,
      state: numbers.state,
      sinceMs: numbers.sinceMs,
      direction: numbers.direction,
      bindAddressNoPort: numbers.bindAddressNoPort,
    }));
    assert.equal(
      told.map(({ towards: _, ...rest }) => rest),
      Array.from(table.sockets(), ({ local, peer, state, sinceMs, direction, bindAddressNoPort }) => ({
        source: local.address,
        destination: peer,
        localPort: local.port,
        onLoopback: isLoopback(local.address) || isLoopback(peer.address),
        state,
        sinceMs,
        direction,
        bindAddressNoPort,
      })),
    );
    const groupsBy = (of: (each: (typeof told)[number]) => unknown) => new Set(told.map(of)).size;
    const byText = groupsBy(({ source, destination: { address, port } }) => `${source} ${address} ${port}`);
    assert.equal([groupsBy(({ towards }) => towards), byText < told.length], [byText, true]);
  });
});
