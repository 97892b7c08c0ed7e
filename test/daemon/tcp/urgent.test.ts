/** Urgent data. RFC 9293 section 3.8.5, RFC 6093 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { established, type Trace } from './trace.ts';

/** Sends `data`, whose last octet is urgent. */
function urgently(t: Trace, data: string | number): Trace {
  const bytes = Buffer.from(typeof data === 'number' ? 'x'.repeat(data) : data);
  assert.equal(t.stack.send(t.id, bytes, t.nowUs, { urgent: true }), { ok: true, value: bytes.length });
  return t;
}

const markOf = (t: Trace) => t.stack.urgent(t.id);

spec('urgent data of ours', (test) => {
  test('MUST-30, MUST-62: URG, and a pointer to the octet after it (RFC 6093)', () => {
    const sent = urgently(established(), 'abc').sends('ACK PSH URG', { seq: 1, data: 'abc' });
    assert.is(sent.urgentPointer, 3);
  });

  test('segments before it say where it ends, segments after it say nothing', () => {
    const t = urgently(established(), 1500).send('later');
    assert.is(t.sends('ACK URG', { seq: 1, data: 1000 }).urgentPointer, 1500);
    assert.is(t.sends('ACK PSH URG', { seq: 1001 }).urgentPointer, 500);
    t.receives('ACK', { seq: 1, ack: 1506 }).send('more');
    t.sends('ACK PSH', { seq: 1506, data: 'more' });
  });

  test('what is sent again is still urgent', () => {
    const t = urgently(established(), 'abc');
    t.sends('ACK PSH URG');
    assert.is(t.sendsAt(200, 'ACK PSH URG', { seq: 1 }).urgentPointer, 3);
  });

  test('MUST-31: it may be of any length; what the pointer cannot reach is told later', () => {
    const length = 100_000;
    const t = urgently(established({ peer: { windowScale: 4 } }), length);
    let seen = 0;
    for (let at = 1; at <= length; ) {
      for (let sent = t.next(); sent; sent = t.next()) {
        assert.is(sent.seq, at);
        assert.ok(sent.flags.includes('URG'));
        assert.is(sent.urgentPointer, Math.min(length + 1 - at, 65_535));
        at += sent.data.length;
        seen += sent.data.length;
      }
      t.receives('ACK', { seq: 1, ack: at });
    }
    assert.is(seen, length);
  });
});

spec('urgent data of the peer', (test) => {
  test('MUST-32: the user is told once for each advance of the pointer', () => {
    const t = established();
    const told = () => t.all('urgent').length;
    t.receives('ACK URG', { seq: 1, ack: 1, urgentPointer: 6, data: 'abc' });
    assert.is(told(), 1);
    t.receives('ACK URG', { seq: 4, ack: 1, urgentPointer: 3, data: 'def' });
    assert.is(told(), 1, 'it points to the same octet');
    t.receives('ACK URG', { seq: 7, ack: 1, urgentPointer: 1, data: 'g' });
    assert.is(told(), 2);
  });

  test('MUST-30, MUST-33: a reader learns how much is left, stops before the last octet, and takes it', () => {
    const t = established().receives('ACK URG', { seq: 1, ack: 1, urgentPointer: 5, data: 'ab' });
    assert.equal(markOf(t), { toMark: 4, octet: undefined }, 'it has not arrived');
    t.receives('ACK', { seq: 3, ack: 1, data: 'cd!fg' });
    assert.equal(markOf(t), { toMark: 4, octet: '!'.charCodeAt(0) });
    assert.is(t.read().data, 'abcd');
    assert.equal(markOf(t), { toMark: 0, octet: '!'.charCodeAt(0) });
    assert.is(t.read().data, '!fg');
    assert.is(markOf(t), undefined);
  });

  test('MUST-31: of any length', () => {
    const t = established();
    const end = 100_001;
    for (let seq = 1; seq < end; seq += 1000) {
      const urgentPointer = Math.min(end - seq, 65_535);
      t.receives('ACK URG', { seq, ack: 1, urgentPointer, data: 1000 });
      while (t.next());
    }
    assert.is(markOf(t)?.toMark, 99_999);
    assert.is(t.read().data.length, 99_999);
    assert.is(t.read().data.length, 1);
  });

  test('MUST-66: it is heard of even when the window is shut', () => {
    const t = established({ profile: { receiveBufferBytes: 1000, windowShift: 0 } });
    t.receives('ACK', { seq: 1, ack: 1, data: 1000 });
    t.sendsAt(40, 'ACK', { window: 0 });
    t.receives('ACK URG', { seq: 1001, ack: 1, urgentPointer: 9 });
    assert.is(t.all('urgent').length, 1);
    assert.is(markOf(t)?.toMark, 1008);
  });

  test('what was read cannot become urgent, and a pointer without URG means nothing', () => {
    const t = established().receives('ACK', { seq: 1, ack: 1, data: 'abc', urgentPointer: 2 });
    assert.is(markOf(t), undefined);
    t.read();
    t.receives('ACK URG', { seq: 1, ack: 1, data: 'abcd', urgentPointer: 3 });
    assert.is(t.all('urgent').length, 0);
    assert.is(t.read().data, 'd');
  });
});
