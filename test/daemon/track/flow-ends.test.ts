import * as assert from 'uvu/assert';
import { FlowRecord } from '../../../daemon/netlink/flow-record.ts';
import { viewOf } from '../../../daemon/netlink/message.ts';
import { spec } from '../../harness.ts';
import { flowMessage } from './flow-message.ts';
import { FLOW, tableOf } from './flow-scene.ts';

spec('how flows end', (test) => {
  test('tells why a flow ended', () => {
    for (const [state, timeoutS, status, reason] of [
      ['TIME_WAIT', 0, 0x0e, 'closed'],
      ['CLOSE', 0, 0x0e, 'reset'],
      ['SYN_SENT', 0, 0, 'unanswered'],
      // Evicted from a full table, or deleted: a RST leaves it in CLOSE.
      ['SYN_SENT', 119, 0, 'removed'],
      ['CLOSE', 10, 0, 'refused'],
      ['SYN_RECV', 0, 2, 'handshake-timeout'],
      ['ESTABLISHED', 0, 0x0e, 'idle-timeout'],
      ['ESTABLISHED', 431_000, 0x0e, 'removed'],
      ['CLOSE_WAIT', 0, 0x0e, 'half-closed-timeout'],
      ['LAST_ACK', 0, 0x0e, 'last-ack-timeout'],
      ['TIME_WAIT', 60, 0x0e, 'removed'],
      ['CLOSE', 5, 0x0e, 'removed'],
    ] as const) {
      const { begun, ended, ends, reasons } = tableOf();
      begun({ ...FLOW, state: 'SYN_SENT' });
      ended({ ...FLOW, state, timeoutS, status });
      ends.settle(60_000);
      assert.equal(reasons(), { [reason]: 1 }, `${state} ${timeoutS}`);
    }
  });

  test('takes a flow that was over for reused when another of its name follows at once', () => {
    const { begun, ended, ends, reasons } = tableOf();
    const last = { ...FLOW, state: 'TIME_WAIT', timeoutS: 60, status: 0x0e } as const;
    begun({ ...FLOW, state: 'SYN_SENT' });
    ended(last, 1_000);
    // Another name proves nothing.
    begun({ ...FLOW, source: '10.0.0.1:2', state: 'SYN_SENT' }, 1_000);
    begun({ ...FLOW, zone: 3, state: 'SYN_SENT' }, 1_000);
    ends.settle(1_999);
    assert.equal(reasons(), {});
    begun({ ...FLOW, state: 'SYN_SENT' }, 1_999);
    assert.equal(reasons(), { reused: 1 });
    ended(last, 2_000);
    ends.settle(3_000);
    begun({ ...FLOW, state: 'SYN_SENT' }, 3_000);
    assert.equal(reasons(), { reused: 1, removed: 1 });
  });

  test('remembers few ends that may have a successor', () => {
    const { begun, ended, ends, reasons } = tableOf({ maxFlows: 10_000 });
    for (let port = 1; port <= 5_000; port++) {
      const flow = { ...FLOW, source: `10.0.0.1:${port}` };
      begun({ ...flow, state: 'SYN_SENT' });
      ended({ ...flow, state: 'TIME_WAIT', timeoutS: 60, status: 0x0e }, 1_000);
    }
    assert.ok((reasons().removed ?? 0) >= 5_000 - 4_096);
    ends.settle(2_000);
    assert.equal(reasons(), { removed: 5_000 });
  });

  test('takes the state that it knows where the kernel does not tell that of the end', () => {
    const { begun, table, reasons } = tableOf();
    begun({ ...FLOW, state: 'CLOSE_WAIT' });
    const payload = flowMessage({ ...FLOW, state: 'CLOSE_WAIT', timeoutS: 0 });
    const record = new FlowRecord();
    record.read(viewOf(payload), 0, payload.length);
    record.tcpState = -1;
    table.ended(viewOf(payload), record, 0);
    assert.equal(reasons(), { 'half-closed-timeout': 1 });
  });

  test('tells lifetimes by time stamps, else by the event of the begin, else not', () => {
    const { begun, changed, ended, ends } = tableOf();
    begun({ ...FLOW, state: 'SYN_SENT' }, 1_000);
    ended({ ...FLOW, state: 'TIME_WAIT' }, 3_000);
    begun({ ...FLOW, state: 'SYN_SENT' }, 1_000);
    ended({ ...FLOW, state: 'TIME_WAIT', startMs: 1_700_000_000_000, stopMs: 1_700_000_000_050 }, 9_000);
    changed({ ...FLOW, state: 'ESTABLISHED' }, 1_000);
    ended({ ...FLOW, state: 'TIME_WAIT' }, 3_000);
    const [, , upTo5s] = ends.lifetimes.seen;
    assert.equal([upTo5s, ends.lifetimes.kernel[0], ends.unknownLifetimes], [1, 1, 1]);
    assert.is(
      [...ends.lifetimes.seen, ...ends.lifetimes.kernel].reduce((a, b) => a + b),
      2,
    );
  });
});
