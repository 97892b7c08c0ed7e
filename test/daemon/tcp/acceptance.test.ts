/** What a segment must be to be processed. RFC 9293 3.4 and 3.10.7.4, RFC 5961, RFC 7323 5.3 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { established, STATES } from './trace.ts';

const stamped = (value: number, echo = 0) => ({ timestamps: { value, echo } });

spec('acceptance of segments', (test) => {
  test('N7: a segment before or beyond the window is answered with an ACK and dropped', () => {
    for (const seq of [-5, 1_000_000]) {
      const t = established().receives('ACK', { seq, ack: 1, data: 'abc' });
      t.sends('ACK', { seq: 1, ack: 1 });
      assert.is(t.info?.unreadBytes, 0);
    }
  });

  test('a keepalive of the peer is answered', () => {
    established().receives('ACK', { seq: 0, ack: 1 }).sends('ACK', { seq: 1, ack: 1 });
    established().receives('ACK', { seq: 0, ack: 1, data: 'x' }).sends('ACK', { seq: 1, ack: 1 });
  });

  test('a SYN,ACK that is repeated after our ACK is acknowledged again, and told', () => {
    const t = established().receives('SYN ACK', { seq: 0, ack: 1 });
    t.sends('ACK', { seq: 1, ack: 1 });
    const seen = t.all('segment').at(-2);
    assert.is(seen?.direction, 'in');
    assert.ok(seen?.segment.retransmission);
  });

  test('N3: a SYN is challenged in every synchronized state, whatever its number', () => {
    for (const [name, make] of Object.entries(STATES)) {
      if (name === 'SYN-SENT' || name === 'SYN-RECEIVED') continue;
      for (const seq of [1, 2, 1000, -100_000]) {
        const t = make().receives('SYN', { seq });
        const { info } = t;
        t.sends('ACK', { ack: (info?.rcvNxt ?? 0) - (info?.irs ?? 0) });
        assert.is(t.state, name);
      }
    }
  });

  test('N5, MAY-12: an acknowledgement of what was not sent, or of long ago, is challenged', () => {
    for (const ack of [2, -70_000]) {
      const t = established().receives('ACK', { seq: 1, ack, data: 'injected' });
      t.sends('ACK', { seq: 1, ack: 1 });
      assert.is(t.info?.unreadBytes, 0);
    }
  });

  test('an old acknowledgement within the window is no reason to drop the text', () => {
    const t = established().send(500);
    t.sends('ACK PSH');
    t.receives('ACK', { seq: 1, ack: 501 }).receives('ACK', { seq: 1, ack: 1, data: 'abc' });
    assert.is(t.read().data, 'abc');
  });

  test('without ACK it is dropped', () => {
    const t = established().receives('PSH', { seq: 1, data: 'abc' }).silent();
    assert.is(t.stack.counters.dropped['ack-missing'], 1);
  });

  test('challenge ACKs have a limit for each connection (RFC 5961 section 7)', () => {
    const t = established();
    for (let i = 0; i < 30; i += 1) {
      t.receives('SYN', { seq: 7 });
      t.next();
    }
    assert.is(t.stack.counters.challengeAcksSent, 10);
    assert.is(t.stack.counters.dropped['challenge-limit'], 20);
    t.passTo(5000).receives('SYN', { seq: 7 }).sends('ACK');
  });

  test('the limit does not hold back the acknowledgement of repeated data', () => {
    const t = established();
    for (let i = 0; i < 30; i += 1)
      t.receives('ACK', { seq: -5, ack: 1, data: 'abc' }).sends('ACK', { ack: 1 });
  });

  test('MUST-3: a damaged segment is not answered, whichever byte it is', () => {
    const t = established();
    const good = t.fromPeer('ACK PSH', { seq: 1, ack: 1, data: 'abc' });
    for (let at = 0; at < good.length; at += 1) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 0x04;
      t.stack.input(bad, 0);
      t.silent();
    }
    assert.is(t.info?.unreadBytes, 0);
    const { checksum, 'ip-malformed': ip } = t.stack.counters.dropped;
    assert.is((checksum ?? 0) + (ip ?? 0), good.length);
  });
});

spec('timestamps and PAWS', (test) => {
  const agreed = () => established({ peer: stamped(1000) });

  test('once agreed, every segment has them, and echoes the last that was acknowledged', () => {
    const t = agreed();
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc', options: stamped(1005) });
    const ack = t.sendsAt(40, 'ACK', { ack: 4 });
    assert.is(ack.options.timestamps?.echo, 1005);
    t.shutdown();
    assert.ok(t.sends('FIN ACK').options.timestamps);
  });

  test('the echo is that of the first segment a delayed ACK covers (RFC 7323 4.3)', () => {
    const t = agreed();
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc', options: stamped(1005) });
    t.receives('ACK', { seq: 4, ack: 1, data: 'def', options: stamped(1009) });
    assert.is(t.sends('ACK', { ack: 7 }).options.timestamps?.echo, 1005);
  });

  test('an older timestamp is an old segment: acknowledged and dropped', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'abc', options: stamped(999) });
    t.sends('ACK', { ack: 1 });
    assert.is(t.stack.counters.dropped.paws, 1);
  });

  test('a RST is taken without them, anything else is not', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'abc', options: {} }).silent();
    assert.is(t.stack.counters.dropped['timestamp-missing'], 1);
    assert.is(t.receives('RST', { seq: 1, options: {} }).ended, 'reset');
  });

  test('after 24 days of silence, TS.Recent says nothing any more', () => {
    const t = agreed().passTo(25 * 24 * 3600 * 1000);
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc', options: stamped(999) });
    assert.is(t.read().data, 'abc');
  });

  test('they are not used when the peer did not offer them', () => {
    const t = established().send('x');
    assert.is(t.sends('ACK PSH').options.timestamps, undefined);
  });
});
