/** What a loss does to the window, and for how long. RFC 5681, RFC 6582, RFC 6937, RFC 3522 */

import * as assert from 'uvu/assert';
import { CongestionWindow } from '../../../daemon/tcp/congestion.ts';
import { FINWAIT_PROFILE } from '../../../daemon/tcp/profiles/finwait.ts';
import { Recovery } from '../../../daemon/tcp/recovery.ts';
import { seq } from '../../../daemon/wire/seq.ts';
import { spec } from '../../harness.ts';
import { established, type Trace } from './trace.ts';

const MSS = 1000;
const RENO = { profile: { congestion: 'newreno' } } as const;

function sentNow(t: Trace): number[] {
  const all: number[] = [];
  for (let sent = t.next(); sent; sent = t.next()) if (sent.data.length > 0) all.push(sent.seq);
  return all;
}

/** Segments 1 to 10 are in flight, and the first was found lost and sent again. */
function recovering(): Trace {
  const t = established(RENO).send(30_000);
  assert.is(sentNow(t).length, 10);
  for (let i = 0; i < 3; i += 1) t.receives('ACK', { seq: 1, ack: 1 });
  const again = sentNow(t);
  assert.ok(again.includes(1), again.join());
  return t;
}

spec('NewReno recovery (RFC 6582)', (test) => {
  test('it lasts until what was in flight when it began is acknowledged', () => {
    const t = recovering();
    t.receives('ACK', { seq: 1, ack: 4001 });
    assert.is(t.info?.recovery, 'recovery');
    t.receives('ACK', { seq: 1, ack: 10_001 });
    assert.equal([t.info?.recovery, t.info?.ssthresh], ['open', 5000]);
  });

  test('3.2 step 3: a partial acknowledgement repeats the next hole at once, and no other', () => {
    const t = recovering();
    t.receives('ACK', { seq: 1, ack: 4001 });
    assert.equal(
      sentNow(t).filter((at) => at < 10_000),
      [4001],
    );
  });

  test('a timeout in the midst of it begins anew, with one segment', () => {
    const t = recovering();
    t.passTo(200);
    assert.equal(sentNow(t), [1]);
    assert.equal([t.info?.recovery, t.info?.cwnd, t.info?.ssthresh], ['loss', MSS, 5000]);
  });
});

spec('proportional rate reduction (RFC 6937)', (test) => {
  const begin = (flight: number) => {
    const window = new CongestionWindow(FINWAIT_PROFILE, 'newreno', MSS, false);
    window.cwnd = flight;
    const recovery = new Recovery(window, seq(0));
    recovery.begin(seq(flight), flight, 0);
    assert.is(window.ssthresh, flight / 2);
    return { window, recovery };
  };

  test('while the pipe is above the threshold, one segment leaves for two that arrive', () => {
    const { window, recovery } = begin(20_000);
    let pipe = 19_000;
    let sent = 0;
    for (let i = 0; i < 8; i += 1) {
      pipe -= MSS;
      recovery.reduceInProportion(MSS, pipe, false, MSS);
      while (pipe + MSS <= window.cwnd) {
        pipe += MSS;
        sent += 1;
        recovery.noteSent(MSS);
      }
    }
    assert.is(sent, 4);
  });

  test('below it, one for one, and one more while the recovery makes progress', () => {
    const { window, recovery } = begin(20_000);
    recovery.reduceInProportion(MSS, 4000, false, MSS);
    assert.is(window.cwnd, 5000);
    recovery.noteSent(MSS);
    recovery.reduceInProportion(MSS, 4000, true, MSS);
    assert.is(window.cwnd, 6000);
  });

  test('it never sends more than would fill the threshold', () => {
    const { window, recovery } = begin(20_000);
    recovery.reduceInProportion(15_000, 3000, true, MSS);
    assert.is(window.cwnd, 10_000);
  });
});

spec('a loss that was none (RFC 3522)', (test) => {
  test('an echo from before the repetition: the window is as it was, and nothing more is repeated', () => {
    const stamps = (value: number, echo = 0) => ({ timestamps: { value, echo } });
    const t = established({ ...RENO, peer: stamps(1) }).send(5000);
    const echo = t.next()?.options.timestamps?.value ?? 0;
    sentNow(t);
    t.passTo(200);
    assert.equal(sentNow(t), [1]);
    assert.is(t.info?.cwnd, 988);
    t.passTo(210).receives('ACK', { seq: 1, ack: 989, options: stamps(2, echo) });
    assert.equal([t.info?.recovery, t.info?.inFlight.lost], ['open', 0]);
    assert.ok((t.info?.cwnd ?? 0) >= 9880, String(t.info?.cwnd));
    assert.equal(sentNow(t), []);
  });
});

spec('the window over time (RFC 5681)', (test) => {
  test('4.1: after an RTO of silence it starts over', () => {
    const t = established(RENO).send(10_000);
    sentNow(t);
    t.receives('ACK', { seq: 1, ack: 10_001 }).send(20_000);
    assert.is(sentNow(t).length, 18);
    t.receives('ACK', { seq: 1, ack: 28_001 });
    sentNow(t);
    t.receives('ACK', { seq: 1, ack: 30_001 });
    assert.ok((t.info?.cwnd ?? 0) > 17_000);
    t.passTo(201).send(60_000);
    assert.is(sentNow(t).length, 10);
  });

  test('3.1: after a timeout, slow start up to the threshold, then a segment for each round trip', () => {
    const t = established(RENO).send(60_000);
    sentNow(t);
    t.passTo(200);
    assert.equal(sentNow(t), [1]);
    let ack = 1001;
    const windows: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      t.passTo(200 + 10 * (round + 1)).receives('ACK', { seq: 1, ack });
      windows.push(t.info?.cwnd ?? 0);
      // Each segment that leaves is acknowledged by itself in the next round.
      const sent = sentNow(t);
      for (const at of sent.slice(0, -1)) t.receives('ACK', { seq: 1, ack: Math.max(ack, at + 1000) });
      ack = Math.max(ack, (sent.at(-1) ?? 0) + 1000);
    }
    assert.is(windows[0], 2000);
    assert.ok((windows[1] ?? 0) >= 3000 && (windows[2] ?? 0) > 4000, windows.join());
    const steps = windows.slice(3).map((value, i) => value - (windows[i + 2] ?? 0));
    assert.ok(
      steps.every((step) => step > 0 && step <= 1100),
      windows.join(),
    );
  });
});
