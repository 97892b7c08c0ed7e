/** Forged segments of somebody who sees nothing of the connection. RFC 5961, RFC 6528, RFC 5927, RFC 1337 */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import { spec } from '../../harness.ts';
import { established, finWait2, STATES, synReceived, synSent, Trace, timeWait } from './trace.ts';

spec('blind attacks (RFC 5961)', (test) => {
  test('N1, N2: of all numbers in a window, one resets', () => {
    for (const make of [established, finWait2]) {
      for (const seq of [2, 3, 100, 65_000]) {
        const t = make().receives('RST', { seq });
        t.sends('ACK', { ack: 1 });
        assert.is.not(t.state, 'CLOSED');
      }
      assert.is(make().receives('RST', { seq: 1 }).ended, 'reset');
    }
  });

  test('the answer to a challenge is a RST of the right number: a peer that restarted gets through', () => {
    const t = established().receives('SYN', { seq: 777_777 });
    const { ack } = t.sends('ACK', { seq: 1 });
    assert.is(t.receives('RST', { seq: ack }).ended, 'reset');
  });

  test('a thousand forged segments of any kind and number change nothing', () => {
    const random = new SeededRandom(11);
    const kinds = ['SYN', 'SYN ACK', 'FIN ACK', 'ACK PSH', 'ACK', 'ACK URG'] as const;
    const t = established().send('abc');
    t.sends('ACK PSH');
    for (let i = 0; i < 1000; i += 1) {
      t.nowUs += 100;
      const away = 2 ** 20 + random.below(2 ** 30);
      t.receives(kinds[random.below(kinds.length)] ?? 'ACK', {
        seq: random.chance(0.5) ? away : 1,
        ack: random.chance(0.5) ? away : -away,
        data: random.below(10),
        urgentPointer: random.below(100),
      });
      while (t.next());
    }
    assert.is(t.state, 'ESTABLISHED');
    assert.equal([t.info?.unackedBytes, t.info?.unreadBytes], [3, 0]);
    assert.ok(t.stack.counters.challengeAcksSent <= 10);
  });

  test('N5: text with an acknowledgement from more than a window ago is not taken, from within one it is', () => {
    const t = established({ peerWindow: 1000 });
    for (let at = 1; at < 2001; at += 1000) {
      t.send(1000).sends('ACK PSH', { seq: at });
      t.receives('ACK', { seq: 1, ack: at + 1000, window: 1000 });
    }
    t.receives('ACK', { seq: 1, ack: 1000, window: 1000, data: 'evil' }).sends('ACK', { ack: 1 });
    assert.is(t.info?.unreadBytes, 0);
    t.receives('ACK', { seq: 1, ack: 1001, window: 1000, data: 'late' });
    assert.is(t.read().data, 'late');
  });

  test('text with an acknowledgement of what lies before our first octet is not taken', () => {
    const t = established().send(100);
    t.sends('ACK PSH');
    t.receives('ACK', { seq: 1, ack: 0, data: 'evil' }).sends('ACK', { ack: 1 });
    t.receives('ACK', { seq: 1, ack: 101 }).receives('ACK', { seq: 1, ack: 0, data: 'evil' });
    t.sends('ACK', { ack: 1 });
    t.receives('ACK', { seq: 1, ack: 1, data: 'late' });
    assert.is(t.read().data, 'late');
  });

  test('the count of challenges is that of each connection: one does not tell of another (CVE-2016-5696)', () => {
    const t = established();
    for (let i = 0; i < 20; i += 1) t.receives('SYN', { seq: 7 });
    while (t.next());
    t.enginePort += 1;
    t.connect().sends('SYN');
    t.receives('SYN ACK', { seq: 0, ack: 1 }).sends('ACK');
    t.receives('SYN', { seq: 7 }).sends('ACK', { seq: 1 });
  });

  test('as RFC 793, where the profile says so: a RST anywhere in the window resets', () => {
    const t = established({ profile: { challengeRst: false } });
    assert.is(t.receives('RST', { seq: 500 }).ended, 'reset');
    const syn = established({ profile: { challengeSyn: false } }).receives('SYN', { seq: 5 });
    syn.sends('RST ACK', { seq: 1, ack: 1 });
    assert.is(syn.ended, 'reset');
  });
});

spec('sequence numbers (RFC 6528)', (test) => {
  const issAt = (seed: number, port: number, ms: number) => {
    const t = new Trace({ seed }).passTo(ms);
    t.enginePort = port;
    t.connect().sends('SYN');
    return t.iss;
  };

  test('SHLD-1: the same four numbers again begin beyond where they were', () => {
    let before = issAt(1, 40_000, 0);
    for (let ms = 1; ms < 1_000_000; ms *= 3) {
      const now = issAt(1, 40_000, ms);
      assert.ok(((now - before) | 0) > 0, `${ms} ms`);
      before = now;
    }
  });

  test('SHLD-1, MUST-9: neighbouring ports say nothing of each other', () => {
    const steps = Array.from(
      { length: 64 },
      (_, i) => (issAt(1, 40_001 + i, 0) - issAt(1, 40_000 + i, 0)) >>> 0,
    );
    assert.is(new Set(steps).size, steps.length);
    const bits = steps.reduce((sum, step) => sum + step.toString(2).replaceAll('0', '').length, 0);
    assert.ok(Math.abs(bits / (64 * 32) - 0.5) < 0.08, 'half of the bits are set');
  });
});

spec('old segments (RFC 1337, RFC 6191)', (test) => {
  test('TIME-WAIT: old text and an old FIN are acknowledged, an old RST is dropped', () => {
    const t = timeWait().receives('ACK', { seq: -10, ack: 2, data: 'old' });
    t.sends('ACK', { seq: 2, ack: 2 });
    t.receives('FIN ACK', { seq: 1, ack: 2 }).sends('ACK', { seq: 2, ack: 2 });
    t.receives('RST', { seq: 2 }).receives('RST', { seq: -5 }).silent();
    assert.is(t.state, 'TIME-WAIT');
    assert.is(t.stack.counters.dropped['rst-in-time-wait'], 1);
  });

  test('our own reuse of the four numbers: only where timestamps tell old from new', () => {
    const stamps = { timestamps: { value: 5, echo: 0 } };
    const reopened = (t: Trace) =>
      t.stack.connect(
        { remote: { address: t.peer, port: t.peerPort }, local: { port: t.enginePort } },
        t.nowUs,
      );
    assert.equal(reopened(timeWait()), { ok: false, reason: 'connection-exists' });
    const t = timeWait({ peer: stamps }).passTo(2000);
    assert.ok(reopened(t).ok);
    assert.is(t.ended, 'closed');
  });
});

spec('ICMP that was forged (RFC 5927)', (test) => {
  test('a quote of the right four numbers and a guessed sequence number does nothing in any state', () => {
    for (const make of [...Object.values(STATES), synSent, synReceived]) {
      const t = make();
      const { state } = t;
      const about = (t.last ?? new Uint8Array(40)).slice();
      new DataView(about.buffer).setUint32(24, ((t.info?.sndNxt ?? 0) + 123_456) >>> 0);
      for (const [type, code] of [
        [3, 1],
        [3, 3],
        [3, 4],
        [11, 0],
      ] as const) {
        t.receivesIcmp(type, code, { about, mtu: 68 });
      }
      assert.is(t.state, state);
      assert.is(t.all('icmp').length, 0);
    }
  });
});
