/** CUBIC (MAY-18). RFC 9438 */

import * as assert from 'uvu/assert';
import { CongestionWindow } from '../../../daemon/tcp/congestion.ts';
import { FINWAIT_PROFILE } from '../../../daemon/tcp/profiles/finwait.ts';
import { spec } from '../../harness.ts';
import { established } from './trace.ts';

const MSS = 1000;
const RTT_US = 100_000;

/** A window of so many segments that has just lost one. */
function reduced(segments: number): CongestionWindow {
  const window = new CongestionWindow(FINWAIT_PROFILE, 'cubic', MSS, false);
  window.cwnd = segments * MSS;
  window.reduce(window.cwnd);
  window.cwnd = window.ssthresh;
  return window;
}

/** A full window is acknowledged in each round trip, from `fromUs` until `untilUs`; what it is then, in segments. */
function grow(window: CongestionWindow, fromUs: number, untilUs: number, rttUs = RTT_US): number {
  for (let now = fromUs; now < untilUs; now += rttUs) {
    const flight = window.cwnd;
    for (let acked = 0; acked < flight; acked += MSS) window.onAck(MSS, flight, rttUs, now);
  }
  return window.cwnd / MSS;
}

const near = (value: number, wanted: number, by: number) =>
  assert.ok(Math.abs(value - wanted) <= by, `${value}, not ${wanted}`);

spec('CUBIC (MAY-18)', (test) => {
  test('4.6: a loss leaves 0.7 of the window, never less than two segments', () => {
    assert.is(reduced(100).cwnd, 70_000);
    assert.is(reduced(2).cwnd, 2000);
  });

  test('4.2: W(t) = 0.4 (t - K)^3 + W_max, with K the time that the way back takes', () => {
    const window = reduced(1000);
    const k = Math.cbrt((1000 - 700) / 0.4);
    const w = (seconds: number) => 0.4 * (seconds - k) ** 3 + 1000;
    near(grow(window, 0, 2e6), w(2), 15);
    near(grow(window, 2e6, 6e6), w(6), 15);
    near(grow(window, 6e6, 9e6), 1000, 5);
  });

  test('4.4, 4.5: flat around W_max, steep before and after it', () => {
    const window = reduced(1000);
    const at = [0, 2, 4, 6, 8, 10, 12, 14, 16].map((s) => grow(window, s * 1e6, (s + 2) * 1e6));
    const steps = at.slice(1).map((value, i) => value - (at[i] ?? 0));
    const least = Math.min(...steps);
    assert.is(steps.indexOf(least), 3, 'between the eighth and the tenth second');
    assert.ok((steps[0] ?? 0) > 10 * least && (steps.at(-1) ?? 0) > 10 * least, steps.join());
  });

  test('4.3: where Reno would be faster, it is as fast: a short way, a small window', () => {
    const window = reduced(20);
    // 3 (1 - 0.7) / (1 + 0.7) = 0.53 of a segment for each round trip.
    near(grow(window, 0, 0.1e6, 10_000), 14 + 10 * 0.53, 0.7);
  });

  test('4.3: once it is back where it was, a whole segment for each round trip', () => {
    const window = reduced(20);
    const before = grow(window, 0, 0.3e6, 10_000);
    assert.ok(before > 20);
    near(grow(window, 0.3e6, 0.4e6, 10_000) - before, 10, 1.5);
  });

  test('4.7, fast convergence: a window that lost again before it was back aims lower', () => {
    const window = reduced(1000);
    window.reduce(window.cwnd);
    window.cwnd = window.ssthresh;
    // It lost at 700, below 1000: W_max is 700 * 1.7 / 2.
    near(window.cwnd, 490_000, 1);
    const k = Math.cbrt((595 - 490) / 0.4);
    near(grow(window, 0, k * 1e6), 595, 5);
  });

  test('below the threshold it is slow start, whatever the algorithm', () => {
    const window = new CongestionWindow(FINWAIT_PROFILE, 'cubic', MSS, false);
    window.onAck(2000, 10_000, RTT_US, 0);
    assert.is(window.cwnd, 12_000);
  });

  test('one RTT never more than half as much again (4.4)', () => {
    const window = reduced(100);
    // An hour after the loss, the curve is far away.
    window.onAck(MSS, window.cwnd, RTT_US, 0);
    const before = window.cwnd;
    const after = grow(window, 3600e6, 3600e6 + RTT_US) * MSS;
    assert.ok(after > 1.3 * before && after <= 1.7 * before, String(after / before));
  });

  test('MAY-18: it is what a connection has, unless its user takes another, then or later', () => {
    const t = established().send(10_000);
    while (t.next());
    for (let i = 0; i < 3; i += 1) t.receives('ACK', { seq: 1, ack: 1 });
    assert.equal([t.info?.congestion, t.info?.ssthresh], ['cubic', 7000]);

    const reno = established({ connect: { congestion: 'newreno' } });
    assert.is(reno.info?.congestion, 'newreno');
    reno.stack.configure(reno.id, { congestion: 'cubic' }, 0);
    assert.is(reno.info?.congestion, 'cubic');
  });
});
