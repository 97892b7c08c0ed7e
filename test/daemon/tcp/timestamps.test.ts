/** Timestamps: what is echoed, what is measured, what is old. RFC 7323 sections 3 to 5 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { established, listening, synSent, type Trace } from './trace.ts';

const stamped = (value: number, echo = 0) => ({ timestamps: { value, echo } });
const agreed = () => established({ peer: stamped(1000) });
const DAY_MS = 24 * 3_600_000;

const clockOf = (sent: { options: { timestamps?: { value: number } | undefined } }) =>
  sent.options.timestamps?.value ?? 0;

spec('timestamps', (test) => {
  test('our clock counts milliseconds, from somewhere else for each connection (5.4)', () => {
    const t = agreed().send('a');
    const first = clockOf(t.sends('ACK PSH'));
    t.passTo(100).send('b');
    assert.is(clockOf(t.sends('ACK PSH')) - first, 100);
    const other = synSent({ seed: 2 });
    const values = [t, other].map(({ id, stack }) => stack.info(id)?.iss);
    assert.is.not(values[0], values[1]);
  });

  test('a SYN echoes nothing, a SYN,ACK what the SYN said', () => {
    const t = listening().receives('SYN', { seq: 0, options: stamped(77) });
    assert.is(t.sends('SYN ACK').options.timestamps?.echo, 77);
  });

  test('they are not offered when the profile says so, and not taken then', () => {
    const t = established({ profile: { offerTimestamps: false }, peer: stamped(5) });
    assert.is(t.info?.timestampsEnabled, false);
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc', options: {} });
    assert.is(t.read().data, 'abc');
  });

  test('4.3 (A): a delayed ACK echoes the first segment that it acknowledges', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'a', options: stamped(1001) });
    t.receives('ACK', { seq: 2, ack: 1, data: 'b', options: stamped(1002) });
    assert.is(t.sends('ACK', { ack: 3 }).options.timestamps?.echo, 1001);
  });

  test('4.3 (B): beyond a hole, it is the last one before the hole', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'a', options: stamped(1001) });
    t.sendsAt(40, 'ACK', { ack: 2 });
    t.receives('ACK', { seq: 11, ack: 1, data: 'c', options: stamped(1003) });
    assert.is(t.sends('ACK', { ack: 2 }).options.timestamps?.echo, 1001);
  });

  test('4.3 (C): what fills the hole is echoed', () => {
    const t = agreed().receives('ACK', { seq: 2, ack: 1, data: 'b', options: stamped(1002) });
    t.sends('ACK', { ack: 1 });
    t.receives('ACK', { seq: 1, ack: 1, data: 'a', options: stamped(1004) });
    assert.is(t.sends('ACK', { ack: 3 }).options.timestamps?.echo, 1004);
  });

  test('PAWS: a timestamp that has wrapped is newer, not older', () => {
    const t = established({ peer: stamped(0xffff_fff0) });
    t.receives('ACK', { seq: 1, ack: 1, data: 'a', options: stamped(5) });
    assert.is(t.read().data, 'a');
    t.sendsAt(40, 'ACK');
    t.receives('ACK', { seq: 2, ack: 1, data: 'b', options: stamped(0xffff_fff5) });
    assert.is(t.read().data, '');
    assert.is(t.stack.counters.dropped.paws, 1);
  });

  test('PAWS: an equal timestamp is no older one', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'a', options: stamped(1000) });
    assert.is(t.read().data, 'a');
  });

  test('PAWS: an old FIN closes nothing, an old RST of the right number does (5.2)', () => {
    const t = agreed().receives('FIN ACK', { seq: 1, ack: 1, options: stamped(999) });
    t.sends('ACK', { ack: 1 });
    assert.is(t.state, 'ESTABLISHED');
    assert.is(t.receives('RST', { seq: 1, options: stamped(999) }).ended, 'reset');
  });

  test('PAWS: TS.Recent holds for 24 days of silence, and not for longer (5.5)', () => {
    const arrives = (days: number) => {
      const t = agreed().passTo(days * DAY_MS);
      t.receives('ACK', { seq: 1, ack: 1, data: 'a', options: stamped(999) });
      return t.read().data;
    };
    assert.equal([arrives(23.9), arrives(24.1)], ['', 'a']);
  });

  test('a segment outside of the window leaves TS.Recent alone', () => {
    const t = agreed().receives('ACK', { seq: 500_000, ack: 1, data: 'a', options: stamped(2_000_000) });
    assert.is(t.sends('ACK', { ack: 1 }).options.timestamps?.echo, 1000);
    t.receives('ACK', { seq: 1, ack: 1, data: 'b', options: stamped(1001) });
    assert.is(t.read().data, 'b');
  });

  test('an echo of a time to come, or of none, is no measurement (4.1)', () => {
    for (const echo of [0, 0x7fff_0000]) {
      const t: Trace = agreed().send('abc');
      const sent = t.sends('ACK PSH');
      t.passTo(80);
      const said = echo === 0 ? 0 : (clockOf(sent) + 1_000_000) >>> 0;
      t.receives('ACK', { seq: 1, ack: 4, options: stamped(1001, said) });
      assert.is(t.info?.unackedBytes, 0);
      assert.ok((t.info?.srttUs ?? -1) >= 0 && (t.info?.srttUs ?? 0) <= 80_000);
    }
  });

  test('a RST of ours needs none', () => {
    const t = agreed().abort();
    t.sends('RST ACK', { seq: 1 });
  });
});
