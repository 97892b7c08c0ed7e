import * as assert from 'uvu/assert';
import { EAFNOSUPPORT, EPERM } from '../../../daemon/kernel/libc.ts';
import { NetlinkError } from '../../../daemon/kernel/netlink-socket.ts';
import type { Listener } from '../../../daemon/track/conntrack-events.ts';
import { ConntrackEvents } from '../../../daemon/track/conntrack-events.ts';
import { spec } from '../../harness.ts';

const ENOMEM = 12;

/** Listening to a kernel that is told what to refuse. */
function listening({ queueForced = true } = {}) {
  const kernel = {
    refuses: undefined as number | undefined,
    fails: undefined as number | undefined,
    open: 0,
  };
  const open = (): Listener => {
    if (kernel.refuses !== undefined) throw new NetlinkError(kernel.refuses, 'listen for events');
    kernel.open++;
    return {
      queueForced,
      counters: { foreignSender: 1, truncated: 2, overflows: 0 },
      read() {
        if (kernel.fails !== undefined) throw new NetlinkError(kernel.fails, 'read events');
        return 'empty';
      },
      [Symbol.dispose]() {
        kernel.open--;
      },
    };
  };
  const events = new ConntrackEvents(1 << 20, open);
  return { kernel, events, read: () => events.read(() => {}, 10) };
}

spec('listening to conntrack', (test) => {
  test('is tried again where it was refused, and what was missed is told', () => {
    const { kernel, events, read } = listening();
    kernel.refuses = EPERM;
    events.listen();
    assert.equal([events.listening, events.refusal?.code, read()], [false, 'CONNTRACK_DENIED', 'empty']);
    kernel.refuses = EAFNOSUPPORT;
    events.listen();
    assert.equal(
      [events.refusal?.code, events.refusal?.message],
      ['CONNTRACK_DENIED', 'events of conntrack may not be read'],
    );
    kernel.refuses = undefined;
    events.listen();
    assert.equal([events.listening, events.refusal], [true, undefined]);
    assert.equal([read(), read()], ['gap', 'empty']);
  });

  test('that breaks off ends nothing else, and begins again', () => {
    const { kernel, events, read } = listening();
    events.listen();
    assert.is(read(), 'empty');
    kernel.fails = ENOMEM;
    assert.equal([read(), read()], ['gap', 'empty']);
    assert.equal([events.listening, kernel.open, events.refusal?.code], [false, 0, 'NETLINK_FAILED']);
    kernel.fails = undefined;
    events.listen();
    assert.equal([read(), read(), kernel.open], ['gap', 'empty', 1]);
    assert.equal(events.counters, { failures: 1, foreignSender: 2, truncated: 4 });
  });

  test('does not hide a fault of its own', () => {
    const faulty = () => {
      throw new TypeError('a bug');
    };
    const broken = new ConntrackEvents(1, faulty);
    assert.throws(() => broken.listen(), /a bug/);
  });

  test('says what is to be done about events that were lost: a short queue needs another remedy', () => {
    const hint = (queueForced: boolean) => {
      const { events } = listening({ queueForced });
      events.listen();
      return events.loss.hint;
    };
    assert.match(hint(true), /processor time/);
    assert.match(hint(false), /rmem_max/);
  });
});
