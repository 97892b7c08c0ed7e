import { readFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import * as libc from '../../daemon/kernel/libc.ts';
import { NetlinkEvents } from '../../daemon/kernel/netlink-events.ts';
import { NetlinkError } from '../../daemon/kernel/netlink-socket.ts';
import { spec } from '../harness.ts';

// A family through which any process may speak to others, and whose groups nobody uses.
const NETLINK_USERSOCK = 2;
const GROUP = 30;

function listen(options: { queueBytes?: number; filter?: Uint8Array } = {}): NetlinkEvents {
  return new NetlinkEvents({ protocol: NETLINK_USERSOCK, groups: [GROUP], queueBytes: 1 << 20, ...options });
}

/** Sends to the group, whose members lose what they have no room for. */
function send(count: number, bytes = 64): void {
  const fd = libc.socket(libc.AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC, NETLINK_USERSOCK);
  const address = new DataView(new ArrayBuffer(12));
  address.setUint16(0, libc.AF_NETLINK, true);
  address.setUint32(8, 1 << (GROUP - 1), true);
  try {
    for (let turn = 0; turn < count; turn++) {
      libc.sendTo(fd, new Uint8Array(bytes), 0, new Uint8Array(address.buffer));
    }
  } finally {
    libc.close(fd);
  }
}

const never = () => assert.unreachable('nobody but the kernel is believed');

spec(
  'a netlink socket that listens',
  (test) => {
    test('has nothing to read until something comes', () => {
      using events = listen();
      assert.is(events.read(never, 1_000), 'empty');
    });

    test(
      'believes nobody but the kernel, and counts what others send',
      () => {
        using events = listen();
        // More than one call takes, and one longer than a slot.
        send(99);
        send(1, 9_000);
        assert.is(events.read(never, 1_000), 'empty');
        assert.equal(events.counters, { foreignSender: 100, truncated: 0, overflows: 0 });
      },
      { needs: ['root'] },
    );

    test(
      'stops where it is told to',
      () => {
        using events = listen();
        send(200);
        assert.is(events.read(never, 100), 'more');
        assert.is(events.counters.foreignSender, 128);
        assert.is(events.read(never, 100), 'empty');
      },
      { needs: ['root'] },
    );

    test(
      'tells a queue that was full from one that is empty, and what was in it is not lost',
      () => {
        using events = listen({ queueBytes: 16 << 10 });
        send(1_000);
        assert.is(events.read(never, 1_000), 'overflowed');
        assert.is(events.read(never, 1_000), 'empty');
        const { overflows, foreignSender } = events.counters;
        assert.is(overflows, 1);
        assert.ok(foreignSender > 1 && foreignSender < 1_000, `${foreignSender}`);
        // Emptied, it takes new ones.
        send(1);
        events.read(never, 1_000);
        assert.is(events.counters.foreignSender, foreignSender + 1);
      },
      { needs: ['root'] },
    );

    test(
      'has the kernel drop what its filter rejects',
      () => {
        // ret 0
        using events = listen({ filter: Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0) });
        send(10);
        assert.is(events.read(never, 1_000), 'empty');
        assert.is(events.counters.foreignSender, 0);
      },
      { needs: ['root'] },
    );

    test('fails when the kernel takes no such filter, and leaves nothing open', () => {
      const open = () => readFileSync('/proc/thread-self/net/netlink', 'utf8').split('\n').length;
      const before = open();
      assert.throws(
        () => listen({ filter: Uint8Array.of(0xff, 0xff, 0, 0, 0, 0, 0, 0) }),
        (error: unknown) => error instanceof NetlinkError && error.errno === libc.EINVAL,
      );
      assert.is(open(), before);
    });
  },
  { exclusive: true },
);
