/** Listeners: half-open connections, those that wait for `accept`, and what happens when there are too many. */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { listening, type Trace, type TraceOptions } from './trace.ts';

const fromPort = (t: Trace, port: number): Trace => {
  t.peerPort = port;
  return t;
};

/** A listener with a backlog of its own. */
function withBacklog(backlog: number, options: TraceOptions = {}): Trace {
  const t = listening(options);
  assert.ok(t.stack.relisten(t.id, backlog).ok);
  return t;
}

/** The whole handshake of a peer at that port, as far as the engine takes part. */
function shake(t: Trace, port: number): void {
  fromPort(t, port).receives('SYN', { seq: 0 });
  if (t.next() !== undefined) t.receives('ACK', { seq: 1, ack: 1 });
}

const queues = (t: Trace) => {
  const [listener] = t.stack.listeners();
  return [listener?.halfOpen, listener?.waiting];
};

const accept = (t: Trace) => {
  const result = t.stack.accept(t.id);
  return result.ok ? result.value : undefined;
};

spec('the accept queue', (test) => {
  test('connections wait in the order in which they were opened', () => {
    const t = withBacklog(5);
    for (const port of [1001, 1002, 1003]) shake(t, port);
    assert.equal(queues(t), [0, 3]);
    const ports = [accept(t), accept(t), accept(t)].map((id) => id && t.stack.info(id)?.remote.port);
    assert.equal(ports, [1001, 1002, 1003]);
    assert.is(accept(t), undefined);
    assert.equal(queues(t), [0, 0]);
  });

  test('`accepted` is told once for each', () => {
    const t = withBacklog(5);
    for (const port of [1001, 1002]) shake(t, port);
    assert.is(t.all('accepted').length, 2);
  });

  test('a full queue takes no SYN (as Linux, one more than the backlog may wait)', () => {
    const t = withBacklog(1);
    for (const port of [1001, 1002]) shake(t, port);
    assert.equal(queues(t), [0, 2]);
    fromPort(t, 1003).receives('SYN', { seq: 0 }).silent();
    assert.is(t.stack.counters.dropped['accept-queue-full'], 1);
    accept(t);
    t.receives('SYN', { seq: 0 }).sends('SYN ACK');
  });

  test('a handshake that ends while it is full waits: the SYN,ACK is repeated until there is room', () => {
    const t = withBacklog(1);
    fromPort(t, 1001).receives('SYN', { seq: 0 }).sends('SYN ACK');
    const { iss } = t;
    for (const port of [1002, 1003]) {
      t.stack.relisten(t.id, 5);
      shake(t, port);
      t.stack.relisten(t.id, 1);
    }
    fromPort(t, 1001);
    t.iss = iss;
    t.receives('ACK', { seq: 1, ack: 1 }).silent();
    assert.equal(queues(t), [1, 2]);
    t.sendsAt(1000, 'SYN ACK');
    accept(t);
    t.receives('ACK', { seq: 1, ack: 1 });
    assert.equal(queues(t), [0, 2]);
  });

  test('a larger backlog holds at once', () => {
    const t = withBacklog(0);
    for (const port of [1001, 1002]) shake(t, port);
    assert.equal(queues(t), [0, 1]);
    t.stack.relisten(t.id, 5);
    shake(t, 1002);
    assert.equal(queues(t), [0, 2]);
  });

  test('one that is reset while it waits keeps its place: a stranger cannot make room for more', () => {
    const t = withBacklog(1);
    for (const port of [1001, 1002]) {
      shake(t, port);
      t.receives('RST', { seq: 1 });
    }
    assert.equal(queues(t), [0, 2]);
    t.peerPort = 1003;
    t.receives('SYN', { seq: 0 }).silent();
    assert.ok(accept(t) !== undefined && accept(t) !== undefined);
    assert.equal([queues(t), accept(t)], [[0, 0], undefined]);
  });

  test('text that arrives before `accept` is not lost', () => {
    const t = withBacklog(5);
    shake(t, 1001);
    t.receives('FIN ACK PSH', { seq: 1, ack: 1, data: 'early' });
    const id = accept(t);
    assert.ok(id !== undefined);
    if (id !== undefined) t.id = id;
    assert.equal(t.read(), { data: 'early', eof: true });
  });

  test('when the listener closes, those that wait are reset', () => {
    const t = withBacklog(5);
    shake(t, 1001);
    assert.ok(t.stack.close(t.id, 0).ok);
    t.sends('RST ACK', { seq: 1, ack: 1 });
    assert.is(t.stack.usage().connections, 0);
    assert.equal(t.stack.accept(t.id), { ok: false, reason: 'no-such-listener' });
    assert.equal(t.stack.relisten(t.id, 1), { ok: false, reason: 'no-such-listener' });
  });

  test('half-open connections are given up after a while, and make room', () => {
    const t = withBacklog(2, { profile: { synCookies: 'off', synAckRetries: 1 } });
    for (const port of [1001, 1002]) fromPort(t, port).receives('SYN', { seq: 0 }).sends('SYN ACK');
    assert.equal(queues(t), [2, 0]);
    for (let ms = 1000; ms <= 10_000; ms += 1000) {
      t.passTo(ms);
      while (t.next());
    }
    assert.equal(queues(t), [0, 0]);
    fromPort(t, 1003).receives('SYN', { seq: 0 }).sends('SYN ACK');
  });

  test('options of the listener are those of its connections from then on', () => {
    const t = withBacklog(5);
    t.stack.configure(t.id, { ttl: 9, nagle: true }, 0);
    shake(t, 1001);
    const id = accept(t);
    const options = id === undefined ? undefined : t.stack.optionsOf(id);
    assert.equal([options?.ttl, options?.nagle], [9, true]);
  });

  test('an address of its own comes before any address', () => {
    const t = listening();
    const special = t.stack.listen({ address: t.engine, port: t.enginePort }, 5, { ttl: 3 });
    assert.ok(special.ok);
    assert.is(t.receives('SYN', { seq: 0 }).sends('SYN ACK').ttl, 3);
  });
});
