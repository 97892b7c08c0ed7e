/** Keepalive: is a peer still there that has nothing to say? RFC 9293 section 3.8.4 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { closeWait, established, finWait2, type Trace } from './trace.ts';

const IDLE_MS = 7_200_000;
const INTERVAL_MS = 75_000;
const ON = { connect: { keepAlive: true } } as const;
const FAST = {
  connect: { keepAlive: true, keepIdleUs: 10_000_000, keepIntervalUs: 1_000_000, keepCount: 3 },
} as const;

/** The probe that comes then: no text, and a number that was acknowledged. */
const probes = (t: Trace, ms: number) => t.sendsAt(ms, 'ACK', { seq: 0, ack: 1, data: '' });

spec('keepalive', (test) => {
  test('MUST-25: it is off unless asked for: a day of silence is one', () => {
    assert.is(established().silentUntil(24 * 3_600_000).state, 'ESTABLISHED');
    assert.is(established().stack.optionsOf(established().id)?.keepAlive, false);
  });

  test('MUST-24, MUST-28, SHLD-12, MAY-5: on, it asks after two hours, with SND.NXT - 1 and no text', () => {
    const t = established(ON);
    probes(t, IDLE_MS);
    t.receives('ACK', { seq: 1, ack: 1 });
    probes(t, 2 * IDLE_MS);
  });

  test('MUST-24: it can be switched on and off while the connection lives', () => {
    const t = established();
    t.stack.configure(t.id, { keepAlive: true }, 0);
    probes(t, IDLE_MS);
    t.receives('ACK', { seq: 1, ack: 1 });
    t.stack.configure(t.id, { keepAlive: false }, t.nowUs);
    t.silentUntil(10 * IDLE_MS);
  });

  test('MUST-29: eight probes may be lost; when the ninth is answered, all is well', () => {
    const t = established(ON);
    for (let i = 0; i < 9; i += 1) probes(t, IDLE_MS + i * INTERVAL_MS);
    assert.is(t.info?.probes, 9);
    t.receives('ACK', { seq: 1, ack: 1 });
    assert.is(t.info?.probes, 0);
    probes(t, IDLE_MS + 8 * INTERVAL_MS + IDLE_MS);
    assert.is(t.state, 'ESTABLISHED');
  });

  test('MUST-29: nine that nobody answers are death, and the peer is told', () => {
    const t = established(ON);
    for (let i = 0; i < 9; i += 1) probes(t, IDLE_MS + i * INTERVAL_MS);
    t.sendsAt(IDLE_MS + 9 * INTERVAL_MS, 'RST ACK', { seq: 1, ack: 1 });
    assert.is(t.ended, 'timeout');
  });

  test("MUST-27: idle time, interval and count are the user's", () => {
    const t = established(FAST);
    for (const ms of [10_000, 11_000, 12_000]) probes(t, ms);
    t.sendsAt(13_000, 'RST ACK');
    assert.is(t.ended, 'timeout');
  });

  test('MUST-26: whatever the peer sends begins the wait anew', () => {
    const t = established(FAST).passTo(9000).receives('ACK', { seq: 1, ack: 1, data: 'x' });
    t.sendsAt(9040, 'ACK', { ack: 2 });
    t.sendsAt(19_000, 'ACK', { seq: 0, ack: 2, data: '' });
  });

  test('MUST-26: what waits for an acknowledgement is asked for by itself', () => {
    const t = established(FAST).send('abc');
    t.sends('ACK PSH');
    while (t.nowUs < 20_000_000) {
      t.passTo(t.stack.nextDeadlineUs() / 1000);
      t.sends('ACK PSH', { seq: 1, data: 'abc' });
    }
    t.receives('ACK', { seq: 1, ack: 4 });
    t.sendsAt(t.nowUs / 1000 + 10_000, 'ACK', { seq: 3, data: '' });
  });

  test('half-closed connections are asked as well', () => {
    finWait2(FAST).sendsAt(10_000, 'ACK', { seq: 1, ack: 1, data: '' });
    closeWait(FAST).sendsAt(10_000, 'ACK', { seq: 0, ack: 2, data: '' });
  });

  test('a peer that has forgotten the connection resets it', () => {
    const t = established(FAST);
    probes(t, 10_000);
    assert.is(t.receives('RST', { seq: 1 }).ended, 'reset');
  });

  test('with a user timeout, that decides and not the count (as Linux)', () => {
    const t = established({ connect: { ...FAST.connect, userTimeoutUs: 15_000_000 } });
    for (const ms of [10_000, 11_000, 12_000, 13_000, 14_000]) probes(t, ms);
    t.sendsAt(15_000, 'RST ACK');
    assert.is(t.ended, 'timeout');
  });

  test('a listener hands its options on', () => {
    const t = established();
    const listener = t.stack.listen({ port: 81 }, 1, FAST.connect);
    assert.ok(listener.ok && t.stack.optionsOf(listener.value)?.keepAlive);
  });
});
