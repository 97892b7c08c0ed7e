import * as assert from 'uvu/assert';
import type { ConntrackTcpState } from '../../../daemon/netlink/ctnetlink.ts';
import { readFlows } from '../../../daemon/track/conntrack-flows.ts';
import { ConntrackTable } from '../../../daemon/track/conntrack-table.ts';
import { spec } from '../../harness.ts';
import type { FlowFields } from './flow-message.ts';
import { flowMessage } from './flow-message.ts';

const OWN = 0x66696e77;
const FLOW = { source: '10.0.0.1:40000', destination: '10.0.0.2:443' } as const;

function tableOf(maxTracked = 1_000) {
  let messages: readonly Uint8Array[] = [];
  const table = new ConntrackTable({
    dump: (onFlow) => messages.forEach(onFlow),
    maxTracked,
    ownMark: OWN,
  });
  return {
    table,
    sweep(nowMs: number, ...flows: readonly FlowFields[]): Record<string, string> {
      messages = flows.map(flowMessage);
      table.sweep(nowMs);
      return Object.fromEntries(
        [...table.states].map(([state, { count, oldestMs }]) => [state, `${count} ${oldestMs}`]),
      );
    },
  };
}

spec('the conntrack table', (test) => {
  test('counts flows of TCP by state, with the age of the oldest', () => {
    const { sweep } = tableOf();
    const other = {
      source: '[2001:db8::1]:1',
      destination: '[2001:db8::2]:2',
      state: 'ESTABLISHED',
    } as const;
    assert.equal(sweep(1_000, { ...FLOW, state: 'SYN_SENT' }, other, FLOW), {
      SYN_SENT: '1 0',
      ESTABLISHED: '1 0',
    });
    assert.equal(sweep(3_000, { ...FLOW, state: 'ESTABLISHED' }, other), { ESTABLISHED: '2 2000' });
  });

  test('remembers a flow that one sweep misses, and forgets it when two do', () => {
    const { sweep } = tableOf();
    const flow = { ...FLOW, state: 'ESTABLISHED' } as const;
    sweep(1_000, flow);
    assert.equal(sweep(2_000), {});
    assert.equal(sweep(3_000, flow), { ESTABLISHED: '1 2000' });
    sweep(4_000);
    sweep(5_000);
    assert.equal(sweep(6_000, flow), { ESTABLISHED: '1 0' });
  });

  test('tells the same tuple in two zones apart, and counts one that a dump shows twice once', () => {
    const { sweep } = tableOf();
    const flow = { ...FLOW, state: 'ESTABLISHED' } as const;
    assert.equal(sweep(1_000, flow, { ...flow, zone: 1 }, { ...flow, zone: 2 }, flow), {
      ESTABLISHED: '3 0',
    });
  });

  test("counts finwait's own flows by their mark", () => {
    const { sweep, table } = tableOf();
    const flow = { ...FLOW, state: 'ESTABLISHED' } as const;
    sweep(1_000, { ...flow, mark: OWN }, { ...flow, mark: 1, source: '10.0.0.1:2' });
    assert.is(table.own, 1);
  });

  test('counts what it has no room for, without an age', () => {
    const { sweep, table } = tableOf(2);
    const flows = Array.from({ length: 5 }, (_, index) => ({
      ...FLOW,
      source: `10.0.0.1:${index + 1}`,
      state: 'TIME_WAIT' as const,
    }));
    sweep(1_000, ...flows);
    assert.equal(sweep(2_000, ...flows), { TIME_WAIT: '5 1000' });
    assert.is(table.counters.untracked, 6);
  });

  test('counts messages it does not understand', () => {
    const table = new ConntrackTable({
      dump: (onFlow) => onFlow(new Uint8Array(7)),
      maxTracked: 1,
      ownMark: OWN,
    });
    table.sweep(1_000);
    assert.is(table.counters.undecodable, 1);
  });
});

spec('the flows of conntrack as values', (test) => {
  const flowsOf = (...flows: readonly FlowFields[]) =>
    readFlows((onFlow) => flows.map(flowMessage).forEach(onFlow), 1_000_000);

  test('leave other protocols out and count them', () => {
    const { flows, others, undecodable } = readFlows((onFlow) => {
      onFlow(flowMessage(FLOW));
      onFlow(flowMessage({ ...FLOW, state: 'ESTABLISHED' }));
      onFlow(new Uint8Array(3));
    }, 0);
    assert.equal([flows.length, others, undecodable], [1, 1, 1]);
  });

  test('say what NAT does to each end', () => {
    const nat = (fields: Partial<FlowFields>) => {
      const [flow] = flowsOf({ ...FLOW, state: 'ESTABLISHED', ...fields }).flows;
      return [flow?.natDestination, flow?.natSource];
    };
    assert.equal(nat({}), [null, null]);
    assert.equal(nat({ replySource: '10.1.0.5:8443' }), [{ address: '10.1.0.5', port: 8443 }, null]);
    assert.equal(nat({ replyDestination: '192.0.2.1:61000' }), [
      null,
      { address: '192.0.2.1', port: 61_000 },
    ]);
    // A changed port alone is NAT as well.
    assert.equal(nat({ replySource: '10.0.0.2:8443' }), [{ address: '10.0.0.2', port: 8443 }, null]);
  });

  test('say who sent the first FIN', () => {
    const first = (fields: Partial<FlowFields>) =>
      flowsOf({ ...FLOW, state: 'TIME_WAIT', ...fields }).flows[0]?.closedFirst;
    assert.equal(
      [first({}), first({ originalFlags: 0x04 }), first({ replyFlags: 0x2f })],
      [null, 'source', 'destination'],
    );
  });

  test('give an idle time only where the time left tells it', () => {
    const timeouts: Readonly<Record<string, number>> = {
      time_wait: 120,
      established: 432_000,
      max_retrans: 300,
      unacknowledged: 200,
    };
    const idle = (state: ConntrackTcpState, timeoutS: number) =>
      readFlows(
        (onFlow) => onFlow(flowMessage({ ...FLOW, state, timeoutS })),
        0,
        (name) => timeouts[name],
      ).flows[0]?.idleMs;
    assert.is(idle('TIME_WAIT', 100), 19_000);
    assert.is(idle('TIME_WAIT', 120), 0);
    // More than the whole: the setting has been changed since.
    assert.is(idle('TIME_WAIT', 121), null);
    assert.is(idle('ESTABLISHED', 431_900), 99_000);
    // With retransmissions the kernel leaves it 300 s at most: it may be that, or idle for days.
    assert.is(idle('ESTABLISHED', 301), 431_698_000);
    assert.is(idle('ESTABLISHED', 300), null);
    assert.is(idle('SYN_SENT', 10), null);
  });
});
