import * as assert from 'uvu/assert';
import type { ConntrackTcpState } from '../../../daemon/netlink/ctnetlink.ts';
import type { Flow } from '../../../daemon/track/conntrack-flows.ts';
import { eachFlow } from '../../../daemon/track/conntrack-flows.ts';
import { spec } from '../../harness.ts';
import type { FlowFields } from './flow-message.ts';
import { flowMessage } from './flow-message.ts';

const FLOW = { source: '10.0.0.1:40000', destination: '10.0.0.2:443' } as const;

/** All of a dump. */
function readFlows(
  ...[dump, ...more]: [Parameters<typeof eachFlow>[0], number, Parameters<typeof eachFlow>[3]?]
) {
  const flows: Flow[] = [];
  return { ...eachFlow(dump, (flow) => flows.push(flow), ...more), flows };
}

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

  test('have no state and no time left when they are offloaded', () => {
    const { flows, others } = flowsOf({ ...FLOW, offloaded: true });
    assert.equal(
      [others, flows.map(({ state, timeoutMs, idleMs }) => [state, timeoutMs, idleMs])],
      [0, [[null, null, null]]],
    );
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
