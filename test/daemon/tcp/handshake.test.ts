/** CLOSED, LISTEN, SYN-SENT and SYN-RECEIVED. RFC 9293 sections 3.5 and 3.10.7.1 to 3.10.7.3 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { established, listening, synReceived, synSent, Trace } from './trace.ts';

const FULL = { mss: 1460, windowScale: 7, sackPermitted: true, timestamps: { value: 7, echo: 0 } };

spec('CLOSED', (test) => {
  test('a SYN to a port where nobody listens is answered with RST,ACK', () => {
    const t = new Trace().receives('SYN', { seq: 0 });
    t.sends('RST ACK', { ack: 1 });
    assert.is(t.all('stray').length, 1);
  });

  test('a segment with ACK is answered with a RST at its acknowledgement number', () => {
    const t = new Trace().receives('ACK', { seq: 5, ack: 77, data: 'abc' });
    const rst = t.sends('RST');
    assert.is(rst.seq, 77);
  });

  test('a segment without ACK is answered by its length: SYN and FIN count', () => {
    new Trace().receives('FIN', { seq: 5, data: 'abc' }).sends('RST ACK', { ack: 9 });
  });

  test('a RST is never answered', () => {
    new Trace().receives('RST').receives('RST ACK').silent();
  });
});

spec('LISTEN', (test) => {
  test('a SYN is answered with SYN,ACK', () => {
    const t = synReceived();
    assert.is(t.info?.irs === undefined, false);
  });

  test('a RST is ignored, an ACK is reset, anything else is dropped', () => {
    const t = listening().receives('RST').receives('RST ACK').receives('FIN').receives('PSH');
    t.silent();
    const rst = t.receives('ACK', { ack: 99 }).sends('RST');
    assert.is(rst.seq, 99);
  });

  test('the answer to a SYN offers only what the SYN offered', () => {
    const none = listening().receives('SYN', { seq: 0 }).sends('SYN ACK');
    assert.equal(none.options, {
      ...none.options,
      windowScale: undefined,
      sackPermitted: false,
      timestamps: undefined,
    });
    const all = listening().receives('SYN', { seq: 0, options: FULL }).sends('SYN ACK');
    assert.is(all.options.timestamps?.echo, 7);
    assert.ok(all.options.sackPermitted && all.options.windowScale !== undefined);
  });

  test('without SYN cookies, connections beyond the backlog wait for room: their SYNs are dropped', () => {
    const t = listening({ profile: { synCookies: 'off' } });
    for (let i = 0; i < 12; i += 1) {
      t.peerPort = 1000 + i;
      t.receives('SYN', { seq: 0 });
    }
    for (let i = 0; i < 8; i += 1) t.sends('SYN ACK');
    t.silent();
    assert.is(t.stack.counters.dropped['backlog-full'], 4);
  });

  test('closing the listener resets what is half open, and later SYNs', () => {
    const t = listening();
    t.receives('SYN', { seq: 0 }).sends('SYN ACK');
    t.abort();
    t.sends('RST ACK', { seq: 1, ack: 1 });
    t.receives('SYN', { seq: 0 }).sends('RST ACK');
    assert.is(t.stack.usage().listeners, 0);
  });

  test('MUST-41, MUST-42: one listener for an address and port, beside connections on the same port', () => {
    const t = synSent();
    assert.ok(t.stack.listen({ port: t.enginePort }, 1).ok);
    assert.equal(t.stack.listen({ port: t.enginePort }, 1), { ok: false, reason: 'address-in-use' });
    assert.ok(t.stack.listen({ port: t.enginePort, address: t.engine }, 1).ok);
    t.receives('SYN ACK', { seq: 0, ack: 1 }).sends('ACK', { seq: 1, ack: 1 });
  });
});

spec('SYN-SENT', (test) => {
  test('SYN,ACK of our SYN establishes the connection', () => {
    const t = established();
    assert.equal(
      t.all('state').map(({ to }) => to),
      ['SYN-SENT', 'ESTABLISHED'],
    );
  });

  test('text and FIN of a SYN,ACK count', () => {
    const t = synSent().receives('SYN ACK FIN', { seq: 0, ack: 1, data: 'abc' });
    t.sends('ACK', { ack: 5 });
    assert.equal(t.read(), { data: 'abc', eof: true });
    assert.is(t.state, 'CLOSE-WAIT');
  });

  test('N6: a wrong acknowledgement is reset before anything else of the segment counts', () => {
    for (const ack of [0, 2, -1]) {
      const t = synSent().receives('SYN ACK', { seq: 0, ack });
      t.sends('RST', { seq: ack });
      assert.is(t.state, 'SYN-SENT');
    }
  });

  test('a bare ACK of something else (the challenge of a stale TIME-WAIT) is reset, and the SYN goes on', () => {
    const t = synSent().receives('ACK', { seq: 500, ack: 12_345 });
    t.sends('RST', { seq: 12_345 });
    t.sendsAt(1000, 'SYN', { seq: 0 });
    assert.equal(
      t.all('segment').map(({ direction }) => direction),
      ['out', 'in', 'out', 'out'],
    );
  });

  test('whoever does not look at segments is told the states, and no segment', () => {
    const t = synSent({ segmentEvents: false }).receives('SYN ACK', { seq: 0 });
    t.sends('ACK');
    assert.is(t.state, 'ESTABLISHED');
    assert.is(t.all('state').length, 2);
    assert.is(t.all('segment').length, 0);
  });

  test('a RST with the right acknowledgement refuses the connection, others are dropped', () => {
    const t = synSent().receives('RST').receives('RST ACK', { ack: 7 }).receives('RST ACK', { ack: 0 });
    assert.is(t.silent().state, 'SYN-SENT');
    t.receives('RST ACK', { seq: 0, ack: 1 }).silent();
    assert.is(t.ended, 'refused');
  });

  test('neither SYN nor RST: dropped', () => {
    const t = synSent().receives('ACK', { ack: 1 }).receives('FIN', {}).silent();
    assert.is(t.state, 'SYN-SENT');
  });

  test('closing forgets the connection, aborting sends nothing', () => {
    assert.is(synSent().shutdown().silent().ended, 'aborted');
    assert.is(synSent().abort().silent().ended, 'aborted');
  });

  test('what is sent in SYN-SENT leaves once the connection is established', () => {
    const t = synSent().send('hello').silent();
    t.receives('SYN ACK', { seq: 0, ack: 1 });
    t.sends('ACK PSH', { seq: 1, ack: 1, data: 'hello' });
  });

  test('MUST-22, MUST-23: a SYN is repeated with doubled timeouts for three minutes', () => {
    const t = synSent();
    for (const ms of [1000, 3000, 7000, 15_000, 31_000, 63_000, 127_000]) t.sendsAt(ms, 'SYN', { seq: 0 });
    t.silentUntil(179_999);
    assert.is(t.state, 'SYN-SENT');
    t.silentUntil(180_000);
    assert.is(t.ended, 'timeout');
    assert.is(t.info, undefined);
  });

  test("MUST-21: the user timeout is the user's", () => {
    const t = synSent({ connect: { userTimeoutUs: 2_500_000 } });
    t.sendsAt(1000, 'SYN');
    t.silentUntil(2499);
    assert.is(t.state, 'SYN-SENT');
    assert.is(t.silentUntil(2500).ended, 'timeout');
  });

  test('MUST-20a, SHLD-9, SHLD-10: the third repetition is a warning', () => {
    const t = synSent();
    t.sendsAt(1000, 'SYN');
    t.sendsAt(3000, 'SYN');
    assert.is(t.all('retransmission-warning').length, 0);
    t.sendsAt(7000, 'SYN');
    t.sendsAt(15_000, 'SYN');
    assert.is(t.all('retransmission-warning').length, 1);
  });
});

spec('SYN-RECEIVED', (test) => {
  test('the ACK of our SYN establishes the connection, its text counts', () => {
    const t = synReceived().receives('ACK PSH', { seq: 1, ack: 1, data: 'hello' });
    assert.is(t.state, 'ESTABLISHED');
    assert.is(t.read().data, 'hello');
    assert.is(t.all('accepted').length, 1);
  });

  test('MUST-10: SYNs that cross open one connection', () => {
    const t = synSent().receives('SYN', { seq: 0, options: { mss: 1000 } });
    t.sends('SYN ACK', { seq: 0, ack: 1 });
    assert.is(t.state, 'SYN-RECEIVED');
    t.receives('SYN ACK', { seq: 0, ack: 1 });
    assert.is(t.state, 'ESTABLISHED');
    assert.is(t.stack.usage().connections, 1);
  });

  test('MUST-11: a RST returns a passive open to LISTEN, and refuses an active one', () => {
    const passive = synReceived().receives('RST', { seq: 1 }).silent();
    assert.is(passive.state, 'CLOSED');
    assert.is(passive.all('accepted').length, 0);
    passive.receives('SYN', { seq: 0 }).sends('SYN ACK');

    const active = synSent().receives('SYN', { seq: 0 });
    active.sends('SYN ACK');
    assert.is(active.receives('RST', { seq: 1 }).silent().ended, 'refused');
  });

  test('a wrong acknowledgement is reset', () => {
    for (const ack of [0, 2, 5000]) {
      const t = synReceived().receives('ACK', { seq: 1, ack });
      t.sends('RST', { seq: ack });
      assert.is(t.state, 'SYN-RECEIVED');
    }
  });

  test('a repeated SYN is answered with the same SYN,ACK', () => {
    const t = synReceived().receives('SYN', { seq: 0 });
    t.sends('SYN ACK', { seq: 0, ack: 1 });
  });

  test('a SYN,ACK that is not acknowledged is repeated, and given up after three minutes', () => {
    const t = synReceived();
    for (const ms of [1000, 3000, 7000, 15_000, 31_000, 63_000, 127_000]) t.sendsAt(ms, 'SYN ACK');
    assert.is(t.silentUntil(180_000).ended, 'timeout');
    assert.is(t.stack.usage().connections, 0);
  });

  test('closing waits for the handshake', () => {
    const t = synReceived().shutdown().silent();
    t.receives('ACK', { seq: 1, ack: 1 });
    t.sends('FIN ACK', { seq: 1, ack: 1 });
    assert.is(t.state, 'FIN-WAIT-1');
  });
});

spec('what a SYN says', (test) => {
  test('MUST-14, SHLD-5a, SHLD-5b, MAY-3: its MSS, and all other options', () => {
    const { options, window } = new Trace().connect().sends('SYN');
    assert.is(options.mss, 1460);
    assert.is(options.windowScale, 3);
    assert.ok(options.sackPermitted && options.timestamps?.echo === 0);
    assert.is(window, 65_535);
    assert.is(new Trace({ family: 6 }).connect().sends('SYN').options.mss, 1440);
  });

  test('MUST-67: the announced MSS fits the link', () => {
    for (const mtu of [576, 1280, 1500, 9000, 65_535]) {
      assert.is(new Trace({ mtu }).connect().sends('SYN').options.mss, mtu - 40);
      assert.is(new Trace({ mtu, family: 6 }).connect().sends('SYN').options.mss, mtu - 60);
    }
  });

  test("MUST-48, MUST-49: traffic class and TTL are the user's, on every segment", () => {
    for (const family of [4, 6] as const) {
      const t = new Trace({ family, connect: { trafficClass: 0xb8, ttl: 5 } }).connect();
      const syn = t.sends('SYN');
      const ack = t.receives('SYN ACK', { seq: 0, ack: 1 }).sends('ACK');
      for (const { ttl, trafficClass } of [syn, ack]) assert.equal([ttl, trafficClass], [5, 0xb8]);
    }
  });

  test('MUST-8: the initial sequence number follows a clock of 4 microseconds', () => {
    const at = (ms: number) => {
      const t = new Trace().passTo(ms).connect();
      t.sends('SYN');
      return t.iss;
    };
    assert.is((at(2000) - at(1000)) >>> 0, 250_000);
  });

  test('MUST-9, SHLD-1: tuples and boots have numbers of their own', () => {
    const issOf = (seed: number, port: number) => {
      const t = new Trace({ seed });
      t.enginePort = port;
      t.connect().sends('SYN');
      return t.iss;
    };
    const numbers = [issOf(1, 40_000), issOf(1, 40_001), issOf(2, 40_000), issOf(2, 40_001)];
    assert.is(new Set(numbers).size, 4);
    assert.is(issOf(1, 40_000), numbers[0]);
  });

  test('ephemeral ports differ, are free, and run out politely', () => {
    const t = new Trace({ profile: {} });
    const ports = new Set<number>();
    const remote = { address: t.peer, port: 80 };
    for (let i = 0; i < 32_768; i += 1) {
      const opened = t.stack.connect({ remote }, 0);
      if (opened.ok) ports.add(t.stack.info(opened.value)?.local.port ?? 0);
    }
    assert.is(ports.size, 32_768);
    assert.ok(Math.min(...ports) >= 32_768);
    assert.equal(t.stack.connect({ remote }, 0), { ok: false, reason: 'no-ports-left' });
    assert.ok(t.stack.connect({ remote: { address: t.peer, port: 81 } }, 0).ok);
  });
});
