/** Explicit congestion notification. RFC 3168 section 6.1 (SHLD-8) */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { established, listening, type Sent, synSent, Trace, type TraceOptions } from './trace.ts';

const NOT_CAPABLE = 0;
const CAPABLE = 2;
const MARKED = 3;

const ON: TraceOptions = { profile: { ecn: 'on', congestion: 'newreno' } };

/** A connection that agreed on ECN; the peer has an MSS of 1000. */
function agreed(options: TraceOptions = {}): Trace {
  const t = new Trace({ ...ON, ...options }).connect();
  t.sends('SYN ECE CWR');
  t.receives('SYN ACK ECE', { seq: 0, ack: 1, options: { mss: 1000, ...options.peer } });
  t.sends('ACK', { seq: 1, ack: 1, data: '' });
  assert.is(t.info?.ecnEnabled, true);
  return t;
}

function takeAll(t: Trace): Sent[] {
  const all: Sent[] = [];
  for (let sent = t.next(); sent; sent = t.next()) all.push(sent);
  return all;
}

spec('agreement on ECN', (test) => {
  test('SHLD-8: SYN with ECE and CWR, SYN,ACK with ECE', () => {
    const t = agreed();
    assert.is(t.send('abc').sends('ACK PSH').trafficClass, CAPABLE);
  });

  test('a peer that answers without ECE, or with both bits, does not know of it', () => {
    for (const flags of ['SYN ACK', 'SYN ACK ECE CWR']) {
      const t = new Trace(ON).connect();
      t.sends('SYN ECE CWR');
      t.receives(flags, { seq: 0, ack: 1 }).sends('ACK');
      assert.is(t.info?.ecnEnabled, false, flags);
      assert.is(t.send('abc').sends('ACK PSH').trafficClass, NOT_CAPABLE);
    }
  });

  test('it is not asked for by default, and not answered unless asked', () => {
    synSent().silent();
    const t = listening();
    t.receives('SYN', { seq: 0 }).sends('SYN ACK');
  });

  test('by default it is answered when a peer asks', () => {
    const t = listening().receives('SYN ECE CWR', { seq: 0 });
    assert.is(t.sends('SYN ACK ECE', { ack: 1 }).trafficClass, NOT_CAPABLE);
    const off = listening({ profile: { ecn: 'off' } }).receives('SYN ECE CWR', { seq: 0 });
    off.sends('SYN ACK');
  });

  test('RFC 3168 6.1.1.1: a SYN that is not answered asks no more', () => {
    const t = new Trace(ON).connect();
    t.sends('SYN ECE CWR');
    t.sendsAt(1000, 'SYN ECE CWR');
    t.sendsAt(3000, 'SYN');
  });
});

spec('which packets say they can be marked', (test) => {
  test('new text does; SYN, bare ACK, FIN, RST and what is sent again do not', () => {
    const t = agreed().send(1500);
    assert.equal(
      takeAll(t).map(({ trafficClass }) => trafficClass),
      [CAPABLE, CAPABLE],
    );
    assert.is(t.sendsAt(200, 'ACK').trafficClass, NOT_CAPABLE, 'sent again');
    t.receives('ACK', { seq: 1, ack: 1501, data: 'x' });
    assert.is(t.sendsAt(240, 'ACK', { data: '' }).trafficClass, NOT_CAPABLE);
    assert.is(t.shutdown().sends('FIN ACK').trafficClass, NOT_CAPABLE);
    assert.is(t.abort().sends('RST ACK').trafficClass, NOT_CAPABLE);
  });

  test('the user sets the other six bits only (SHLD-22)', () => {
    const t = agreed({ connect: { trafficClass: 0xff } });
    assert.is(t.send('abc').sends('ACK PSH').trafficClass, 0xfc | CAPABLE);
  });
});

spec('a mark on what comes', (test) => {
  test('SHLD-8: ECE from then on, at once, until the peer says CWR', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'abc', trafficClass: MARKED });
    t.sends('ACK ECE', { ack: 4 });
    t.receives('ACK', { seq: 4, ack: 1, data: 'def', trafficClass: CAPABLE });
    t.send('x').sends('ACK PSH ECE', { ack: 7 });
    t.receives('ACK CWR', { seq: 7, ack: 2, data: 'ghi', trafficClass: CAPABLE });
    t.sends('ACK', { ack: 10 });
  });

  test('a mark on the segment that says CWR is a new one', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'abc', trafficClass: MARKED });
    t.sends('ACK ECE');
    t.receives('ACK CWR', { seq: 4, ack: 1, data: 'def', trafficClass: MARKED });
    t.sends('ACK ECE');
  });

  test('without agreement it means nothing', () => {
    const t = established().receives('ACK', { seq: 1, ack: 1, data: 'abc', trafficClass: MARKED });
    t.sendsAt(40, 'ACK');
  });
});

spec('a peer that was marked', (test) => {
  test('SHLD-8: half the window, nothing sent again, CWR with the next new text, once', () => {
    const t = agreed().send(10_000);
    assert.is(takeAll(t).length, 10);
    t.receives('ACK ECE', { seq: 1, ack: 1001 });
    assert.equal([t.info?.cwnd, t.info?.ssthresh, t.info?.recovery], [5000, 5000, 'reduced']);
    t.receives('ACK ECE', { seq: 1, ack: 2001 });
    assert.is(t.info?.cwnd, 5000, 'once for a window of data');
    t.receives('ACK', { seq: 1, ack: 10_001 }).send(2000);
    t.sends('ACK CWR', { data: 1000 });
    t.sends('ACK PSH', { data: 1000 });
  });

  test('a mark on data sent after the reduction reduces again', () => {
    const t = agreed().send(20_000);
    takeAll(t);
    t.receives('ACK ECE', { seq: 1, ack: 10_001 });
    takeAll(t);
    t.receives('ACK ECE', { seq: 1, ack: 11_001 });
    assert.ok((t.info?.ssthresh ?? 0) < 5000, String(t.info?.ssthresh));
  });

  test('RFC 3168 6.1.2: a loss reduces as well: CWR says so, on new text only', () => {
    const t = agreed().send(12_000);
    takeAll(t);
    for (let i = 0; i < 3; i += 1) t.receives('ACK', { seq: 1, ack: 1 });
    const [again] = takeAll(t).filter(({ seq }) => seq === 1);
    assert.ok(again !== undefined && !again.flags.includes('CWR'));
    t.receives('ACK', { seq: 1, ack: 10_001 }).send(5000);
    const [first, second] = takeAll(t).filter(({ seq }) => seq > 10_000);
    assert.ok(first?.flags.includes('CWR'), first?.flags);
    assert.not.ok(second?.flags.includes('CWR'));
  });

  test('ECE of a peer that did not agree is ignored', () => {
    const t = established().send(5000);
    takeAll(t);
    t.receives('ACK ECE', { seq: 1, ack: 1001 });
    assert.is(t.info?.recovery, 'open');
    assert.is(t.info?.ssthresh, Number.POSITIVE_INFINITY);
  });
});
