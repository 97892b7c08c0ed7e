/** Windows that shrink, stay shut, or are large. RFC 9293 3.8.6, RFC 6429, RFC 7323 section 2 */

import * as assert from 'uvu/assert';
import { SendWindow } from '../../../daemon/tcp/send-window.ts';
import { seq } from '../../../daemon/wire/seq.ts';
import { spec } from '../../harness.ts';
import { established, type Sent, type Trace, type TraceOptions } from './trace.ts';

const DAY_MS = 24 * 3_600_000;
const SMALL_BUFFER: TraceOptions = { profile: { receiveBufferBytes: 4000, windowShift: 0 } };

function takeAll(t: Trace): Sent[] {
  const all: Sent[] = [];
  for (let sent = t.next(); sent; sent = t.next()) all.push(sent);
  return all;
}

spec('the send window', (test) => {
  test('REC-1, MUST-1: the largest there is needs more than 16 bits, and more than 31 with its edge', () => {
    const window = new SendWindow(0, { seq: seq(0), ack: seq(0) });
    const most = 65_535 * 2 ** 14;
    window.update(most, { seq: seq(1), ack: seq(1) });
    assert.is(window.octets, most);
    assert.is(window.largest, most);
    const t = established({ peer: { windowScale: 14 } }).receives('ACK', { window: 65_535 });
    t.send(200_000);
    assert.is(t.info?.sndWnd, most);
    assert.is(takeAll(t).length, 10, 'the congestion window is what holds it');
  });

  test('SHLD-17, MUST-34: data beyond a shrunk edge does not time the connection out', () => {
    const t = established().send(3000);
    assert.is(takeAll(t).length, 3);
    t.receives('ACK', { seq: 1, ack: 1001, window: 0 });
    while (t.nowUs < DAY_MS * 1000) {
      t.passTo(t.stack.nextDeadlineUs() / 1000);
      for (const { seq: at } of takeAll(t)) assert.ok(at <= 1001, 'nothing beyond the edge is repeated');
      t.receives('ACK', { seq: 1, ack: 1001, window: 0 });
    }
    assert.is(t.state, 'ESTABLISHED');
    t.receives('ACK', { seq: 1, ack: 1001, window: 5000 });
    assert.equal(
      takeAll(t).map(({ seq: at, data }) => [at, data.length]),
      [
        [1001, 1000],
        [2001, 1000],
      ],
    );
  });

  test('a peer whose window stays shut holds the connection of a user who has closed for minutes, not for ever', () => {
    const held = (closes: boolean) => {
      const t = established().send(3000);
      takeAll(t);
      t.receives('ACK', { seq: 1, ack: 1001, window: 0 });
      if (closes) t.stack.close(t.id, t.nowUs);
      while (t.nowUs < DAY_MS * 1000 && t.ended === undefined) {
        t.passTo(t.stack.nextDeadlineUs() / 1000);
        const sent = takeAll(t);
        if (sent.at(-1)?.flags.includes('RST')) return 'RST';
        t.receives('ACK', { seq: 1, ack: 1001, window: 0 });
      }
      return t.state;
    };
    assert.is(held(false), 'ESTABLISHED');
    assert.is(held(true), 'RST');
  });

  test('what lies beyond a shrunk edge is not repeated until the window reaches it', () => {
    const t = established().send(5000);
    takeAll(t);
    t.receives('ACK', { seq: 1, ack: 1, window: 1000 });
    t.sendsAt(200, 'ACK', { seq: 1, data: 1000 });
    t.receives('ACK', { seq: 1, ack: 1001, window: 1000 });
    t.sends('ACK', { seq: 1001, data: 1000 });
    t.silent();
    assert.ok((t.info?.cwnd ?? 0) >= 2000, 'the congestion window has room');
    t.receives('ACK', { seq: 1, ack: 2001, window: 5000 });
    t.sends('ACK', { seq: 2001, data: 1000 });
  });

  test('SHLD-15: a window that shrank lets no new text go until there is room again', () => {
    const t = established().send(20_000);
    takeAll(t);
    t.receives('ACK', { seq: 1, ack: 5001, window: 4000 }).silent();
    t.receives('ACK', { seq: 1, ack: 8001, window: 3000 });
    assert.equal(
      takeAll(t).map(({ seq: at }) => at),
      [10_001],
    );
  });

  test('MUST-36: probes keep their pace when they are answered: the interval does not fall back', () => {
    const t = established({ peerWindow: 0 }).send(10);
    for (const ms of [200, 600, 1400, 3000, 6200]) {
      t.sendsAt(ms, 'ACK', { seq: 1, data: 1 });
      t.receives('ACK', { seq: 1, ack: 1, window: 0 });
    }
    t.receives('ACK', { seq: 1, ack: 1, window: 1000 }).sends('ACK PSH', { seq: 1, data: 10 });
  });

  test('SHLD-30: the interval has a ceiling, the longest timeout there is', () => {
    const t = established({ peerWindow: 0 }).send(10).silent();
    let before = 0;
    let longest = 0;
    for (let i = 0; i < 20; i += 1) {
      t.passTo(t.stack.nextDeadlineUs() / 1000);
      takeAll(t);
      longest = Math.max(longest, t.nowUs - before);
      before = t.nowUs;
      t.receives('ACK', { seq: 1, ack: 1, window: 0 }).silent();
    }
    assert.is(longest, 120_000_000);
  });

  test('RFC 6429: a user timeout ends what is held by a shut window that nobody answers for', () => {
    const t = established({ peerWindow: 0, connect: { userTimeoutUs: 5_000_000 } }).send(10);
    while (t.state === 'ESTABLISHED') {
      takeAll(t);
      t.passTo(t.stack.nextDeadlineUs() / 1000);
    }
    assert.is(t.ended, 'timeout');
    assert.ok(t.nowUs <= 5_200_000, String(t.nowUs));
  });

  test('RFC 6429: the user can abort while the window is shut', () => {
    const t = established({ peerWindow: 0 }).send(10).abort();
    t.sends('RST ACK', { seq: 1 });
    assert.is(t.ended, 'aborted');
  });

  test('Linux probes with an old number and no text', () => {
    const t = established({ peerWindow: 0, profile: { windowProbe: 'bare' } }).send(10);
    t.sendsAt(200, 'ACK', { seq: 0, data: '' });
    t.receives('ACK', { seq: 1, ack: 1, window: 1000 }).sends('ACK PSH', { seq: 1, data: 10 });
  });

  test('half of the largest window ever offered is worth a segment, less is not (MUST-38)', () => {
    const t = established({ peerWindow: 400 }).send(2000);
    assert.equal(
      takeAll(t).map(({ data }) => data.length),
      [400],
    );
    t.receives('ACK', { seq: 1, ack: 401, window: 199 }).silent();
    t.receives('ACK', { seq: 1, ack: 401, window: 200 }).sends('ACK', { data: 200 });
  });
});

spec('the receive window', (test) => {
  test('MAY-8: it stays shut for as long as nobody reads', () => {
    const t = established(SMALL_BUFFER);
    for (let at = 1; at < 4000; at += 1000) t.receives('ACK', { seq: at, ack: 1, data: 1000 });
    t.sends('ACK', { ack: 4001, window: 0 });
    t.silentUntil(DAY_MS);
    t.receives('ACK', { seq: 4001, ack: 1, data: 'p' }).sends('ACK', { ack: 4001, window: 0 });
    assert.is(t.state, 'ESTABLISHED');
  });

  test('MUST-66: an acknowledgement counts when the window is shut', () => {
    const t = established(SMALL_BUFFER).send('abc');
    t.sends('ACK PSH');
    for (let at = 1; at < 4000; at += 1000) t.receives('ACK', { seq: at, ack: 1, data: 1000 });
    t.sends('ACK', { window: 0 });
    t.receives('ACK', { seq: 4001, ack: 4 });
    assert.is(t.info?.unackedBytes, 0);
  });

  test('the window of a SYN is never scaled, that of the next segment is (RFC 7323 2.2)', () => {
    const t = established({ peer: { windowScale: 7 }, profile: { windowShift: 2 } });
    assert.is(t.all('segment')[0]?.segment.window, 65_535);
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc' });
    const { window } = t.sendsAt(40, 'ACK');
    assert.ok(window * 4 >= 65_535 && window * 4 <= 256 * 1024, String(window));
  });

  test('scaling needs both sides (RFC 7323 2.2)', () => {
    assert.is(established().info?.rcvWindShift, undefined);
    const none = established({ profile: { windowShift: undefined }, peer: { windowScale: 7 } });
    assert.equal([none.info?.sndWindShift, none.info?.rcvWindShift], [undefined, undefined]);
    none.receives('ACK', { seq: 1, ack: 1, window: 1000 });
    assert.is(none.info?.sndWnd, 1000);
  });
});
