import * as fc from 'fast-check';
import * as assert from 'uvu/assert';
import type { ProbeResult } from '#contract';
import { headingLine, ladderLines, verdictLines } from '../../cli/ladder.ts';
import { paintLine, width } from '../../cli/view-text.ts';
import { encodeIcmpError } from '../../daemon/wire/icmp-encode.ts';
import { ACK, SYN } from '../../daemon/wire/tcp-header.ts';
import type { SceneOptions } from '../daemon/probe/scene.ts';
import { atEnd, CLOSES, forge, headerOf, ip, PEER, probeOnce } from '../daemon/probe/scene.ts';
import { spec, testSeed } from '../harness.ts';

const PLAIN = { colour: false, unicode: true } as const;

function shown(result: ProbeResult, columns?: number): string {
  const lines = [...ladderLines(result, columns), ...verdictLines(result, columns)];
  return lines.map((line) => paintLine(line, PLAIN)).join('\n');
}

/** The text without the indentation that this file gives it. */
function block(text: string): string {
  return text.replaceAll(/^ {6}/gm, '').replace(/^\n/, '').trimEnd();
}

const ECHOES: SceneOptions['peer'] = (event, stack, nowUs) => {
  if (event.kind !== 'readable') return;
  const read = stack.receive(event.id, 100, nowUs);
  if (read.ok && read.value.data.length > 0) stack.send(event.id, read.value.data, nowUs);
  if (read.ok && read.value.eof) stack.shutdown(event.id, nowUs);
};

/** Loses the first packet with one of these flags. */
function loseOnce(flags: number) {
  let lost = false;
  return {
    lose(packet: Uint8Array) {
      const hit = !lost && (headerOf(packet).flags & flags) !== 0;
      lost ||= hit;
      return hit;
    },
  };
}

spec('the ladder', (test) => {
  test('shows a handshake and a close', () => {
    const { result } = probeOnce({ peer: CLOSES, delayUs: 500 });
    assert.is(shown(result), block(GOLDEN.open));
  });

  test('shows an exchange', () => {
    const { result } = probeOnce({ peer: ECHOES, send: 'ping', delayUs: 20_000 });
    assert.is(shown(result), block(GOLDEN.exchange));
  });

  test('marks what was sent again and how long nothing came', () => {
    const { result } = probeOnce({ peer: CLOSES, delayUs: 500, there: loseOnce(SYN) });
    assert.is(shown(result), block(GOLDEN.retransmitted));
  });

  test('names the router of an ICMP error', () => {
    const { result } = probeOnce({
      there: { lose: () => true },
      onSent: ({ packet }, scene) =>
        scene.simulation.inject(
          'engine',
          encodeIcmpError(packet, PEER[4].bytes, 3, 13),
          scene.simulation.nowUs + 250,
        ),
    });
    assert.is(shown(result), block(GOLDEN.rejected));
  });

  test('shows a segment from somewhere else', () => {
    const { result } = probeOnce({
      there: { lose: () => true },
      onSent: ({ packet }, scene) => {
        const syn = headerOf(packet);
        const answer = forge(syn, { flags: SYN | ACK, seq: 9, ack: syn.seq + 1, from: ip('10.0.0.9') });
        if (syn.flags === SYN) scene.simulation.inject('engine', answer, scene.simulation.nowUs + 250);
      },
    });
    assert.match(shown(result), /← {2}SYN ACK +0 +1 +0 +1000 {2}from 10.0.0.9:80, not from the target/);
    assert.match(shown(result), /SYN again: no answer for 1.00 s/);
  });

  test('says that the peer is freed when it does not close', () => {
    const { result } = probeOnce({ peer: atEnd(() => {}) });
    assert.match(
      shown(result),
      /RST ACK +2 +1 +0 +\d+ {2}we give up and reset it, so that the peer holds nothing/,
    );
  });

  test('tells how many segments it leaves out, where they were', () => {
    const { result } = probeOnce({
      send: 'all',
      delayUs: 2000,
      peer: (event, stack, nowUs) => {
        if (event.kind !== 'readable') return;
        const read = stack.receive(event.id, 100, nowUs);
        if (!read.ok || read.value.data.length === 0) return;
        stack.send(event.id, new Uint8Array(200_000), nowUs);
        stack.shutdown(event.id, nowUs);
      },
    });
    const lines = shown(result).split('\n');
    const gap = lines.findIndex((line) => line.includes(`… ${result.segmentsFolded} more segments of data`));
    assert.is(gap, 41, 'after the header and the first 40');
    assert.match(lines.slice(gap).join('\n'), /the peer closes its side/);
  });

  test('says when a sample is not to be trusted, and why', () => {
    const { result } = probeOnce({ peer: CLOSES });
    assert.match(
      shown({ ...result, tainted: 'loop-lag' }),
      /tainted \(loop-lag\): this machine gave the engine no time/,
    );
    assert.match(
      shown({ ...result, tainted: 'something-new' }),
      /tainted \(something-new\): not to be trusted/,
    );
  });

  test('shows a probe that sent nothing without a ladder', () => {
    const { result } = probeOnce({ peer: CLOSES });
    const nothing: ProbeResult = {
      ...result,
      verdict: 'unreachable',
      sentence: 'the kernel has no route to it',
      local: { address: '0.0.0.0', port: 0 },
      segments: [],
      phases: [],
    };
    assert.equal(ladderLines(nothing), []);
    assert.is(paintLine(headingLine(nothing), PLAIN), '10.0.0.1:80  peer:80');
    assert.match(shown(nothing), /^ {2}unreachable: the kernel has no route to it/);
  });

  test('fits every width from 40 columns on', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 40, max: 200 }),
        fc.integer(),
        fc.boolean(),
        (columns, seed, exchange) => {
          const loss = { loss: 0.3, duplicate: 0.1 };
          const { result } = probeOnce({
            peer: ECHOES,
            seed,
            there: loss,
            back: loss,
            ...(exchange ? { send: 'ping' } : {}),
          });
          for (const line of shown(result, columns).split('\n')) {
            assert.ok(width(line) <= columns, `${width(line)} columns: ${line}`);
          }
        },
      ),
      { seed: testSeed(), numRuns: 60 },
    );
  });

  test('writes ASCII where UTF-8 is not shown, and colours only when told', () => {
    const { result } = probeOnce({ peer: CLOSES });
    const paint = (colour: boolean, unicode: boolean) =>
      [headingLine(result), ...ladderLines(result), ...verdictLines(result)]
        .map((line) => paintLine(line, { colour, unicode }))
        .join('\n');
    assert.match(paint(false, false), /^[ -~\n]*$/);
    assert.not.ok(paint(false, true).includes('\x1b'));
    assert.ok(paint(true, true).includes('\x1b[32mopen\x1b[0m'));
  });
});

const GOLDEN = {
  open: `
           ms     after     flags    seq  ack  len     win
        0.000            →  SYN        0         0   65535  connect, mss 1460, wscale 3, sack, timestamps
        1.000  +1.00 ms  ←  SYN ACK    0    1    0   65535  accepted, mss 1460, wscale 3, sack, timestamps
        1.000     +0 us  →  ACK        1    1    0  262144  connection established
        1.000     +0 us  →  FIN ACK    1    1    0  262144  we close our side
        2.000  +1.00 ms  ←  ACK        1    2    0  262144  our FIN acknowledged
        2.000     +0 us  ←  FIN ACK    1    2    0  262144  the peer closes its side
        2.000     +0 us  →  ACK        2    2    0  262144  closed on both sides
        open: accepted the connection in 1.00 ms and closed it 1.00 ms after our FIN
        handshake 1.00 ms · close 1.00 ms · rtt 1.00 ms · no hops`,
  exchange: `
             ms     after     flags    seq  ack  len     win
          0.000            →  SYN        0         0   65535  connect, mss 1460, wscale 3, sack, timestamps
         40.000  +40.0 ms  ←  SYN ACK    0    1    0   65535  accepted, mss 1460, wscale 3, sack, timestamps
         40.000     +0 us  →  ACK        1    1    0  262144  connection established
         40.000     +0 us  →  PSH ACK    1    1    4  262144  our request
         80.000  +40.0 ms  ←  PSH ACK    1    5    4  262144  first byte of the answer, request acknowledged
         80.000     +0 us  →  FIN ACK    5    5    0  262144  we close our side
        120.000  +40.0 ms  ←  ACK        5    6    0  262144  our FIN acknowledged
        120.000     +0 us  ←  FIN ACK    5    6    0  262144  the peer closes its side
        120.000     +0 us  →  ACK        6    6    0  262144  closed on both sides
        open: accepted the connection in 40.0 ms, answered the request after 40.0 ms and closed it 40.0 ms after our
        FIN
        handshake 40.0 ms · exchange 40.0 ms · close 40.0 ms · rtt 40.0 ms · no hops`,
  retransmitted: `
              ms     after     flags    seq  ack  len     win
           0.000            →  SYN        0         0   65535  connect, mss 1460, wscale 3, sack, timestamps
        1000.000   +1.00 s  →  SYN        0         0   65535  SYN again: no answer for 1.00 s
        1001.000  +1.00 ms  ←  SYN ACK    0    1    0   65535  accepted, mss 1460, wscale 3, sack, timestamps
        1001.000     +0 us  →  ACK        1    1    0  262144  connection established
        1001.000     +0 us  →  FIN ACK    1    1    0  262144  we close our side
        1002.000  +1.00 ms  ←  ACK        1    2    0  262144  our FIN acknowledged
        1002.000     +0 us  ←  FIN ACK    1    2    0  262144  the peer closes its side
        1002.000     +0 us  →  ACK        2    2    0  262144  closed on both sides
        open: accepted the connection in 1.00 s (SYN sent twice; 1.00 ms without the wait to send it again) and
        closed it 1.00 ms after our FIN
        handshake 1.00 s · close 1.00 ms · handshake without waiting 1.00 ms · rtt 1.00 ms · sent again: 1 SYN · no
        hops`,
  rejected: `
           ms    after     flags  seq  ack  len    win
        0.000           →  SYN      0         0  65535  connect, mss 1460, wscale 3, sack, timestamps
        0.250  +250 us  ←  ICMP                         administratively prohibited (3/13) from 10.0.0.1
        rejected: answered the SYN itself with ICMP administratively prohibited (3/13) after 250 us: a firewall
        forbids it
        handshake 250 us (not completed)`,
};
