import * as assert from 'uvu/assert';
import type { FinwaitError } from '#base/errors.ts';
import { streamEvents } from '../../cli/event-stream.ts';
import { NetlinkError } from '../../daemon/kernel/netlink-socket.ts';
import { spec } from '../harness.ts';
import { caughtIo } from './tables-fixture.ts';

const ENOMEM = 12;

spec('lines for events', (test) => {
  test('tells in words when the kernel refuses to give events any more, after what it gave', async () => {
    let reads = 0;
    const source = {
      counters: { foreignSender: 0, truncated: 0, overflows: 0 },
      read(onDatagram: (view: DataView, from: number, to: number) => void): 'more' {
        if (reads++ > 0) throw new NetlinkError(ENOMEM, 'read events');
        onDatagram(new DataView(new ArrayBuffer(1)), 0, 1);
        known = 'an event';
        return 'more';
      },
    };
    const io = caughtIo();
    const lost = { code: 'CONNTRACK_EVENTS_LOST', message: '', hint: '' } as const;
    let known = '';
    const linesOf = () => [() => known];
    const failed = await streamEvents(io, {
      ...{ sources: [source], linesOf, lost },
      ...{ limit: Number.POSITIVE_INFINITY, json: false },
    }).catch((error: FinwaitError) => error);
    if (typeof failed === 'number') throw new Error('it ended well');
    assert.equal(
      [failed.code, failed.message],
      ['NETLINK_FAILED', 'read events: ENOMEM (not enough memory)'],
    );
    assert.equal(io.lines(), ['an event']);
  });

  test('lets no name of a program write to the terminal', async () => {
    const source = {
      counters: { foreignSender: 0, truncated: 0, overflows: 0 },
      read(onDatagram: (view: DataView, from: number, to: number) => void): 'empty' {
        onDatagram(new DataView(new ArrayBuffer(1)), 0, 1);
        return 'empty';
      },
    };
    const io = caughtIo();
    const lost = { code: 'SOCKET_EVENTS_LOST', message: '', hint: '' } as const;
    const linesOf = () => ['\u001b[31mEVIL\u0007/45'];
    await streamEvents(io, { sources: [source], linesOf, lost, limit: 1, json: false });
    assert.equal(io.lines(), ['?[31mEVIL?/45']);
  });
});
