/** Text in both directions: segmentation, acknowledgement, reassembly, windows. RFC 9293 section 3.8 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { established, synSent, type Trace, type TraceOptions } from './trace.ts';

/** A receive buffer that fills soon, and a window that is not scaled. */
const SMALL_BUFFER: TraceOptions = { profile: { receiveBufferBytes: 4000, windowShift: 0 } };

/** Takes all that the engine sends now, and answers the lengths. */
function lengths(t: Trace): number[] {
  const all: number[] = [];
  for (let sent = t.next(); sent; sent = t.next()) all.push(sent.data.length);
  return all;
}

spec('segmentation', (test) => {
  test('MUST-14, SHLD-28: segments are as large as the peer takes', () => {
    const t = established().send(2500);
    t.sends('ACK', { seq: 1, data: 1000 });
    t.sends('ACK', { seq: 1001, data: 1000 });
    t.sends('ACK PSH', { seq: 2001, data: 500 });
    t.silent();
  });

  test('MUST-15a, MUST-15b: a peer that says no MSS takes 536, with IPv6 1220', () => {
    for (const [family, mss] of [
      [4, 536],
      [6, 1220],
    ] as const) {
      const t = synSent({ family }).receives('SYN ACK', { seq: 0, ack: 1 });
      t.sends('ACK');
      t.send(3 * mss);
      assert.equal(lengths(t), [mss, mss, mss]);
    }
  });

  test('MUST-16: timestamps and the link take their part of a segment', () => {
    const stamps = { timestamps: { value: 5, echo: 0 } };
    assert.equal(lengths(established({ peer: stamps }).send(2000)).slice(0, 1), [988]);
    assert.equal(lengths(established({ mtu: 576 }).send(2000)).slice(0, 1), [536]);
    assert.equal(lengths(established({ mtu: 576, peer: stamps }).send(2000)).slice(0, 1), [524]);
  });

  test('a peer with an absurd MSS does not grind the sender down', () => {
    assert.equal(lengths(established({ peer: { mss: 1 } }).send(96)), [48, 48]);
  });

  test('MUST-61: the last segment of what is queued has PSH, others have not', () => {
    const t = established().send(1500);
    t.sends('ACK', { data: 1000 });
    t.sends('ACK PSH', { data: 500 });
  });

  test('MUST-17: small segments are not held back, unless Nagle is asked for (SHLD-7)', () => {
    const quick = established().send('a');
    quick.sends('ACK PSH', { data: 'a' });
    quick.send('b').sends('ACK PSH', { data: 'b' });

    const nagle = established({ connect: { nagle: true } }).send('a');
    nagle.sends('ACK PSH', { data: 'a' });
    nagle.send('b').send('c').silent();
    nagle.receives('ACK', { seq: 1, ack: 2 }).sends('ACK PSH', { data: 'bc' });
  });

  test('MUST-2: checksums are right for every length, odd ones too', () => {
    for (const family of [4, 6] as const) {
      for (let length = 1; length < 40; length += 1) {
        established({ family }).send(length).sends('ACK PSH', { data: length });
      }
    }
  });

  test('MUST-60: what waits for an acknowledgement leaves when that is lost, too', () => {
    const t = established({ connect: { nagle: true } }).send('a');
    t.sends('ACK PSH', { data: 'a' });
    t.send('b').silent();
    t.sendsAt(200, 'ACK PSH', { data: 'a' });
    t.receives('ACK', { seq: 1, ack: 2 }).sends('ACK PSH', { data: 'b' });
  });

  test('MUST-65: the MSS option is on the SYN alone', () => {
    const t = established().send('abc');
    assert.is(t.sends('ACK PSH').options.mss, undefined);
    t.receives('ACK', { seq: 1, ack: 4, options: { mss: 100 } }).send(600);
    t.sends('ACK PSH', { data: 600 });
  });

  test('the send buffer has an end, and says how much it took', () => {
    const t = established({ profile: { sendBufferBytes: 100 }, peerWindow: 10 });
    assert.equal(t.stack.send(t.id, new Uint8Array(150), 0), { ok: true, value: 100 });
    assert.equal(t.stack.send(t.id, new Uint8Array(150), 0), { ok: true, value: 0 });
  });

  test('`drained` tells when everything is acknowledged', () => {
    const t = established().send('abc');
    t.sends('ACK PSH');
    t.receives('ACK', { seq: 1, ack: 3 });
    assert.is(t.all('drained').length, 0);
    t.receives('ACK', { seq: 1, ack: 4 });
    assert.is(t.all('drained').length, 1);
  });
});

spec('acknowledgement', (test) => {
  test('MUST-40, SHLD-18: one segment is acknowledged within the delay', () => {
    const t = established().receives('ACK', { seq: 1, ack: 1, data: 'abc' });
    t.sendsAt(40, 'ACK', { seq: 1, ack: 4, data: '' });
  });

  test('SHLD-19: every second full segment is acknowledged at once', () => {
    const t = established().receives('ACK', { seq: 1, ack: 1, data: 1000 }).silent();
    t.receives('ACK', { seq: 1001, ack: 1, data: 1000 }).sends('ACK', { ack: 2001 });
  });

  test('MUST-58, MUST-59: what arrives in one batch is acknowledged once', () => {
    const t = established();
    for (let i = 0; i < 20; i += 1) t.receives('ACK', { seq: 1 + i * 1000, ack: 1, data: 1000 });
    t.sends('ACK', { ack: 20_001 });
    t.silent();
  });

  test('an acknowledgement rides on data', () => {
    const t = established().receives('ACK', { seq: 1, ack: 1, data: 'abc' }).send('def');
    t.sends('ACK PSH', { seq: 1, ack: 4, data: 'def' });
    t.silentUntil(100);
  });

  test('MAY-13: a segment out of order is acknowledged at once', () => {
    established().receives('ACK', { seq: 11, ack: 1, data: 'abc' }).sends('ACK', { ack: 1 });
  });

  test('a bare ACK is not acknowledged', () => {
    established().receives('ACK', { seq: 1, ack: 1 }).silentUntil(1000);
  });
});

spec('reassembly', (test) => {
  test('SHLD-31: segments out of order are kept, and read in order', () => {
    const t = established();
    t.receives('ACK', { seq: 7, ack: 1, data: 'ghi' }).sends('ACK', { ack: 1 });
    t.receives('ACK', { seq: 4, ack: 1, data: 'def' }).sends('ACK', { ack: 1 });
    assert.is(t.read().data, '');
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc' }).sends('ACK', { ack: 10 });
    assert.is(t.read().data, 'abcdefghi');
  });

  test('overlaps in any shape are trimmed', () => {
    const t = established();
    t.receives('ACK', { seq: 5, ack: 1, data: 'efgh' });
    t.receives('ACK', { seq: 3, ack: 1, data: 'cdef' });
    t.receives('ACK', { seq: 8, ack: 1, data: 'hijk' });
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc' });
    t.receives('ACK', { seq: -2, ack: 1, data: 'xxxabcdefghijklm' });
    assert.is(t.read().data, 'abcdefghijklm');
  });

  test('SACK: the newest block comes first (RFC 2018)', () => {
    const t = established({ peer: { sackPermitted: true } });
    const blocks = () =>
      t.sends('ACK', { ack: 1 }).options.sack?.map(({ left, right }) => [left, right].map(relative));
    const relative = (n: number) => (n - (t.info?.irs ?? 0)) >>> 0;
    t.receives('ACK', { seq: 11, ack: 1, data: 'abc' });
    assert.equal(blocks(), [[11, 14]]);
    t.receives('ACK', { seq: 31, ack: 1, data: 'abc' });
    assert.equal(blocks(), [
      [31, 34],
      [11, 14],
    ]);
    t.receives('ACK', { seq: 14, ack: 1, data: 'def' });
    assert.equal(blocks(), [
      [11, 17],
      [31, 34],
    ]);
    t.receives('ACK', { seq: 1, ack: 1, data: 'abcdefghij' });
    assert.equal(t.sends('ACK', { ack: 17 }).options.sack?.length, 1);
  });

  test('no SACK blocks for a peer that did not permit them', () => {
    const t = established().receives('ACK', { seq: 11, ack: 1, data: 'abc' });
    assert.is(t.sends('ACK').options.sack, undefined);
  });

  test('the number of holes has an end', () => {
    const t = established();
    for (let i = 0; i < 200; i += 1) t.receives('ACK', { seq: 3 + i * 2, ack: 1, data: 'x' });
    assert.is(t.stack.counters.dropped['receive-buffer-full'], 200 - 64);
    t.receives('ACK', { seq: 1, ack: 1, data: 'yy' });
    assert.is(t.read().data, 'yyx');
  });

  test('data beyond a FIN is not part of the stream', () => {
    const t = established().receives('FIN ACK', { seq: 4, ack: 1 });
    t.receives('ACK', { seq: 4, ack: 1, data: 'beyond' }).receives('ACK', { seq: 1, ack: 1, data: 'abc' });
    assert.equal(t.read(), { data: 'abc', eof: true });
  });
});

spec('the receive window', (test) => {
  test('it shuts as the buffer fills, and opens as it is read', () => {
    const t = established(SMALL_BUFFER);
    for (let seq = 1; seq < 4000; seq += 1000) t.receives('ACK', { seq, ack: 1, data: 1000 });
    t.sends('ACK', { ack: 4001, window: 0 });
    t.read(4000);
    t.sends('ACK', { ack: 4001, window: 4000 });
  });

  test('a probe of a shut window is acknowledged, its octet is not taken', () => {
    const t = established(SMALL_BUFFER);
    for (let seq = 1; seq < 4000; seq += 1000) t.receives('ACK', { seq, ack: 1, data: 1000 });
    t.sends('ACK', { window: 0 });
    t.receives('ACK', { seq: 4001, ack: 1, data: 'p' }).sends('ACK', { ack: 4001, window: 0 });
    assert.is(t.info?.unreadBytes, 4000);
  });

  test('MUST-39: it does not open by less than a segment or half the buffer', () => {
    const t = established(SMALL_BUFFER);
    for (let seq = 1; seq < 4000; seq += 1000) t.receives('ACK', { seq, ack: 1, data: 1000 });
    t.sends('ACK', { window: 0 });
    for (let i = 0; i < 1459; i += 1) t.read(1);
    t.silent();
    t.receives('ACK', { seq: 4001, ack: 1, data: 'p' }).sends('ACK', { window: 0 });
    t.read(1);
    t.sends('ACK', { window: 1460 });
  });

  test('text beyond the window is cut off', () => {
    const t = established(SMALL_BUFFER);
    t.receives('ACK', { seq: 1, ack: 1, data: 4500 }).sends('ACK', { ack: 4001, window: 0 });
    assert.is(t.read().data.length, 4000);
  });

  test('SHLD-14: its edge never moves back, with any scale and any segment sizes', () => {
    for (const windowShift of [0, 3, 9, 14]) {
      const t = established({ profile: { windowShift }, peer: { windowScale: 0 } });
      let edge = 0;
      let seq = 1;
      for (let i = 0; i < 500; i += 1) {
        const data = 1 + ((i * 37) % 90);
        t.receives('ACK', { seq, ack: 1, data });
        seq += data;
        if (i % 7 === 0) t.read(data);
        for (let sent = t.next(); sent; sent = t.next()) {
          const now = sent.ack + sent.window * 2 ** windowShift;
          assert.ok(now >= edge, `shift ${windowShift}: ${now} after ${edge}`);
          edge = now;
        }
      }
    }
  });
});

spec('the send window', (test) => {
  test('MUST-1: it is unsigned, and scaled once agreed', () => {
    const t = established({ peer: { windowScale: 14 } }).receives('ACK', { seq: 1, ack: 1, window: 65_535 });
    assert.is(t.info?.sndWnd, 65_535 * 2 ** 14);
    const plain = established().receives('ACK', { seq: 1, ack: 1, window: 65_535 });
    assert.is(plain.info?.sndWnd, 65_535);
  });

  test('a shift count above 14 means 14 (RFC 7323 2.3), the window of a SYN is not scaled', () => {
    const t = established({ peer: { windowScale: 200 }, peerWindow: 1000 });
    assert.is(t.info?.sndWindShift, 14);
    assert.is(t.info?.sndWnd, 1000);
  });

  test('no more is sent than it holds', () => {
    const t = established({ peerWindow: 2500 }).send(5000);
    assert.equal(lengths(t), [1000, 1000, 500].slice(0, 2));
    t.receives('ACK', { seq: 1, ack: 2001, window: 2500 });
    assert.equal(lengths(t), [1000, 1000]);
  });

  test('an old segment does not set it', () => {
    const t = established().receives('ACK', { seq: 1, ack: 1, data: 'abc', window: 5000 });
    t.receives('ACK', { seq: 4, ack: 1, data: 'def', window: 6000 });
    t.receives('ACK', { seq: 3, ack: 1, data: 'cdefg', window: 100 });
    assert.is(t.info?.sndWnd, 6000);
  });

  test('MUST-34, SHLD-15: a window that shrinks below what is in flight stops the sender, nothing else', () => {
    const t = established().send(20_000);
    assert.is(lengths(t).length, 10);
    t.receives('ACK', { seq: 1, ack: 2001, window: 2000 }).silent();
    t.receives('ACK', { seq: 1, ack: 10_001, window: 2000 });
    assert.equal(lengths(t), [1000, 1000]);
  });

  test('MUST-36, SHLD-29, SHLD-30: a shut window is probed with one octet, first after the RTO, then ever later', () => {
    const t = established({ peerWindow: 0 }).send(5000);
    t.sendsAt(200, 'ACK', { seq: 1, data: 1 });
    t.sendsAt(600, 'ACK', { seq: 1, data: 1 });
    t.sendsAt(1400, 'ACK', { seq: 1, data: 1 });
    t.receives('ACK', { seq: 1, ack: 1, window: 0 }).silentUntil(2000);
    t.receives('ACK', { seq: 1, ack: 1, window: 1000 }).sends('ACK', { seq: 1, data: 1000 });
  });

  test('MUST-35: so is one that was open', () => {
    const t = established().send(1000);
    t.sends('ACK PSH');
    t.receives('ACK', { seq: 1, ack: 1001, window: 0 }).send(3000).silent();
    t.sendsAt(200, 'ACK', { seq: 1001, data: 1 });
    t.receives('ACK', { seq: 1, ack: 1002, window: 0 });
    t.sendsAt(400, 'ACK', { seq: 1002, data: 1 });
  });

  test('a FIN waits for the window too, and is what is probed with', () => {
    const t = established({ peerWindow: 0 }).shutdown().silent();
    t.sendsAt(200, 'FIN ACK', { seq: 1 });
    t.receives('ACK', { seq: 1, ack: 2, window: 0 });
    assert.is(t.state, 'FIN-WAIT-2');
  });

  test('MUST-37: as long as probes are answered, the connection stays', () => {
    const t = established({ peerWindow: 0 }).send(10).silent();
    const day = 24 * 3600 * 1000;
    while (t.nowUs < day * 1000) {
      t.passTo(t.stack.nextDeadlineUs() / 1000);
      t.sends('ACK', { seq: 1, data: 1 });
      t.receives('ACK', { seq: 1, ack: 1, window: 0 }).silent();
    }
    assert.is(t.state, 'ESTABLISHED');
  });

  test('a peer that never answers a probe is given up at R2', () => {
    const t = established({ peerWindow: 0 }).send(10);
    while (t.state === 'ESTABLISHED') {
      while (t.next());
      t.passTo(t.stack.nextDeadlineUs() / 1000);
    }
    assert.is(t.ended, 'timeout');
    assert.is(t.nowUs, 200_000 + 300_000_000, 'from the first probe on');
  });

  test('MUST-38: tiny windows get no tiny segments, until the override', () => {
    const t = established({ peerWindow: 10_000 }).send(10_000);
    lengths(t);
    t.receives('ACK', { seq: 1, ack: 10_001, window: 100 }).send(5000).silent();
    t.receives('ACK', { seq: 1, ack: 10_001, window: 300 }).silentUntil(199);
    t.sendsAt(200, 'ACK', { seq: 10_001, data: 300 });
  });
});
