/** Options of segments: any of them, anywhere, in any shape. RFC 9293 sections 3.1 and 3.2 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import { tcpPacket } from '../wire/support.ts';
import { established, finWait2, listening, type Trace } from './trace.ts';

const FLAGS = { ACK: 0x10, PSH: 0x18, FIN: 0x11, RST: 0x04, SYN: 0x02 } as const;

/** A segment of the peer at RCV.NXT, with these bytes as options. */
function receivesWith(t: Trace, flags: number, options: readonly number[], data = ''): Trace {
  const padded = Uint8Array.from({ length: Math.ceil(options.length / 4) * 4 }, (_, at) => options[at] ?? 0);
  const { info } = t;
  t.stack.input(
    tcpPacket({
      source: t.peer,
      destination: t.engine,
      sourcePort: t.peerPort,
      destinationPort: t.enginePort,
      seq: info?.rcvNxt ?? 0,
      ack: (flags & FLAGS.ACK) === 0 ? 0 : (info?.sndNxt ?? 0),
      flags,
      options: padded,
      data: Buffer.from(data),
    }),
    t.nowUs,
  );
  return t;
}

/** What a segment may carry that says nothing to us. */
const HARMLESS = {
  NOP: [1, 1, 1, 1],
  EOL: [0, 0, 0, 0],
  'timestamps that were not agreed on': [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7],
  unknown: [77, 6, 1, 2, 3, 4],
  'an experiment (RFC 6994)': [254, 8, 1, 2, 3, 4, 5, 6],
  'forty bytes of one': [200, 40, ...Array.from({ length: 38 }, () => 0xff)],
};

spec('options of segments', (test) => {
  for (const [name, bytes] of Object.entries(HARMLESS)) {
    test(`MUST-4, MUST-5: ${name}, on text, a bare ACK, a FIN and a RST`, () => {
      const t = receivesWith(established(), FLAGS.PSH, bytes, 'abc');
      assert.is(t.read().data, 'abc');
      t.sendsAt(40, 'ACK', { ack: 4 });
      t.send('x').sends('ACK PSH');
      receivesWith(t, FLAGS.ACK, bytes);
      assert.is(t.info?.unackedBytes, 0);
      receivesWith(t, FLAGS.FIN, bytes).sends('ACK', { ack: 5 });
      assert.is(t.state, 'CLOSE-WAIT');
      assert.is(receivesWith(t, FLAGS.RST, bytes).ended, 'reset');
      receivesWith(finWait2(), FLAGS.FIN, bytes).sends('ACK', { ack: 2 });
    });
  }

  test('MUST-6: every kind that is not known is skipped, on a SYN and later; what follows it counts', () => {
    for (let kind = 9; kind < 256; kind += 1) {
      const t = listening();
      receivesWith(t, FLAGS.SYN, [kind, 6, 1, 2, 3, 4, 2, 4, 0x02, 0x58]).sends('SYN ACK');
      t.id = t.all('state').at(-1)?.id ?? t.id;
      receivesWith(t, FLAGS.PSH, [kind, 3, 99], 'abc');
      assert.is(t.info?.sendMss, 600, `kind ${kind}`);
      assert.is(t.read().data, 'abc', `kind ${kind}`);
      assert.is(t.stack.counters.dropped['options-malformed'] ?? 0, 0);
    }
  });

  test('MUST-7: a length that cannot be ends the options, not the connection; it is counted', () => {
    const impossible: Record<string, readonly number[]> = {
      'length 0': [77, 0, 1, 1],
      'length 1': [77, 1, 1, 1],
      'length 1 of the MSS': [2, 1, 1, 1],
      'beyond the header': [77, 41, 1, 1],
      'no length at all': [1, 1, 1, 77],
    };
    for (const [name, bytes] of Object.entries(impossible)) {
      const t = receivesWith(established(), FLAGS.PSH, bytes, 'abc');
      assert.is(t.read().data, 'abc', name);
      assert.is(t.stack.counters.dropped['options-malformed'], 1, name);
      const opening = receivesWith(listening(), FLAGS.SYN, bytes);
      opening.sends('SYN ACK');
      assert.is(opening.stack.counters.dropped['options-malformed'], 1, name);
    }
  });

  test('MUST-7: a known option of another length than its own is none; what follows it counts', () => {
    for (const bytes of [
      [2, 3, 5],
      [2, 5, 5, 0, 0],
      [3, 4, 7, 7],
      [4, 3, 0],
      [8, 4, 1, 1],
    ]) {
      const t = listening();
      receivesWith(t, FLAGS.SYN, [...bytes, 2, 4, 0x02, 0x58]).sends('SYN ACK');
      t.id = t.all('state').at(-1)?.id ?? t.id;
      const { info } = t;
      assert.equal(
        [info?.sendMss, info?.sndWindShift, info?.sackPermitted, info?.timestampsEnabled],
        [600, undefined, false, false],
        bytes.join(),
      );
    }
  });

  test('MUST-64: the options of a SYN in any order, aligned or not', () => {
    const parts = [
      [2, 4, 0x02, 0x58],
      [3, 3, 7],
      [4, 2],
      [8, 10, 0, 0, 0, 9, 0, 0, 0, 0],
    ];
    for (const order of permutations(parts)) {
      const t = listening();
      const answer = receivesWith(t, FLAGS.SYN, order.flat()).sends('SYN ACK');
      t.id = t.all('state').at(-1)?.id ?? t.id;
      assert.is(answer.options.timestamps?.echo, 9);
      const { info } = t;
      assert.equal([info?.sendMss, info?.sndWindShift, info?.sackPermitted], [588, 7, true]);
    }
  });

  test('MUST-65: an MSS that comes after the SYN says nothing', () => {
    const t = receivesWith(established(), FLAGS.ACK, [2, 4, 0, 100]);
    assert.is(t.info?.sendMss, 1000);
  });
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, at) =>
    permutations(items.filter((_, other) => other !== at)).map((rest) => [item, ...rest]),
  );
}
