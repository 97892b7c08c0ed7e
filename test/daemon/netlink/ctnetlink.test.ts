import * as assert from 'uvu/assert';
import type { ConntrackFlow } from '../../../daemon/netlink/ctnetlink.ts';
import {
  CONNTRACK_TCP_STATES,
  decodeFlow,
  encodeFlowDump,
  STATUS,
  TCP_FLAG_CLOSE_INIT,
} from '../../../daemon/netlink/ctnetlink.ts';
import { concat, encodeAttribute, encodeNested } from '../../../daemon/netlink/message.ts';
import { spec, testSeed } from '../../harness.ts';
import { hostile, seededRandom } from './mutate.ts';
import { FLOWS } from './recorded.ts';

const FUZZ_INPUTS = 300_000;

function flow(payload: Uint8Array): ConntrackFlow {
  const result = decodeFlow(payload);
  if (!result.ok) throw new Error(result.reason);
  return result.value;
}

const u8 = (value: number) => new Uint8Array([value]);
const u16 = (value: number) => new Uint8Array([value >> 8, value]);
const u32 = (value: number) => new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);

interface TupleFields {
  readonly source: readonly number[];
  readonly destination: readonly number[];
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly zone?: number;
}

function encodeTuple(type: number, tuple: TupleFields): Uint8Array {
  const firstType = tuple.source.length === 4 ? 1 : 3;
  return encodeNested(
    type,
    encodeNested(
      1,
      encodeAttribute(firstType, new Uint8Array(tuple.source)),
      encodeAttribute(firstType + 1, new Uint8Array(tuple.destination)),
    ),
    encodeNested(
      2,
      encodeAttribute(1, u8(tuple.protocol)),
      encodeAttribute(2, u16(tuple.sourcePort)),
      encodeAttribute(3, u16(tuple.destinationPort)),
    ),
    ...(tuple.zone === undefined ? [] : [encodeAttribute(3, u16(tuple.zone))]),
  );
}

const TUPLE: TupleFields = {
  source: [10, 0, 0, 1],
  destination: [10, 0, 0, 2],
  protocol: 6,
  sourcePort: 40_000,
  destinationPort: 443,
};
const REPLY: TupleFields = {
  ...TUPLE,
  source: TUPLE.destination,
  destination: TUPLE.source,
  sourcePort: 443,
  destinationPort: 40_000,
};

function encodeFlow(...attributes: readonly Uint8Array[]): Uint8Array {
  return concat([new Uint8Array([2, 0, 0, 0]), encodeTuple(1, TUPLE), encodeTuple(2, REPLY), ...attributes]);
}

spec('ctnetlink', (test) => {
  test('asks for a dump of both families', () => {
    assert.is(
      Buffer.from(encodeFlowDump(9)).toString('hex'),
      // length 20, ctnetlink GET, REQUEST|DUMP, seq 9, port 0; AF_UNSPEC
      '140000000101010309000000' + '00000000' + '00000000',
    );
  });

  test('reads a flow through destination NAT: both tuples, counters, time stamp', () => {
    const { original, reply, status, mark, zone, timeoutS, tcp, counters, startMs } = flow(
      FLOWS.destinationNat,
    );
    assert.equal([...original.source, original.sourcePort], [10, 96, 0, 1, 41_916]);
    assert.equal([...original.destination, original.destinationPort], [10, 96, 0, 10, 80]);
    assert.equal([...reply.source, reply.sourcePort], [127, 0, 0, 1, 8080]);
    assert.equal([...reply.destination, reply.destinationPort], [10, 96, 0, 1, 41_916]);
    assert.is(original.protocol, 6);
    assert.is.not(status & STATUS.destinationNat, 0);
    assert.is(status & STATUS.sourceNat, 0);
    assert.equal({ mark, zone, timeoutS }, { mark: 0, zone: 0, timeoutS: 431_964 });
    assert.is(tcp?.state, 'ESTABLISHED');
    assert.equal(counters, { original: { packets: 3, bytes: 169 }, reply: { packets: 2, bytes: 112 } });
    assert.is(new Date(startMs ?? 0).toISOString().slice(0, 10), '2026-11-21');
  });

  test('reads an IPv6 flow and which side sent the first FIN', () => {
    const { original, tcp } = flow(FLOWS.timeWaitV6);
    assert.is(original.source.length, 16);
    assert.is(tcp?.state, 'TIME_WAIT');
    assert.is((tcp?.originalFlags ?? 0) & TCP_FLAG_CLOSE_INIT, 0);
    assert.is.not((tcp?.replyFlags ?? 0) & TCP_FLAG_CLOSE_INIT, 0);
  });

  test('gives flows that keep what they are when others are read', () => {
    const { counters, original, startMs } = flow(FLOWS.destinationNat);
    const next = flow(encodeFlow());
    assert.equal(counters?.original, { packets: 3, bytes: 169 });
    assert.equal([original.sourcePort, startMs === undefined], [41_916, false]);
    assert.equal([next.counters, next.tcp, next.timeoutS], [undefined, undefined, 0]);
  });

  test('leaves out what the kernel does not keep', () => {
    const { tcp, counters, startMs } = flow(encodeFlow());
    assert.equal([tcp, counters, startMs], [undefined, undefined, undefined]);
  });

  test('reads the zone of a direction, and of both', () => {
    assert.is(flow(encodeFlow(encodeAttribute(18, u16(7)))).zone, 7);
    const directional = concat([
      new Uint8Array([2, 0, 0, 0]),
      encodeTuple(1, { ...TUPLE, zone: 9 }),
      encodeTuple(2, REPLY),
    ]);
    assert.is(flow(directional).original.zone, 9);
    assert.is(flow(directional).zone, 0);
  });

  test('gives back what any flow holds', () => {
    const random = seededRandom(testSeed());
    const below = (bound: number) => Math.floor(random() * bound);
    for (let turn = 0; turn < 2_000; turn++) {
      const [state, mark, timeoutS, status, zone] = [
        below(10),
        below(2 ** 32),
        below(2 ** 32),
        below(2 ** 32),
        below(2 ** 16),
      ];
      const attributes = [
        encodeAttribute(3, u32(status)),
        encodeNested(4, encodeNested(1, encodeAttribute(1, u8(state)))),
        encodeAttribute(7, u32(timeoutS)),
        encodeAttribute(8, u32(mark)),
        encodeAttribute(18, u16(zone)),
        // What this version does not know is passed over.
        encodeAttribute(200, new Uint8Array(below(30))),
      ].sort(() => random() - 0.5);
      const got = flow(encodeFlow(...attributes));
      assert.equal(
        [got.tcp?.state, got.mark, got.timeoutS, got.status, got.zone],
        [CONNTRACK_TCP_STATES[state], mark, timeoutS, status, zone],
      );
      assert.equal([...got.original.source], [...TUPLE.source]);
      assert.is(got.reply.destinationPort, TUPLE.sourcePort);
    }
  });

  test('refuses what is cut, lacks a tuple, mixes families, or has a state that is not known', () => {
    const refuses = (payload: Uint8Array, reason: RegExp) => {
      const result = decodeFlow(payload);
      assert.match(result.ok ? 'accepted' : result.reason, reason);
    };
    refuses(new Uint8Array(), /neither IPv4 nor IPv6/);
    refuses(FLOWS.destinationNat.with(0, 1), /neither IPv4 nor IPv6/);
    refuses(FLOWS.destinationNat.with(0, 10), /without addresses of its family/);
    refuses(FLOWS.destinationNat.subarray(0, 60), /out of bounds/);
    refuses(concat([new Uint8Array([2, 0, 0, 0]), encodeTuple(1, TUPLE)]), /without addresses/);
    refuses(encodeFlow(encodeAttribute(7, u16(1))), /2 bytes where 4 are needed/);
    refuses(encodeFlow(encodeNested(4, encodeNested(1, encodeAttribute(1, u8(10))))), /unknown TCP state 10/);
  });

  test('never throws at hostile input', () => {
    const random = seededRandom(testSeed());
    const samples = Object.values(FLOWS);
    let accepted = 0;
    for (let turn = 0; turn < FUZZ_INPUTS; turn++) {
      if (decodeFlow(hostile(samples, random)).ok) accepted++;
    }
    assert.ok(accepted > FUZZ_INPUTS / 5, `${accepted} accepted`);
  });
});
