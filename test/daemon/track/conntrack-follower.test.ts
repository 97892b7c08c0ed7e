import * as assert from 'uvu/assert';
import { concat, viewOf } from '../../../daemon/netlink/message.ts';
import type { EventSource } from '../../../daemon/track/conntrack-follower.ts';
import { ConntrackFollower } from '../../../daemon/track/conntrack-follower.ts';
import { FlowEnds } from '../../../daemon/track/flow-ends.ts';
import { FlowTable } from '../../../daemon/track/flow-table.ts';
import { spec, testSeed } from '../../harness.ts';
import { hostile, seededRandom } from '../netlink/mutate.ts';
import type { FlowFields } from './flow-message.ts';
import { eventMessage, flowMessage } from './flow-message.ts';

const FLOW = { source: '10.0.0.1:40000', destination: '10.0.0.2:443', state: 'ESTABLISHED' } as const;

/** A kernel whose queue, dump and clock are set by hand. */
function followed({ sendsEvents = true } = {}) {
  const queue: (Uint8Array | 'overflow' | 'gap')[] = [];
  const kernel = { nowMs: 0, flows: [] as FlowFields[], dumpTakesMs: 0, between: () => {}, dumpFails: false };
  const events: EventSource = {
    read(onDatagram) {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        if (next === 'overflow') return 'overflowed';
        if (next === 'gap') return next;
        onDatagram(viewOf(next), 0, next.length);
      }
      return 'empty';
    },
  };
  const ends = new FlowEnds();
  const table = new FlowTable({
    maxFlows: 100,
    seed: testSeed(),
    ownMark: 0,
    ends,
    idleClock: () => () => null,
    unixOffsetMs: () => 0,
  });
  const follower = new ConntrackFollower({
    table,
    events,
    hasEvents: () => sendsEvents,
    clock: () => kernel.nowMs,
    dump(onFlow, between) {
      kernel.nowMs += kernel.dumpTakesMs;
      for (const payload of kernel.flows.map(flowMessage)) {
        kernel.between();
        between();
        onFlow(viewOf(payload), 0, payload.length);
      }
      if (kernel.dumpFails) throw new Error('no answer');
    },
  });
  return { queue, kernel, table, follower };
}

spec('following conntrack', (test) => {
  test('tells whether a look found anything', () => {
    const { queue, follower } = followed();
    assert.is(follower.drain(), false);
    queue.push(eventMessage('begun', FLOW));
    assert.equal([follower.drain(), follower.drain()], [true, false]);
    queue.push('overflow');
    assert.equal([follower.drain(), follower.drain()], [true, false]);
  });

  test('begins with a dump, and lives on events until the next is due', () => {
    const { queue, kernel, table, follower } = followed();
    kernel.flows = [FLOW];
    kernel.dumpTakesMs = 10;
    follower.sweep();
    assert.equal([table.size, follower.counters.dumps], [1, 1]);
    queue.push(
      eventMessage('begun', { ...FLOW, source: '10.0.0.1:2', state: 'SYN_SENT' }),
      eventMessage('changed', { ...FLOW, source: '10.0.0.1:2', state: 'ESTABLISHED' }),
      eventMessage('ended', FLOW),
    );
    kernel.nowMs += 1_000;
    follower.sweep();
    assert.equal([table.size, follower.counters.dumps], [1, 1]);
    const { begun, changed, ended } = follower.counters;
    assert.equal([begun, changed, ended], [1, 1, 1]);
    // Ten milliseconds of dump in two seconds are half a percent.
    kernel.nowMs += 1_000;
    follower.sweep();
    assert.is(follower.counters.dumps, 2);
  });

  test('reads events in the middle of a dump', () => {
    const { queue, kernel, table, follower } = followed();
    const second = { ...FLOW, source: '10.0.0.1:2' };
    kernel.flows = [FLOW, second];
    kernel.between = () => {
      if (follower.counters.ended === 0) queue.push(eventMessage('ended', second));
    };
    follower.sweep();
    assert.is(table.size, 1);
  });

  test('dumps twice after events were lost, the second time later, and says so for a minute', () => {
    const { queue, kernel, table, follower } = followed();
    kernel.flows = [FLOW];
    kernel.dumpTakesMs = 100;
    follower.sweep();
    assert.is(follower.lossy, false);
    kernel.flows = [];
    queue.push('overflow', eventMessage('begun', { ...FLOW, source: '10.0.0.1:3', state: 'SYN_SENT' }));
    kernel.flows = [{ ...FLOW, source: '10.0.0.1:3', state: 'SYN_SENT' }];
    follower.sweep();
    // What still waited in the queue has been read, before the dump.
    assert.equal([follower.counters.begun, follower.counters.resyncs, table.size], [1, 1, 2]);
    follower.sweep();
    assert.is(follower.counters.resyncs, 1);
    kernel.nowMs += 1_000;
    follower.sweep();
    // The flow whose end was lost has been missing twice.
    assert.equal([follower.counters.resyncs, table.size, follower.counters.overflows], [2, 1, 1]);
    assert.equal([follower.lossy, follower.overflowing], [true, true]);
    kernel.nowMs += 60_000;
    assert.is(follower.lossy, false);
  });

  test('keeps a flow that begins when the kernel has just said that there is none', () => {
    const { queue, kernel, table, follower } = followed();
    kernel.flows = [FLOW];
    follower.sweep();
    queue.push(eventMessage('begun', { ...FLOW, source: '10.0.0.1:2', state: 'SYN_SENT' }));
    follower.sweepEmpty();
    assert.equal([table.size, table.counters.vanished], [1, 1]);
  });

  test('reads the table anew when listening broke off or begins again, and believes it after two dumps', () => {
    const { queue, kernel, table, follower } = followed();
    kernel.flows = [FLOW];
    kernel.dumpTakesMs = 100;
    follower.sweep();
    const second = { ...FLOW, source: '10.0.0.1:2', state: 'SYN_SENT' } as const;
    queue.push('gap', eventMessage('begun', second));
    kernel.flows = [second];
    follower.sweep();
    assert.equal([follower.counters.begun, follower.counters.resyncs, table.size], [1, 1, 2]);
    kernel.nowMs += 1_000;
    follower.sweep();
    assert.equal([follower.counters.resyncs, table.size], [2, 1]);
    // Nobody was too slow.
    assert.equal([follower.lossy, follower.overflowing, follower.counters.overflows], [true, false, 0]);
  });

  test('dumps at once when it is told to', () => {
    const { kernel, follower } = followed();
    kernel.dumpTakesMs = 100;
    follower.sweep();
    follower.sweep();
    follower.readAnew();
    follower.sweep();
    assert.is(follower.counters.dumps, 2);
  });

  test('dumps less and less often while events go on being lost', () => {
    const { queue, kernel, follower } = followed();
    kernel.flows = [FLOW];
    follower.sweep();
    const atMs: number[] = [];
    for (let turn = 0; turn < 1_200; turn++) {
      queue.push('overflow');
      const { resyncs } = follower.counters;
      follower.sweep();
      if (follower.counters.resyncs > resyncs) atMs.push(kernel.nowMs);
      kernel.nowMs += 100;
    }
    assert.equal(atMs.slice(0, 7), [0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000]);
    assert.is(follower.counters.overflows, 1_200);
  });

  test('dumps more often where the kernel sends no events', () => {
    const { kernel, follower } = followed({ sendsEvents: false });
    kernel.flows = [FLOW];
    kernel.dumpTakesMs = 10;
    for (let second = 0; second < 2; second++) {
      follower.sweep();
      kernel.nowMs += 200;
    }
    assert.is(follower.counters.dumps, 2);
  });

  test('believes nothing of a dump that broke off', () => {
    const { kernel, table, follower } = followed();
    kernel.flows = [FLOW];
    follower.sweep();
    kernel.flows = [];
    kernel.dumpFails = true;
    for (let turn = 0; turn < 3; turn++) {
      kernel.nowMs += 1_000;
      assert.throws(() => follower.sweep(), /no answer/);
    }
    assert.is(table.size, 1);
  });

  test('leaves other protocols out, and counts what is no event of a flow', () => {
    const { queue, table, follower } = followed();
    const { state: _, ...udp } = FLOW;
    const whole = eventMessage('begun', FLOW);
    queue.push(
      eventMessage('begun', udp),
      whole.subarray(0, 30),
      whole.subarray(0, 7),
      // An expectation, and a kind that there is not.
      whole.with(5, 2),
      whole.with(4, 7),
      concat([whole, whole]),
    );
    follower.drain();
    assert.equal([table.size, follower.counters.begun, follower.counters.undecodable], [1, 2, 4]);
  });

  test('never throws at hostile events', () => {
    const { queue, follower } = followed();
    const random = seededRandom(testSeed());
    const samples = (['begun', 'changed', 'ended'] as const).flatMap((kind) => [
      eventMessage(kind, FLOW),
      eventMessage(kind, { ...FLOW, source: '[::1]:1', destination: '[::2]:2', startMs: 1, stopMs: 2 }),
    ]);
    for (let turn = 0; turn < 100_000; turn++) {
      queue.push(hostile(samples, random));
      follower.drain();
    }
    const { begun, changed, ended, undecodable } = follower.counters;
    assert.ok(begun > 0 && changed > 0 && ended > 0 && undecodable > 10_000);
  });
});
