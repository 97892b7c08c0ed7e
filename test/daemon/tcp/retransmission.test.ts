/** Lost segments: RFC 6298 (timeout), RFC 5681 and 6582 (congestion, fast retransmit), RFC 9293 3.8.3 (giving up) */

import * as assert from 'uvu/assert';
import { CongestionWindow } from '../../../daemon/tcp/congestion.ts';
import { FINWAIT_PROFILE } from '../../../daemon/tcp/profiles/finwait.ts';
import { RttEstimator } from '../../../daemon/tcp/rtt.ts';
import { spec } from '../../harness.ts';
import { established, synSent, type Trace } from './trace.ts';

const FLOORLESS = { ...FINWAIT_PROFILE, minRtoUs: 1 };

function lengths(t: Trace): number[] {
  const all: number[] = [];
  for (let sent = t.next(); sent; sent = t.next()) all.push(sent.data.length);
  return all;
}

spec('the retransmission timeout (MUST-18)', (test) => {
  test('MUST-18 (2.1): one second before there is a measurement', () => {
    assert.is(new RttEstimator(FINWAIT_PROFILE).rtoUs, 1_000_000);
  });

  test('(2.2) the first measurement R: SRTT = R, RTTVAR = R/2, RTO = 3 R', () => {
    const rtt = new RttEstimator(FLOORLESS);
    rtt.sample(100_000);
    assert.equal([rtt.srttUs, rtt.rttvarUs, rtt.rtoUs], [100_000, 50_000, 300_000]);
  });

  test('(2.3) the next ones: RTTVAR with the old SRTT, by quarters and eighths', () => {
    const rtt = new RttEstimator(FLOORLESS);
    rtt.sample(100_000);
    rtt.sample(180_000);
    // RTTVAR = 3/4 * 50 + 1/4 * |100 - 180| = 57.5; SRTT = 7/8 * 100 + 1/8 * 180 = 110
    assert.equal([rtt.srttUs, rtt.rttvarUs, rtt.rtoUs], [110_000, 57_500, 340_000]);
  });

  test('(2.4), (2.5) it has a floor and a ceiling', () => {
    const rtt = new RttEstimator(FINWAIT_PROFILE);
    rtt.sample(10);
    assert.is(rtt.rtoUs, 200_000);
    for (let i = 0; i < 30; i += 1) rtt.backOff();
    assert.is(rtt.rtoUs, 120_000_000);
  });

  test('MUST-18, MUST-19 (5.5): each expiry doubles it, a new acknowledgement ends that', () => {
    const rtt = new RttEstimator(FINWAIT_PROFILE);
    rtt.backOff();
    rtt.backOff();
    assert.is(rtt.rtoUs, 4_000_000);
    rtt.endBackOff();
    assert.is(rtt.rtoUs, 1_000_000);
  });

  test('(5.7) after a lost SYN, data starts with three seconds', () => {
    const t = synSent();
    t.sendsAt(1000, 'SYN');
    t.receives('SYN ACK', { seq: 0, ack: 1 }).sends('ACK');
    assert.is(t.info?.rtoUs, 3_000_000);
    assert.is(t.info?.cwnd, 536, 'and with one segment (RFC 5681 3.1)');
    assert.is(t.info?.srttUs, undefined);
  });

  test('the round trip of the handshake is the first measurement, to the microsecond', () => {
    const t = synSent();
    t.nowUs = 123_456;
    t.receives('SYN ACK', { seq: 0, ack: 1 }).sends('ACK');
    assert.is(t.info?.srttUs, 123_456);
  });

  test('MUST-18, Karn: what was sent twice is not measured', () => {
    const t = established().send('abc');
    t.sends('ACK PSH');
    t.sendsAt(200, 'ACK PSH', { seq: 1, data: 'abc' });
    const before = t.info?.srttUs;
    t.passTo(350).receives('ACK', { seq: 1, ack: 4 });
    assert.is(t.info?.srttUs, before);
  });

  test('with timestamps, the answer to the repetition is measured, an older echo is not', () => {
    const run = (echoOf: 'first' | 'second') => {
      const t = established({ peer: { timestamps: { value: 1, echo: 0 } } }).send('abc');
      const first = t.sends('ACK PSH').options.timestamps?.value ?? 0;
      const second = t.sendsAt(200, 'ACK PSH').options.timestamps?.value ?? 0;
      const echo = echoOf === 'first' ? first : second;
      t.passTo(350).receives('ACK', { seq: 1, ack: 4, options: { timestamps: { value: 2, echo } } });
      return t.info?.srttUs;
    };
    assert.is(run('first'), 0);
    assert.is(run('second'), 150_000 / 8);
  });
});

spec('retransmission of data', (test) => {
  test('the first unacknowledged segment is repeated after the RTO, ever later', () => {
    const t = established().send('abc');
    t.sends('ACK PSH', { seq: 1, data: 'abc' });
    for (const ms of [200, 600, 1400, 3000]) t.sendsAt(ms, 'ACK PSH', { seq: 1, data: 'abc' });
    assert.is(t.info?.retransmits.data, 4);
    const out = t.all('segment').filter(({ direction }) => direction === 'out');
    assert.equal(
      out.slice(-2).map(({ segment }) => segment.retransmission),
      [true, true],
    );
    t.receives('ACK', { seq: 1, ack: 4 }).silentUntil(1_000_000);
  });

  test('(5.3) an acknowledgement of a part starts the timer again', () => {
    const t = established().send(2000);
    assert.is(lengths(t).length, 2);
    t.passTo(150).receives('ACK', { seq: 1, ack: 1001 });
    t.sendsAt(350, 'ACK PSH', { seq: 1001, data: 1000 });
  });

  test('after a timeout, one segment; then two; the rest as acknowledgements come (MUST-19)', () => {
    const t = established().send(5000);
    assert.is(lengths(t).length, 5);
    t.sendsAt(200, 'ACK', { seq: 1, data: 1000 });
    t.silent();
    t.receives('ACK', { seq: 1, ack: 1001 });
    assert.equal(lengths(t), [1000, 1000]);
  });

  test('MUST-20b: data that is never acknowledged ends the connection after five minutes', () => {
    const t = established().send('abc');
    while (t.state === 'ESTABLISHED') {
      while (t.next());
      t.passTo(t.stack.nextDeadlineUs() / 1000);
    }
    assert.is(t.ended, 'timeout');
    assert.is(t.nowUs, 300_000_000);
    assert.is(t.all('retransmission-warning').length, 1);
  });

  test('SHLD-16: what is in flight is repeated even when the window has shrunk', () => {
    const t = established().send(3000);
    lengths(t);
    t.receives('ACK', { seq: 1, ack: 1, window: 1000 });
    t.sendsAt(200, 'ACK', { seq: 1, data: 1000 });
  });
});

spec('NewReno', (test) => {
  const MSS = 1000;
  const start = (mss = MSS, synWasLost = false) =>
    new CongestionWindow(FINWAIT_PROFILE, 'newreno', mss, synWasLost);
  const newReno = { profile: { congestion: 'newreno' } } as const;

  test('RFC 6928: ten segments to begin with, one when the SYN was lost', () => {
    assert.is(start().cwnd, 10_000);
    assert.is(start(1460).cwnd, 14_600);
    assert.is(start(9000).cwnd, 18_000);
    assert.is(start(MSS, true).cwnd, MSS);
  });

  test('slow start: as much as was acknowledged, never more than eight segments (RFC 9406)', () => {
    const window = start();
    window.onAck(2000, 10_000, 0, 0);
    assert.is(window.cwnd, 12_000);
    window.onAck(500, 10_000, 0, 0);
    assert.is(window.cwnd, 12_500);
    window.onAck(12_000, 12_500, 0, 0);
    assert.is(window.cwnd, 20_500);
  });

  test('a window that is not used does not grow', () => {
    const window = start();
    window.onAck(1000, 1000, 0, 0);
    assert.is(window.cwnd, 10_000);
  });

  test('congestion avoidance: about a segment for each round trip', () => {
    const window = start();
    window.reduce(8000);
    window.cwnd = window.ssthresh;
    assert.is(window.cwnd, 4000);
    for (let i = 0; i < 4; i += 1) window.onAck(1000, 4000, 0, 0);
    assert.ok(window.cwnd > 4900 && window.cwnd <= 5000, String(window.cwnd));
  });

  test('a timeout: half of what was in flight as threshold, one segment as window; once only', () => {
    const t = established(newReno).send(10_000);
    lengths(t);
    t.sendsAt(200, 'ACK', { seq: 1, data: 1000 });
    assert.equal([t.info?.cwnd, t.info?.ssthresh], [MSS, 5000]);
    t.sendsAt(600, 'ACK', { seq: 1, data: 1000 });
    assert.equal([t.info?.cwnd, t.info?.ssthresh], [MSS, 5000]);
  });

  test('the third duplicate acknowledgement repeats the first segment, and recovery follows (RFC 6582, 6937)', () => {
    const t = established(newReno).send(10_000);
    assert.is(lengths(t).length, 10);
    const duplicate = () => t.receives('ACK', { seq: 1, ack: 1 });
    duplicate().silent();
    duplicate().silent();
    duplicate().sends('ACK', { seq: 1, data: 1000 });
    t.silent();
    assert.equal([t.info?.ssthresh, t.info?.recovery], [5000, 'recovery']);
    // A partial acknowledgement: the next hole is repeated at once.
    t.receives('ACK', { seq: 1, ack: 3001 }).sends('ACK', { seq: 3001, data: 1000 });
    t.receives('ACK', { seq: 1, ack: 10_001 });
    assert.equal([t.info?.cwnd, t.info?.recovery], [5000, 'open']);
  });

  test('RFC 3042: each of the first two duplicates lets a new segment go', () => {
    const t = established(newReno).send(13_000);
    assert.is(lengths(t).length, 10);
    for (const seq of [10_001, 11_001]) {
      t.receives('ACK', { seq: 1, ack: 1 }).sends('ACK', { seq, data: 1000 });
    }
  });

  test('an acknowledgement with data, or with another window, is no duplicate (RFC 5681 section 2)', () => {
    const t = established(newReno).send(10_000);
    lengths(t);
    for (let i = 0; i < 5; i += 1) t.receives('ACK', { seq: 1, ack: 1, window: 60_000 + i });
    for (let i = 0; i < 5; i += 1) t.receives('ACK', { seq: 1 + i, ack: 1, data: 'x', window: 60_004 });
    assert.equal(lengths(t), [0]);
  });

  test('duplicates of a loss that is dealt with begin no second recovery', () => {
    const t = established(newReno).send(10_000);
    lengths(t);
    for (let i = 0; i < 3; i += 1) t.receives('ACK', { seq: 1, ack: 1 });
    t.sends('ACK', { seq: 1 });
    t.receives('ACK', { seq: 1, ack: 10_001 }).send(4000);
    lengths(t);
    // Late duplicates, below what ended the recovery.
    for (let i = 0; i < 4; i += 1) t.receives('ACK', { seq: 1, ack: 10_001 });
    t.silent();
    assert.is(t.info?.recovery, 'open');
  });
});
