/** SYN cookies: a flood of SYNs costs no memory, and who is real gets in. RFC 4987 section 3.6 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { listening, type Sent, type Trace, type TraceOptions } from './trace.ts';

const FULL = { mss: 1460, windowScale: 7, sackPermitted: true, timestamps: { value: 7, echo: 0 } };
const ALWAYS: TraceOptions = { profile: { synCookies: 'always' } };
/** The backlog of `listening`. */
const BACKLOG = 8;
/** Answers to strangers that wait at most. */
const REPLIES_MAX = 1024;

const fromPort = (t: Trace, port: number): Trace => {
  t.peerPort = port;
  return t;
};

/** Fills the queue of half-open connections. */
function pressed(options: TraceOptions = {}): Trace {
  const t = listening(options);
  for (let i = 0; i < BACKLOG; i += 1) {
    fromPort(t, 1000 + i)
      .receives('SYN', { seq: 0 })
      .sends('SYN ACK');
  }
  return fromPort(t, 2000);
}

function acceptedNow(t: Trace): Trace {
  const [told] = t.all('accepted').slice(-1);
  assert.ok(told, 'a connection is open');
  if (told) t.id = told.id;
  return t;
}

const stampsOf = (sent: Sent, value = 8) => ({
  timestamps: { value, echo: sent.options.timestamps?.value ?? 0 },
});

spec('SYN cookies', (test) => {
  test('under pressure, SYNs beyond the backlog are answered, and hold nothing', () => {
    const t = pressed();
    for (let i = 0; i < 500; i += 1)
      fromPort(t, 3000 + i)
        .receives('SYN', { seq: 0 })
        .sends('SYN ACK', { ack: 1 });
    assert.is(t.stack.usage().connections, BACKLOG);
    assert.is(t.stack.counters.synCookiesSent, 500);
  });

  test('who answers one is connected, and its text counts', () => {
    const t = pressed().receives('SYN', { seq: 0, options: { mss: 1300 } });
    t.sends('SYN ACK', { ack: 1 });
    t.receives('ACK PSH', { seq: 1, ack: 1, data: 'hello' });
    acceptedNow(t);
    assert.is(t.state, 'ESTABLISHED');
    assert.is(t.read().data, 'hello');
    assert.is(t.info?.sendMss, 1300);
    t.send('back').sends('ACK PSH', { seq: 1, ack: 6, data: 'back' });
    assert.is(t.stack.counters.synCookiesAccepted, 1);
  });

  test('the MSS is the next smaller one that a cookie can say', () => {
    for (const [mss, kept] of [
      [1460, 1460],
      [9000, 1460],
      [1459, 1452],
      [1000, 536],
      [100, 48],
    ] as const) {
      const t = listening(ALWAYS).receives('SYN', { seq: 0, options: { mss } });
      t.sends('SYN ACK');
      t.receives('ACK', { seq: 1, ack: 1 });
      assert.is(acceptedNow(t).info?.sendMss, kept);
    }
  });

  test('with timestamps, window scale, SACK and ECN come back', () => {
    for (const [flags, ecnEnabled] of [
      ['SYN', false],
      ['SYN ECE CWR', true],
    ] as const) {
      const t = listening(ALWAYS).receives(flags, { seq: 0, options: FULL });
      const answer = t.sends(ecnEnabled ? 'SYN ACK ECE' : 'SYN ACK', { ack: 1 });
      assert.is(answer.options.timestamps?.echo, 7);
      assert.ok(answer.options.sackPermitted && answer.options.windowScale !== undefined);
      t.receives('ACK', { seq: 1, ack: 1, window: 10, options: stampsOf(answer) });
      const info = acceptedNow(t).info;
      assert.equal(
        [info?.sndWindShift, info?.sackPermitted, info?.timestampsEnabled, info?.ecnEnabled, info?.sndWnd],
        [7, true, true, ecnEnabled, 1280],
      );
    }
  });

  test('without timestamps there is no room for them, and none is offered', () => {
    const t = listening(ALWAYS).receives('SYN', { seq: 0, options: { ...FULL, timestamps: undefined } });
    const { options } = t.sends('SYN ACK');
    assert.equal([options.windowScale, options.sackPermitted], [undefined, false]);
    t.receives('ACK', { seq: 1, ack: 1 });
    assert.is(acceptedNow(t).info?.sndWindShift, undefined);
  });

  test('our timestamps never go back after the cookie (PAWS)', () => {
    for (let ms = 0; ms < 200; ms += 7) {
      const t = listening(ALWAYS).passTo(ms).receives('SYN', { seq: 0, options: FULL });
      const first = t.sends('SYN ACK');
      t.receives('ACK', { seq: 1, ack: 1, options: stampsOf(first) });
      const second = acceptedNow(t).send('x').sends('ACK PSH');
      const later = (second.options.timestamps?.value ?? 0) - (first.options.timestamps?.value ?? 0);
      assert.ok((later | 0) >= 0, `${ms} ms: ${later}`);
    }
  });

  test('a wrong number, another port, another peer sequence number: RST, and no connection', () => {
    const forged: ((t: Trace) => Trace)[] = [
      (t) => t.receives('ACK', { seq: 1, ack: 2 }),
      (t) => t.receives('ACK', { seq: 1, ack: 1 + 8 }),
      (t) => t.receives('ACK', { seq: 2, ack: 1 }),
      (t) => fromPort(t, 2001).receives('ACK', { seq: 1, ack: 1 }),
    ];
    for (const forge of forged) {
      const t = pressed().receives('SYN', { seq: 0 });
      t.sends('SYN ACK');
      forge(t).sends('RST');
      assert.is(t.all('accepted').length, 0);
      assert.is(t.stack.usage().connections, BACKLOG);
    }
  });

  test('it is good for a minute at least, and for two at most', () => {
    const after = (ms: number) => {
      const t = pressed().receives('SYN', { seq: 0 });
      t.sends('SYN ACK');
      t.nowUs = ms * 1000;
      t.receives('ACK', { seq: 1, ack: 1 });
      return t.all('accepted').length;
    };
    assert.is(after(60_000), 1);
    assert.is(after(120_000), 0);
  });

  test('an answer that comes twice opens one connection', () => {
    const t = pressed().receives('SYN', { seq: 0 });
    t.sends('SYN ACK');
    t.receives('ACK', { seq: 1, ack: 1 }).receives('ACK', { seq: 1, ack: 1 });
    assert.is(t.all('accepted').length, 1);
    assert.is(t.stack.usage().connections, BACKLOG + 1);
  });

  test('with room in the queue none is sent, and an ACK from nowhere is reset', () => {
    const t = listening().receives('SYN', { seq: 0 });
    t.sends('SYN ACK');
    assert.is(t.stack.counters.synCookiesSent, 0);
    fromPort(t, 2000).receives('ACK', { seq: 1, ack: 77 }).sends('RST');
  });

  test('of more than can be answered, a peer that was connected before is answered, and first', () => {
    const t = pressed().receives('SYN', { seq: 0 });
    t.sends('SYN ACK');
    t.receives('ACK', { seq: 1, ack: 1 });
    const known = t.peer;
    t.peer = { family: 4, text: '192.0.2.99', bytes: Uint8Array.of(192, 0, 2, 99) };
    for (let port = 1; port <= REPLIES_MAX + 1; port += 1) fromPort(t, port).receives('SYN', { seq: 0 });
    assert.is(t.stack.counters.dropped['reply-queue-full'], 1);
    assert.is(t.stack.usage().queuedReplies, REPLIES_MAX);
    t.peer = known;
    fromPort(t, 5000).receives('SYN', { seq: 0 });
    assert.is(t.sends('SYN ACK').destinationPort, 5000);
    assert.is(t.sends('SYN ACK').destinationPort, 1);
    assert.is(t.stack.counters.dropped['reply-queue-full'], 1);
  });

  test('boots have keys of their own: a cookie of another is none', () => {
    const numbers = [1, 2].map((seed) => {
      const t = listening({ ...ALWAYS, seed }).receives('SYN', { seq: 0 });
      t.sends('SYN ACK');
      return t.iss;
    });
    assert.is.not(numbers[0], numbers[1]);
  });
});
