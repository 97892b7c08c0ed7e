/** Loss found by time: RACK and the tail loss probe. RFC 8985 */

import * as assert from 'uvu/assert';
import { TailLossProbe } from '../../../daemon/tcp/tail-loss-probe.ts';
import { seqAdd } from '../../../daemon/wire/seq.ts';
import { spec } from '../../harness.ts';
import { synSent, type Trace, type TraceOptions } from './trace.ts';

const RTT_MS = 100;

/** A connection with SACK and a round trip of 100 ms. */
function agreed(options: TraceOptions = {}): Trace {
  const t = synSent({
    ...options,
    profile: { congestion: 'newreno', ...options.profile },
    peer: { sackPermitted: true },
  });
  t.passTo(RTT_MS).receives('SYN ACK', { seq: 0, ack: 1, options: { mss: 1000, sackPermitted: true } });
  t.sends('ACK');
  assert.is(t.info?.srttUs, RTT_MS * 1000);
  return t;
}

function sentNow(t: Trace): number[] {
  const all: number[] = [];
  for (let sent = t.next(); sent; sent = t.next()) if (sent.data.length > 0) all.push(sent.seq);
  return all;
}

function sacked(t: Trace, ack: number, ...ranges: [number, number][]): Trace {
  const sack = ranges.map(([left, right]) => ({ left: seqAdd(t.iss, left), right: seqAdd(t.iss, right) }));
  return t.receives('ACK', { seq: 1, ack, options: { sack } });
}

spec('RACK (RFC 8985 section 6)', (test) => {
  test('a segment that was overtaken is lost a quarter of a round trip later', () => {
    const t = agreed().send(2000);
    assert.equal(sentNow(t), [1, 1001]);
    t.passTo(200);
    sacked(t, 1, [1001, 2001]);
    t.sendsAt(225, 'ACK', { seq: 1, data: 1000 });
    assert.is(t.info?.recovery, 'recovery');
  });

  test('three segments beyond it, and no reordering so far: at once', () => {
    const t = agreed().send(10_000);
    sentNow(t);
    t.passTo(200);
    sacked(t, 1, [1001, 2001]).silent();
    sacked(t, 1, [1001, 3001]).silent();
    sacked(t, 1, [1001, 4001]);
    assert.equal(sentNow(t), [1]);
  });

  test('one that comes late, before the wait is over, was reordered: nothing is sent again', () => {
    const t = agreed().send(2000);
    sentNow(t);
    t.passTo(200);
    sacked(t, 1, [1001, 2001]);
    t.passTo(220).receives('ACK', { seq: 1, ack: 2001 });
    t.silentUntil(5000);
    assert.ok(t.info?.reorderingSeen);
    assert.is(t.info?.retransmits.data, 0);
  });

  test('an ACK that moves on and reports what lies beyond a hole is no sign of reordering', () => {
    const t = agreed().send(10_000);
    sentNow(t);
    t.passTo(200);
    sacked(t, 2001, [3001, 6001]);
    assert.equal(sentNow(t), [2001], 'three beyond it: at once');
    assert.is(t.info?.reorderingSeen, false);
  });

  test('once reordering was seen, three duplicates prove nothing, time does', () => {
    const t = agreed().send(2000);
    sentNow(t);
    t.passTo(200);
    sacked(t, 1, [1001, 2001]);
    t.passTo(210).receives('ACK', { seq: 1, ack: 2001 }).send(10_000);
    sentNow(t);
    t.passTo(310);
    sacked(t, 2001, [3001, 8001]);
    assert.equal(sentNow(t), []);
    t.sendsAt(335, 'ACK', { seq: 2001 });
  });

  test('a repetition that is lost too is found: something sent after it has arrived', () => {
    const t = agreed().send(10_000);
    sentNow(t);
    t.passTo(200);
    sacked(t, 1, [1001, 4001]);
    assert.equal(sentNow(t), [1]);
    t.send(5000);
    sacked(t, 1, [1001, 10_001]);
    const fresh = sentNow(t);
    assert.ok(fresh.includes(10_001), fresh.join());
    t.passTo(310);
    sacked(t, 1, [1001, 11_001]);
    assert.is(sentNow(t)[0], 1, 'sent a third time, without a timeout');
  });

  test('a D-SACK says that nothing had been lost: the wait grows (RFC 8985 6.2 step 4)', () => {
    const t = agreed().send(2000);
    sentNow(t);
    t.passTo(200);
    sacked(t, 1, [1001, 2001]);
    t.sendsAt(225, 'ACK', { seq: 1 });
    t.passTo(240).receives('ACK', { seq: 1, ack: 2001 });
    t.passTo(325);
    sacked(t, 2001, [1, 1001]);
    t.send(2000);
    sentNow(t);
    t.passTo(425);
    sacked(t, 2001, [3001, 4001]);
    t.silentUntil(425 + 49);
    t.passTo(425 + 51);
    assert.equal(sentNow(t), [2001]);
  });
});

spec('the tail loss probe (RFC 8985 section 7)', (test) => {
  test('PTO: two round trips, and the delay of an ACK when one segment is in flight', () => {
    assert.is(TailLossProbe.timeoutUs(undefined, 1), 1_000_000);
    assert.is(TailLossProbe.timeoutUs(100_000, 5), 202_000);
    assert.is(TailLossProbe.timeoutUs(100_000, 1), 400_000);
  });

  test('the last segment is sent again before the timeout', () => {
    const t = agreed().send(2000);
    sentNow(t);
    t.sendsAt(RTT_MS + 202, 'ACK PSH', { seq: 1001, data: 1000 });
    assert.equal([t.info?.cwnd, t.info?.recovery], [10_000, 'open'], 'a probe is no sign of loss yet');
  });

  test('new text goes first, where the window of the peer takes it', () => {
    const t = agreed({ profile: { initialWindowSegments: 2 } }).send(5000);
    assert.equal(sentNow(t), [1, 1001]);
    t.sendsAt(RTT_MS + 202, 'ACK', { seq: 2001, data: 1000 });
  });

  test('the timeout counts from the probe, and there is one probe only', () => {
    const t = agreed().send(2000);
    sentNow(t);
    t.sendsAt(302, 'ACK PSH', { seq: 1001 });
    t.sendsAt(602, 'ACK', { seq: 1, data: 1000 });
    assert.equal([t.info?.cwnd, t.info?.recovery], [1000, 'loss']);
  });

  test('7.4.2: a probe that repaired the loss is answered as one, and the window shrinks', () => {
    const t = agreed().send(2000);
    sentNow(t);
    t.sendsAt(302, 'ACK PSH', { seq: 1001 });
    t.passTo(402).receives('ACK', { seq: 1, ack: 2001 });
    assert.is(t.info?.ssthresh, Number.POSITIVE_INFINITY, 'not told yet');
    t.send(1000);
    sentNow(t);
    t.passTo(502).receives('ACK', { seq: 1, ack: 3001 });
    assert.ok(Number.isFinite(t.info?.ssthresh ?? 0), 'no D-SACK came: the original had been lost');
  });

  test('7.4.2: a D-SACK says that the original had arrived: the window stays', () => {
    const t = agreed().send(2000);
    sentNow(t);
    t.sendsAt(302, 'ACK PSH', { seq: 1001 });
    t.passTo(402);
    sacked(t, 2001, [1001, 2001]);
    t.send(1000);
    sentNow(t);
    t.passTo(502).receives('ACK', { seq: 1, ack: 3001 });
    assert.is(t.info?.ssthresh, Number.POSITIVE_INFINITY);
  });

  test('a probe with new text is the only one, too', () => {
    const t = agreed({ profile: { initialWindowSegments: 2 } }).send(5000);
    sentNow(t);
    t.sendsAt(302, 'ACK', { seq: 2001 });
    t.sendsAt(602, 'ACK', { seq: 1, data: 1000 });
  });

  test('without SACK, and with the profile of FreeBSD, there is none', () => {
    const none = synSent().passTo(RTT_MS);
    none.receives('SYN ACK', { seq: 0, ack: 1, options: { mss: 1000 } }).sends('ACK');
    none.send(2000);
    sentNow(none);
    none.sendsAt(RTT_MS + 300, 'ACK', { seq: 1 });
    const t = agreed({ profile: { lossDetection: 'sack' } }).send(2000);
    sentNow(t);
    t.sendsAt(RTT_MS + 300, 'ACK', { seq: 1 });
  });
});
