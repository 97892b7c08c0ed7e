/** Lost segments: RFC 6298 (timeout), RFC 5681 and 6582 (congestion, fast retransmit), RFC 9293 3.8.3 (giving up) */

import * as assert from 'uvu/assert';
import { NewReno } from '../../../daemon/tcp/congestion.ts';
import { FINWAIT_PROFILE } from '../../../daemon/tcp/profile.ts';
import { RttEstimator } from '../../../daemon/tcp/rtt.ts';
import { seq } from '../../../daemon/wire/seq.ts';
import { spec } from '../../harness.ts';
import { established, synSent, type Trace } from './trace.ts';

const FLOORLESS = { ...FINWAIT_PROFILE, minRtoUs: 1 };

function lengths(t: Trace): number[] {
  const all: number[] = [];
  for (let sent = t.next(); sent; sent = t.next()) all.push(sent.data.length);
  return all;
}

spec('the retransmission timeout (MUST-18)', (test) => {
  test('(2.1) one second before there is a measurement', () => {
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

  test('(5.5) each expiry doubles it, a new acknowledgement ends that', () => {
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

  test('Karn: what was sent twice is not measured', () => {
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
  const start = () => new NewReno(MSS, seq(0), false);

  test('RFC 6928: ten segments to begin with, one when the SYN was lost', () => {
    assert.is(start().cwnd, 10_000);
    assert.is(new NewReno(1460, seq(0), false).cwnd, 14_600);
    assert.is(new NewReno(9000, seq(0), false).cwnd, 18_000);
    assert.is(new NewReno(MSS, seq(0), true).cwnd, MSS);
  });

  test('slow start: a segment for each acknowledgement, never more', () => {
    const cc = start();
    cc.onAck(seq(2000), 2000, 8000);
    assert.is(cc.cwnd, 11_000);
    cc.onAck(seq(2500), 500, 8000);
    assert.is(cc.cwnd, 11_500);
  });

  test('a window that is not used does not grow', () => {
    const cc = start();
    cc.onAck(seq(1000), 1000, 0);
    assert.is(cc.cwnd, 10_000);
  });

  test('a timeout: half of what was in flight as threshold, one segment as window; once only', () => {
    const cc = start();
    cc.onTimeout(seq(10_000), 10_000, true);
    assert.equal([cc.cwnd, cc.ssthresh], [MSS, 5000]);
    cc.onTimeout(seq(10_000), MSS, false);
    assert.is(cc.ssthresh, 5000);
  });

  test('congestion avoidance: about a segment for each round trip', () => {
    const cc = start();
    cc.onTimeout(seq(4000), 4000, true);
    for (let una = 1000; cc.cwnd < cc.ssthresh; una += 1000) cc.onAck(seq(una), 1000, 4000);
    assert.is(cc.cwnd, 2000);
    cc.onAck(seq(9000), 1000, 4000);
    cc.onAck(seq(10_000), 1000, 4000);
    assert.ok(cc.cwnd > 2800 && cc.cwnd <= 3000);
  });

  test('the third duplicate acknowledgement repeats the first segment, and recovery follows (RFC 6582)', () => {
    const t = established().send(10_000);
    assert.is(lengths(t).length, 10);
    const duplicate = () => t.receives('ACK', { seq: 1, ack: 1 });
    duplicate().silent();
    duplicate().silent();
    duplicate().sends('ACK', { seq: 1, data: 1000 });
    t.silent();
    assert.equal([t.info?.ssthresh, t.info?.cwnd], [5000, 8000]);
    duplicate();
    assert.is(t.info?.cwnd, 9000);
    // A partial acknowledgement: the next hole is repeated at once.
    t.receives('ACK', { seq: 1, ack: 3001 }).sends('ACK', { seq: 3001, data: 1000 });
    t.receives('ACK', { seq: 1, ack: 10_001 });
    assert.ok((t.info?.cwnd ?? 0) <= 5000);
  });

  test('an acknowledgement with data, or with another window, is no duplicate (RFC 5681 section 2)', () => {
    const t = established().send(10_000);
    lengths(t);
    for (let i = 0; i < 5; i += 1) t.receives('ACK', { seq: 1, ack: 1, window: 60_000 + i });
    for (let i = 0; i < 5; i += 1) t.receives('ACK', { seq: 1 + i, ack: 1, data: 'x', window: 60_004 });
    assert.equal(lengths(t), [0]);
  });

  test('duplicates of a loss that is dealt with begin no second recovery', () => {
    const cc = start();
    for (let i = 0; i < 3; i += 1) cc.onDuplicateAck(seq(1000), seq(11_000), 10_000);
    assert.ok(cc.recovering);
    cc.onAck(seq(11_000), 10_000, 0);
    assert.not(cc.recovering);
    const advice = [1, 2, 3].map(() => cc.onDuplicateAck(seq(11_000), seq(15_000), 4000));
    assert.equal(advice, ['none', 'none', 'none']);
  });
});
