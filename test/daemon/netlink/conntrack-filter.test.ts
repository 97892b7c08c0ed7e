import * as assert from 'uvu/assert';
import { tcpEventsFilter } from '../../../daemon/netlink/conntrack-filter.ts';
import { viewOf } from '../../../daemon/netlink/message.ts';
import { spec, testSeed } from '../../harness.ts';
import type { FlowFields } from '../track/flow-message.ts';
import { eventMessage } from '../track/flow-message.ts';
import { hostile, seededRandom } from './mutate.ts';

const FLOW = { source: '10.0.0.1:40000', destination: '10.0.0.2:443', state: 'ESTABLISHED' } as const;

/** What the kernel does with a program of these few instructions. net/core/filter.c */
function passes(program: Uint8Array, message: Uint8Array): boolean {
  const code = viewOf(program);
  const data = viewOf(message);
  const find = (from: number, to: number, type: number): number => {
    for (let at = from; at + 4 <= to; ) {
      const length = data.getUint16(at, true);
      if (length < 4 || length > to - at) return 0;
      if ((data.getUint16(at + 2, true) & 0x3fff) === type) return at;
      at += (length + 3) & ~3;
    }
    return 0;
  };
  let [a, x] = [0, 0];
  for (let pc = 0; ; pc++) {
    const k = code.getUint32(8 * pc + 4, true);
    const operation = code.getUint16(8 * pc, true);
    if (operation === 0x00) a = k;
    else if (operation === 0x01) x = k;
    else if (operation === 0x07) x = a;
    else if (operation === 0x06) return k !== 0;
    else if (operation === 0x15) pc += code.getUint8(8 * pc + (a === k ? 2 : 3));
    else if (operation === 0x30 && k === 0xfffff00c)
      a = a > message.length - 4 ? 0 : find(a, message.length, x);
    else if (operation === 0x30 && k === 0xfffff010) {
      const length = a > message.length - 4 ? 0 : data.getUint16(a, true);
      a = length < 4 || length > message.length - a ? 0 : find(a + 4, a + length, x);
    } else {
      const at = operation === 0x30 ? k : x + k;
      assert.ok(operation === 0x30 || operation === 0x50, `instruction ${operation}`);
      if (at >= message.length) return false;
      a = data.getUint8(at);
    }
  }
}

spec('the filter for events of conntrack', (test) => {
  test('lets TCP of both families pass, and nothing else', () => {
    const filter = tcpEventsFilter();
    const { state: _, ...udp } = FLOW;
    for (const kind of ['begun', 'changed', 'ended'] as const) {
      assert.is(passes(filter, eventMessage(kind, FLOW)), true);
      assert.is(
        passes(filter, eventMessage(kind, { ...FLOW, source: '[::1]:1', destination: '[::2]:2' })),
        true,
      );
      assert.is(passes(filter, eventMessage(kind, udp)), false);
    }
  });

  test('lets of TCP only some states pass, and the end always', () => {
    const filter = tcpEventsFilter(['TIME_WAIT', 'CLOSE_WAIT']);
    const of = (kind: 'begun' | 'changed' | 'ended', state: NonNullable<FlowFields['state']>) =>
      passes(filter, eventMessage(kind, { ...FLOW, state }));
    assert.equal(
      [of('changed', 'TIME_WAIT'), of('changed', 'CLOSE_WAIT'), of('ended', 'ESTABLISHED')],
      [true, true, true],
    );
    assert.equal([of('begun', 'SYN_SENT'), of('changed', 'ESTABLISHED')], [false, false]);
    // What tells no state may not be left out: the table hears of its mark.
    const whole = eventMessage('changed', { ...FLOW, state: 'ESTABLISHED' });
    const stateless = whole.slice();
    const at = Buffer.from(whole).indexOf(Buffer.of(4, 0x80), 20 + 2 * 52);
    stateless[at] = 99;
    assert.is(passes(filter, stateless), true);
  });

  test('ends with an answer for every message', () => {
    const random = seededRandom(testSeed());
    const samples = [eventMessage('begun', FLOW), eventMessage('ended', FLOW)];
    const filter = tcpEventsFilter(['TIME_WAIT']);
    for (let turn = 0; turn < 20_000; turn++) passes(filter, hostile(samples, random));
  });
});
