import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { CONNTRACK_TCP_STATES } from '../../../daemon/netlink/ctnetlink.ts';
import { FlowRecord } from '../../../daemon/netlink/flow-record.ts';
import { viewOf } from '../../../daemon/netlink/message.ts';
import { spec, testSeed } from '../../harness.ts';
import { seededRandom } from '../netlink/mutate.ts';
import { flowMessage } from './flow-message.ts';
import type { Said } from './flow-scene.ts';
import { FLOW, OWN, rowsOf, tableOf } from './flow-scene.ts';

spec('the flow table', (test) => {
  test('knows a flow by its original tuple and zone, of both families', () => {
    const { begun, rows, table } = tableOf();
    begun({ ...FLOW, state: 'SYN_SENT' });
    begun({ ...FLOW, state: 'ESTABLISHED', zone: 7 });
    begun({ ...FLOW, state: 'CLOSE', source: '10.0.0.1:40001' });
    begun({ state: 'TIME_WAIT', source: '[2001:db8::1]:1', destination: '[2001:db8::2]:2' });
    assert.equal(rows(), [
      '10.0.0.1 40000 10.0.0.2 443 0 SYN_SENT',
      '10.0.0.1 40000 10.0.0.2 443 7 ESTABLISHED',
      '10.0.0.1 40001 10.0.0.2 443 0 CLOSE',
      '2001:db8::1 1 2001:db8::2 2 0 TIME_WAIT',
    ]);
    assert.is(table.size, 4);
  });

  test('shows NAT, mark, status, who closed first, and when the kernel forgets the flow', () => {
    const { begun, table } = tableOf();
    begun(
      {
        ...FLOW,
        state: 'FIN_WAIT',
        replySource: '10.244.1.5:8443',
        replyDestination: '192.0.2.1:61000',
        mark: OWN,
        status: 0x1e,
        timeoutS: 30,
        replyFlags: 0x04,
      },
      5_000,
    );
    let seen = 0;
    table.forEachFlow((row) => {
      seen++;
      assert.equal([...row.replySource, row.replySourcePort], [10, 244, 1, 5, 8443]);
      assert.equal([...row.replyDestination, row.replyDestinationPort], [192, 0, 2, 1, 61_000]);
      assert.equal([row.mark, row.status, row.expiresMs], [OWN, 0x1e, 35_000]);
      assert.is(row.closedFirst, 'destination');
    });
    assert.is(seen, 1);
    assert.is(table.summary(0).own, 1);
  });

  test('counts the age of a state from the event that brought it, not from later ones', () => {
    const { begun, changed, states, table } = tableOf();
    begun({ ...FLOW, state: 'SYN_SENT' }, 1_000);
    changed({ ...FLOW, state: 'ESTABLISHED' }, 2_000);
    changed({ ...FLOW, state: 'ESTABLISHED', mark: 5 }, 3_000);
    // Of a new mark alone the kernel does not tell the state.
    assert.equal(states(4_000), { ESTABLISHED: '1 2000' });
    table.forEachFlow((row) => assert.equal([row.sinceBasis, row.mark], ['event', 5]));
  });

  test('takes the time left for the age of what a dump brings, where it tells it', () => {
    const aged = tableOf({ idleMs: 9_000 });
    aged.dump(10_000, { ...FLOW, state: 'TIME_WAIT' });
    assert.equal(aged.states(10_000), { TIME_WAIT: '1 9000' });
    aged.table.forEachFlow((row) => assert.is(row.sinceBasis, 'kernel'));
    const young = tableOf();
    young.dump(10_000, { ...FLOW, state: 'TIME_WAIT' });
    young.dump(12_000, { ...FLOW, state: 'TIME_WAIT' });
    assert.equal(young.states(12_000), { TIME_WAIT: '1 2000' });
    young.table.forEachFlow((row) => assert.is(row.sinceBasis, 'seen'));
  });

  test('remembers who closed first when the last state no longer tells it', () => {
    const { begun, changed, table } = tableOf();
    begun({ ...FLOW, state: 'FIN_WAIT', originalFlags: 0x04 });
    changed({ ...FLOW, state: 'TIME_WAIT' });
    table.forEachFlow((row) => assert.is(row.closedFirst, 'source'));
  });

  test('lets an event that came during a dump win over the dump', () => {
    const { table, changed, ended, dumped, begun, rows } = tableOf();
    begun({ ...FLOW, state: 'ESTABLISHED' });
    begun({ ...FLOW, source: '10.0.0.9:9', state: 'ESTABLISHED' });
    table.beginDump(0);
    changed({ ...FLOW, state: 'FIN_WAIT' });
    ended({ ...FLOW, source: '10.0.0.9:9', state: 'CLOSE' });
    // One that the table has never heard of, and that the dump has read before it ended.
    ended({ ...FLOW, source: '10.0.0.8:8', state: 'CLOSE' });
    for (const source of [FLOW.source, '10.0.0.9:9', '10.0.0.8:8']) {
      dumped({ ...FLOW, source, state: 'ESTABLISHED' });
    }
    table.endDump(true);
    assert.equal(rows(), ['10.0.0.1 40000 10.0.0.2 443 0 FIN_WAIT']);
    assert.is(table.size, 1);
  });

  test('takes a flow that begins anew during a dump for a new one', () => {
    const { table, begun, ended, dumped, rows } = tableOf();
    begun({ ...FLOW, state: 'TIME_WAIT' });
    table.beginDump(0);
    ended({ ...FLOW, state: 'TIME_WAIT' });
    begun({ ...FLOW, id: 2, state: 'SYN_SENT' });
    dumped({ ...FLOW, state: 'TIME_WAIT' });
    table.endDump(true);
    assert.equal(rows(), ['10.0.0.1 40000 10.0.0.2 443 0 SYN_SENT']);
  });

  test('believes that a flow is gone when two whole dumps do not have it', () => {
    const { table, begun, dump, reasons } = tableOf();
    begun({ ...FLOW, state: 'ESTABLISHED' });
    dump(1);
    assert.is(table.size, 1);
    table.beginDump(0);
    table.endDump(false);
    assert.is(table.size, 1);
    dump(2);
    assert.is(table.size, 0);
    assert.is(table.counters.vanished, 1);
    assert.equal(reasons(), { unseen: 1 });
  });

  test('reads anew after a dump that broke off what that one had', () => {
    const { table, dump, dumped, rows } = tableOf();
    dump(0, { ...FLOW, state: 'ESTABLISHED' });
    table.beginDump(0);
    dumped({ ...FLOW, state: 'ESTABLISHED' }, 10);
    table.endDump(false);
    dump(20, { ...FLOW, state: 'CLOSE_WAIT' });
    assert.equal(rows(), ['10.0.0.1 40000 10.0.0.2 443 0 CLOSE_WAIT']);
    dump(30);
    assert.is(table.size, 1);
    dump(40);
    assert.is(table.size, 0);
  });

  test('keeps and counts flows that are offloaded, with the state and the end that it knew', () => {
    const { table, begun, dump, states, reasons } = tableOf();
    const other = { ...FLOW, source: '10.0.0.9:9' };
    begun({ ...FLOW, state: 'ESTABLISHED', originalFlags: 0x04, timeoutS: 100 }, 1_000);
    for (const nowMs of [2_000, 3_000, 4_000]) {
      dump(nowMs, { ...FLOW, offloaded: true }, { ...other, offloaded: true });
    }
    assert.equal(states(5_000), { ESTABLISHED: '1 4000', NONE: '1 3000' });
    const shown: Record<number, unknown> = {};
    table.forEachFlow((row) => {
      shown[row.sourcePort] = [row.sinceBasis, row.closedFirst, row.expiresMs];
    });
    assert.equal(shown, { 40000: ['event', 'source', 101_000], 9: ['seen', null, 2_000] });
    assert.equal([table.counters.offloaded, table.counters.vanished, reasons()], [2, 0, {}]);
    // Back from there, and away again.
    dump(6_000, { ...FLOW, state: 'ESTABLISHED' }, { ...other, state: 'ESTABLISHED' });
    assert.equal(states(7_000), { ESTABLISHED: '2 6000' });
    dump(8_000, { ...FLOW, offloaded: true }, { ...other, offloaded: true });
    assert.is(table.counters.offloaded, 4);
  });

  test('counts flows that are offloaded where it has no room for them', () => {
    const { table, dump, states } = tableOf({ maxFlows: 0 });
    dump(1_000, { ...FLOW, offloaded: true });
    assert.equal([states(1_000), table.counters.untracked], [{ NONE: '1 0' }, 1]);
  });

  test('counts what it has no room for, in the states too', () => {
    const { table, dump, begun, states } = tableOf({ maxFlows: 2 });
    const flows = Array.from({ length: 5 }, (_, index) => ({
      ...FLOW,
      source: `10.0.0.1:${index + 1}`,
      state: 'TIME_WAIT' as const,
    }));
    dump(1_000, ...flows);
    assert.equal(states(1_000), { TIME_WAIT: '5 0' });
    assert.is(table.counters.untracked, 3);
    begun({ ...FLOW, source: '10.0.0.1:6', state: 'SYN_SENT' });
    assert.equal([table.size, table.counters.untracked], [2, 4]);
  });

  test('takes the timeouts of the kernel as they are when it reads', () => {
    const { dump, idle, states } = tableOf({ idleMs: 400_000 });
    idle.ms = 1_000;
    dump(500_000, { ...FLOW, state: 'ESTABLISHED' });
    assert.equal(states(500_000), { ESTABLISHED: '1 1000' });
  });

  test('does not count the end of a flow that it never knew as one that found no room', () => {
    const { table, begun, ended } = tableOf({ maxFlows: 1 });
    begun({ ...FLOW, state: 'ESTABLISHED' });
    table.beginDump(0);
    ended({ ...FLOW, source: '10.0.0.9:9', state: 'CLOSE' });
    table.endDump(true);
    assert.equal([table.counters.untracked, table.counters.unknownEnds, table.size], [0, 1, 1]);
  });

  test('says when the kernel last spoke of a flow: of those that began before anybody listened by dumps alone', () => {
    const { table, begun, changed, dump } = tableOf();
    const [older, spoken] = ['10.0.0.1:2', '10.0.0.1:3'];
    const told = () => {
      const rows: Record<number, number> = {};
      table.forEachFlow((row) => {
        rows[row.sourcePort] = row.toldMs;
      });
      return rows;
    };
    begun({ ...FLOW, state: 'ESTABLISHED' }, 500);
    const before = [older, spoken].map((source) => ({ ...FLOW, source, state: 'ESTABLISHED' as const }));
    dump(1_000, { ...FLOW, state: 'ESTABLISHED' }, ...before);
    assert.equal(told(), { 40000: Number.POSITIVE_INFINITY, 2: 1_000, 3: 1_000 });
    changed({ ...FLOW, source: spoken, mark: 1 });
    dump(2_000, { ...FLOW, state: 'ESTABLISHED' });
    assert.equal(told(), {
      40000: Number.POSITIVE_INFINITY,
      2: Number.NEGATIVE_INFINITY,
      3: Number.POSITIVE_INFINITY,
    });
    assert.is(table.wholeMs, 2_000);
  });

  test('is emptied at once when the kernel says that there is no flow, but for those that began since', () => {
    const { table, begun, rows } = tableOf();
    begun({ ...FLOW, source: '10.0.0.1:2', state: 'ESTABLISHED' });
    table.beginDump(0);
    begun({ ...FLOW, state: 'SYN_SENT' });
    table.endEmptyDump();
    assert.equal(rows(), ['10.0.0.1 40000 10.0.0.2 443 0 SYN_SENT']);
    assert.is(table.counters.vanished, 1);
  });

  test('does not let the late word of a predecessor end the flow that a dump has brought', () => {
    const { begun, dump, ended, table, reasons } = tableOf();
    begun({ ...FLOW, state: 'TIME_WAIT' });
    dump(1, { ...FLOW, id: 2, state: 'ESTABLISHED' });
    ended({ ...FLOW, state: 'TIME_WAIT', timeoutS: 0 });
    begun({ ...FLOW, id: 2, state: 'SYN_SENT' });
    assert.is(table.size, 1);
    assert.equal(reasons(), { unseen: 1 });
  });

  test('finds every flow among thousands that come and go', () => {
    const { begun, ended, changed, rows, table } = tableOf({ maxFlows: 10_000 });
    const random = seededRandom(testSeed());
    const alive = new Set<number>();
    const name = (port: number) => ({ ...FLOW, source: `10.0.0.1:${port}` });
    for (let turn = 0; turn < 40_000; turn++) {
      const port = Math.floor(random() * 4_000);
      // Fuller and fuller, then emptier and emptier.
      if (random() < (turn < 20_000 ? 0.7 : 0.3)) {
        if (!alive.has(port)) begun({ ...name(port), state: 'SYN_SENT' });
        alive.add(port);
      } else if (alive.delete(port)) ended({ ...name(port), state: 'CLOSE' });
    }
    for (const port of alive) changed({ ...name(port), state: 'CLOSE_WAIT' });
    assert.equal(rows(), [...alive].map((port) => `10.0.0.1 ${port} 10.0.0.2 443 0 CLOSE_WAIT`).sort());
    assert.equal([table.size, table.counters.unknownEnds], [alive.size, 0]);
  });

  test('holds a million flows in 120 MiB, and gives the memory back', () => {
    const record = new FlowRecord();
    for (const source of ['10.0.0.1:1', '[2001:db8::1]:1']) {
      const { table } = tableOf({ maxFlows: 1_000_000 });
      const small = table.bytes;
      const payload = flowMessage({
        source,
        destination: source.replace(/:1$/, ':2'),
        state: 'ESTABLISHED',
        timeoutS: 1,
      });
      const view = viewOf(payload);
      record.read(view, 0, payload.length);
      for (let flow = 0; flow < 1_000_000; flow++) {
        record.original.sourcePort = flow & 0xffff;
        record.zone = flow >>> 16;
        table.begun(view, record, 0);
      }
      assert.is(table.size, 1_000_000);
      assert.ok(table.bytes <= 120 << 20, `${table.bytes} bytes`);
      table.beginDump(0);
      table.endEmptyDump();
      assert.equal([table.size, table.bytes], [0, small]);
    }
  });

  test('holds what the kernel holds, however events and dumps fall together', () => {
    const name = fc.nat(11);
    const step = fc.oneof(
      fc.record({ what: fc.constant('connect' as const), name }),
      fc.record({ what: fc.constant('change' as const), name, state: fc.integer({ min: 2, max: 8 }) }),
      fc.record({ what: fc.constant('destroy' as const), name }),
      fc.record({ what: fc.constant('fill' as const) }),
      fc.record({ what: fc.constant('read' as const) }),
      fc.record({ what: fc.constant('deliver' as const), events: fc.nat(4) }),
      fc.record({ what: fc.constant('lose' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.boolean(), (steps, mayLose) => {
        const kernel = new Kernel();
        for (const each of steps) {
          if (each.what === 'connect') kernel.connect(each.name);
          else if (each.what === 'change') kernel.change(each.name, each.state);
          else if (each.what === 'destroy') kernel.destroy(each.name);
          else if (each.what === 'fill') kernel.fill();
          else if (each.what === 'read') kernel.read();
          else if (each.what === 'deliver') kernel.deliver(each.events);
          else if (mayLose) kernel.lose();
        }
        kernel.finishDump();
        kernel.deliver(Number.POSITIVE_INFINITY);
        // What was lost two dumps in quiet make good.
        if (kernel.lost) for (let dumps = 0; dumps < 2; dumps++) kernel.finishDump();
        assert.equal(rowsOf(kernel.followed.table), kernel.rows());
        assert.is(kernel.followed.table.size, kernel.rows().length);
      }),
      { numRuns: 3_000, seed: testSeed() },
    );
  });
});

/** A kernel with twelve tuples in three buckets: its events wait in a queue, its dump is filled bucket by bucket ahead of its reader. */
class Kernel {
  readonly followed = tableOf();
  lost = false;
  readonly #flows = new Map<number, Said>();
  #queue: (() => void)[] = [];
  #filled: Said[][] = [];
  #bucket = -1;
  #ids = 0;

  connect(name: number): void {
    if (this.#flows.has(name)) return;
    const flow = { ...tuple(name), id: ++this.#ids, state: 'SYN_SENT' } as const;
    this.#flows.set(name, flow);
    this.#queue.push(() => this.followed.begun(flow));
  }

  change(name: number, state: number): void {
    const before = this.#flows.get(name);
    if (before === undefined) return;
    const flow = { ...before, state: CONNTRACK_TCP_STATES[state] ?? 'NONE' };
    this.#flows.set(name, flow);
    this.#queue.push(() => this.followed.changed(flow));
  }

  destroy(name: number): void {
    const flow = this.#flows.get(name);
    if (flow === undefined) return;
    this.#flows.delete(name);
    this.#queue.push(() => this.followed.ended(flow));
  }

  /** The kernel makes the next part of the dump. */
  fill(): void {
    if (this.#bucket < 0) {
      this.followed.table.beginDump(0);
      this.#bucket = 0;
    }
    if (this.#bucket > 2) return;
    const inBucket = [...this.#flows].filter(([name]) => name % 3 === this.#bucket);
    this.#filled.push(inBucket.map(([, flow]) => flow));
    this.#bucket++;
  }

  read(): void {
    for (const flow of this.#filled.shift() ?? []) this.followed.dumped(flow);
    if (this.#bucket > 2 && this.#filled.length === 0) {
      this.followed.table.endDump(true);
      this.#bucket = -1;
    }
  }

  finishDump(): void {
    do {
      this.fill();
      this.read();
    } while (this.#bucket >= 0);
  }

  deliver(events: number): void {
    for (const event of this.#queue.splice(0, events)) event();
  }

  lose(): void {
    if (this.#queue.length > 0) this.lost = true;
    this.#queue = [];
  }

  rows(): string[] {
    return [...this.#flows.values()]
      .map(({ source, destination, state }) =>
        `${source} ${destination} 0 ${state}`.replaceAll(/[[\]]/g, '').replaceAll(/:(\d+) /g, ' $1 '),
      )
      .sort();
  }
}

function tuple(name: number): { source: string; destination: string } {
  return name < 6
    ? { source: `10.0.0.1:${name + 1}`, destination: '10.0.0.2:80' }
    : { source: `[fd00::1]:${name + 1}`, destination: '[fd00::2]:80' };
}
