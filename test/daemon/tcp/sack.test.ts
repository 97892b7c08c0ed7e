/** Selective acknowledgement. RFC 2018, RFC 2883 (D-SACK), RFC 6675 (what the sender makes of it) */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import { Scoreboard } from '../../../daemon/tcp/scoreboard.ts';
import { seq, seqAdd, seqDiff, seqLeq, seqLt } from '../../../daemon/wire/seq.ts';
import type { SackBlock } from '../../../daemon/wire/tcp-options.ts';
import { spec } from '../../harness.ts';
import { established, type Trace, type TraceOptions } from './trace.ts';

/** A peer that permits SACK, at a round trip of 100 ms, and a sender that counts as RFC 6675 does. */
function agreed(options: TraceOptions = {}): Trace {
  return established({
    ...options,
    profile: { lossDetection: 'sack', congestion: 'newreno', ...options.profile },
    peer: { sackPermitted: true, ...options.peer },
  });
}

/** Numbers of all segments that leave now, relative to the first octet. */
function sentNow(t: Trace): number[] {
  const all: number[] = [];
  for (let sent = t.next(); sent; sent = t.next()) if (sent.data.length > 0) all.push(sent.seq);
  return all;
}

/** Blocks of octets relative to our first one. */
const blocks = (t: Trace, ...ranges: [number, number][]): { sack: SackBlock[] } => ({
  sack: ranges.map(([left, right]) => ({ left: seqAdd(t.iss, left), right: seqAdd(t.iss, right) })),
});

const sacked = (t: Trace, ack: number, ...ranges: [number, number][]) =>
  t.receives('ACK', { seq: 1, ack, options: blocks(t, ...ranges) });

spec('the receiver of SACK (RFC 2018, RFC 2883)', (test) => {
  const relative = (t: Trace) =>
    t
      .next()
      ?.options.sack?.map(({ left, right }) => [left, right].map((n) => (n - (t.info?.irs ?? 0)) >>> 0));

  test('at most four blocks fit, three beside timestamps', () => {
    for (const [timestamps, most] of [
      [undefined, 4],
      [{ value: 1, echo: 0 }, 3],
    ] as const) {
      const t = agreed({ peer: { timestamps } });
      for (let i = 0; i < 6; i += 1) t.receives('ACK', { seq: 11 + 10 * i, ack: 1, data: 'x' });
      assert.equal(relative(t)?.length, most);
    }
  });

  test('D-SACK: a segment that came twice is the first block, once (RFC 2883 section 4)', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'abcdef' });
    t.sendsAt(40, 'ACK', { ack: 7 });
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc' });
    assert.equal(relative(t), [[1, 4]]);
    t.receives('ACK', { seq: 7, ack: 1, data: 'ghi' });
    assert.is(t.sendsAt(80, 'ACK', { ack: 10 }).options.sack, undefined);
  });

  test('D-SACK of what is held beyond a gap: the block around it follows (RFC 2883 4.1)', () => {
    const t = agreed().receives('ACK', { seq: 11, ack: 1, data: 'abcdef' });
    assert.equal(relative(t), [[11, 17]]);
    t.receives('ACK', { seq: 12, ack: 1, data: 'bc' });
    assert.equal(relative(t), [
      [12, 14],
      [11, 17],
    ]);
  });

  test('D-SACK of a part: only what came twice', () => {
    const t = agreed().receives('ACK', { seq: 1, ack: 1, data: 'abcdef' });
    t.sendsAt(40, 'ACK', { ack: 7 });
    t.receives('ACK', { seq: 4, ack: 1, data: 'defghi' });
    assert.equal(relative(t), [[4, 7]]);
  });

  test('a FIN beyond a gap is part of its block, it has a number', () => {
    const t = agreed().receives('FIN ACK', { seq: 11, ack: 1, data: 'abc' });
    assert.equal(relative(t), [[11, 15]]);
  });

  test('blocks leave room for less text', () => {
    const t = agreed({ peer: { mss: 500 } })
      .receives('ACK', { seq: 11, ack: 1, data: 'x' })
      .send(600);
    t.sends('ACK', { data: 500 - 12 });
  });
});

spec('the sender of SACK (RFC 6675)', (test) => {
  test('three segments beyond it: it is lost, sent again, and nothing else is', () => {
    const t = agreed().send(10_000);
    assert.is(sentNow(t).length, 10);
    sacked(t, 1, [1001, 2001]);
    sacked(t, 1, [1001, 3001]);
    assert.equal(sentNow(t), []);
    sacked(t, 1, [1001, 4001]);
    assert.equal(sentNow(t), [1]);
    assert.equal([t.info?.recovery, t.info?.ssthresh], ['recovery', 5000]);
    t.receives('ACK', { seq: 1, ack: 10_001 }).silent();
    assert.equal([t.info?.recovery, t.info?.cwnd], ['open', 5000]);
  });

  test('one block that covers three segments is enough', () => {
    const t = agreed().send(10_000);
    sentNow(t);
    sacked(t, 1, [7001, 10_001]);
    assert.equal(sentNow(t)[0], 1);
    assert.equal(t.info?.inFlight.sacked, 3);
  });

  test('several holes are repaired in one recovery, each once, as the pipe allows', () => {
    const t = agreed().send(10_000);
    sentNow(t);
    // 1, 3 and 5 thousand are missing.
    sacked(t, 1, [1001, 2001]);
    sacked(t, 1, [3001, 4001], [1001, 2001]);
    sacked(t, 1, [5001, 6001], [3001, 4001], [1001, 2001]);
    const again = sentNow(t);
    for (const right of [7001, 8001, 9001, 10_001]) {
      sacked(t, 1, [5001, right], [3001, 4001], [1001, 2001]);
      again.push(...sentNow(t));
    }
    assert.equal(again, [1, 2001, 4001]);
    t.receives('ACK', { seq: 1, ack: 10_001 });
    assert.is(t.info?.retransmits.data, 3);
    assert.is(t.info?.ssthresh, 5000, 'reduced once');
  });

  test('limited transmit: new text for each of the first duplicates (RFC 3042)', () => {
    const t = agreed().send(12_000);
    sentNow(t);
    sacked(t, 1, [1001, 2001]);
    assert.equal(sentNow(t), [10_001]);
    sacked(t, 1, [1001, 3001]);
    assert.equal(sentNow(t), [11_001]);
  });

  test('blocks outside of what is in flight, empty or reversed ones say nothing', () => {
    const t = agreed().send(5000);
    sentNow(t);
    for (const range of [
      [-5000, -1],
      [5001, 9000],
      [3001, 3001],
      [4001, 2001],
      [100_000, 900_000],
    ] as const) {
      sacked(t, 1, [range[0], range[1]]);
    }
    assert.is(t.info?.inFlight.sacked, 0);
    t.silent();
  });

  test('a part of a segment does not count as it', () => {
    const t = agreed().send(5000);
    sentNow(t);
    sacked(t, 1, [1501, 4001]);
    assert.is(t.info?.inFlight.sacked, 2);
  });

  test('a peer that leaves a FIN out of its block has it nevertheless', () => {
    const t = agreed().send(2000).shutdown();
    sentNow(t);
    sacked(t, 1, [1001, 2001]);
    assert.is(t.info?.inFlight.sacked, 1);
  });

  test('RFC 2018 section 8: a receiver that drops what it reported gets everything again', () => {
    const t = agreed().send(4000);
    sentNow(t);
    sacked(t, 1, [1001, 2001]);
    t.receives('ACK', { seq: 1, ack: 1001 });
    assert.is(t.sendsAt(200, 'ACK', { seq: 1001 }).data.length, 1000, 'reported, and not acknowledged');
    assert.is(t.info?.inFlight.sacked, 0);
  });

  test('what was reported is not sent again after a timeout', () => {
    const t = agreed().send(3000);
    sentNow(t);
    sacked(t, 1, [1001, 2001]);
    t.sendsAt(200, 'ACK', { seq: 1 });
    t.receives('ACK', { seq: 1, ack: 2001 });
    assert.equal(sentNow(t), [2001]);
  });

  test('blocks of a peer that did not agree are ignored', () => {
    const t = established({ profile: { congestion: 'newreno' } }).send(10_000);
    sentNow(t);
    sacked(t, 1, [7001, 10_001]);
    assert.equal(sentNow(t), []);
    assert.is(t.info?.inFlight.sacked, 0);
  });
});

spec('the scoreboard', (test) => {
  test('pipe: neither sacked nor lost, and what was sent again (RFC 6675 section 4)', () => {
    const board = new Scoreboard();
    const start = seq(0xffff_ff00);
    for (let i = 0; i < 5; i += 1) {
      const at = seqAdd(start, i * 100);
      board.push({ seq: at, end: seqAdd(at, 100), fin: false, push: false }, 0);
    }
    assert.is(board.pipe, 500);
    const outcome = { delivered: 0, firstSentUs: undefined, arrived: [], resent: false };
    board.sack([{ left: seqAdd(start, 200), right: seqAdd(start, 400) }], outcome);
    assert.equal(
      [board.pipe, board.sackedSegments, board.sackedOctets, outcome.delivered],
      [300, 2, 200, 200],
    );
    const first = board.nextLost() ?? board.first;
    assert.ok(first);
    if (first === undefined) return;
    board.markLost(first);
    assert.equal([board.pipe, board.lostSegments], [200, 1]);
    board.resend(first, 5);
    assert.equal([board.pipe, board.lostSegments, first.transmissions], [300, 0, 2]);
    board.acknowledge(seqAdd(start, 450), outcome);
    assert.equal([board.pipe, board.length, board.sackedSegments, outcome.delivered], [50, 1, 0, 450]);
  });

  test('blocks that grow from ACK to ACK are as good as blocks that are looked at anew', () => {
    const random = new SeededRandom(7);
    const nothing = () => ({ delivered: 0, firstSentUs: undefined, arrived: [], resent: false });
    for (let times = 0; times < 300; times += 1) {
      const boards = [new Scoreboard(), new Scoreboard()] as const;
      let una = seq(0xffff_fe00);
      let nxt = una;
      let blocks: SackBlock[] = [];
      for (let step = 0; step < 60; step += 1) {
        const length = 1 + random.below(9);
        const place = random.below(boards[0].length + 1);
        const kind = random.below(6);
        if (kind === 0) una = seqAdd(una, random.below(seqDiff(nxt, una) / 4 + 1));
        const left = seqAdd(una, 1 + random.below(seqDiff(nxt, una) + 1));
        const right = seqAdd(left, random.below(40));
        if (kind >= 4) blocks = [{ left, right }, ...blocks].slice(0, 3);
        if (kind === 5) blocks = blocks.map((block) => ({ left: block.left, right: seqAdd(block.right, 3) }));
        blocks = blocks.filter((block) => seqLt(una, block.left) && seqLeq(block.right, nxt));
        for (const board of boards) {
          if (kind === 0) board.acknowledge(una, nothing());
          if (kind <= 2) board.push({ seq: nxt, end: seqAdd(nxt, length), fin: false, push: false }, step);
          const flight = board.at(place);
          if (kind === 3 && flight?.sacked === false) board.split(flight, 1 + (length >> 1));
          // No block at all: there is nothing to remember.
          if (board === boards[1]) board.sack([], nothing());
          board.sack(blocks, nothing());
        }
        if (kind <= 2) nxt = seqAdd(nxt, length);
        assert.equal([...boards[0]], [...boards[1]]);
      }
    }
  });
});
