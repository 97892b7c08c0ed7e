import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { seq } from '../../../daemon/wire/seq.ts';
import {
  decodeTcpOptions,
  encodeTcpOptions,
  NO_OPTIONS,
  type OptionPlace,
  type TcpOptions,
} from '../../../daemon/wire/tcp-options.ts';
import { spec } from '../../harness.ts';

const decode = (...bytes: number[]) => decodeTcpOptions(Uint8Array.from(bytes), 0, bytes.length);

const PLAIN = { noNullPrototype: true };
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });
const block = fc.record({ left: u32.map(seq), right: u32.map(seq) }, PLAIN);
const anyOptions: fc.Arbitrary<TcpOptions> = fc.record(
  {
    mss: maybe(fc.integer({ min: 0, max: 0xffff })),
    windowScale: maybe(fc.integer({ min: 0, max: 255 })),
    sackPermitted: fc.boolean(),
    sack: maybe(fc.array(block, { minLength: 1, maxLength: 1 })),
    timestamps: maybe(fc.record({ value: u32, echo: u32 }, PLAIN)),
    malformed: fc.constant(false),
  },
  PLAIN,
);
const KINDS: OptionPlace['option'][] = ['mss', 'windowScale', 'sackPermitted', 'sack', 'timestamps'];
const anyLayout = fc.shuffledSubarray(KINDS, { minLength: 5 }).chain((order) =>
  fc.tuple(
    ...order.map((option) =>
      fc.record({
        align: fc.constantFrom(0 as const, 1 as const, 2 as const),
        option: fc.constant(option),
      }),
    ),
  ),
);

spec('TCP options', (test) => {
  test('what is written in any order and with any padding reads back (MUST-64)', () => {
    const packet = new Uint8Array(60);
    fc.assert(
      fc.property(anyOptions, anyLayout, (options, layout) => {
        // Together with the widest padding they may not fit.
        fc.pre(options.sack === undefined || options.timestamps === undefined);
        const length = encodeTcpOptions(packet, 5, options, layout);
        assert.ok(length <= 40 && length % 4 === 0);
        assert.equal(decodeTcpOptions(packet, 5, 5 + length), options);
      }),
      { numRuns: 2000 },
    );
  });

  test('MUST-68, MUST-69: every option has its length, and zeros follow the last', () => {
    const packet = new Uint8Array(44).fill(0xaa);
    const options = { ...NO_OPTIONS, windowScale: 7 };
    assert.is(encodeTcpOptions(packet, 0, options, [{ align: 0, option: 'windowScale' }]), 4);
    assert.equal([...packet.subarray(0, 5)], [3, 3, 7, 0, 0xaa]);
  });

  test('MUST-4: end of list, no-operation and MSS', () => {
    assert.is(decode(1, 1, 2, 4, 5, 180, 0, 2, 4, 0, 0).mss, 1460);
  });

  test('MUST-6: options of unknown kinds are skipped by their length', () => {
    for (let kind = 9; kind < 256; kind += 1) {
      assert.equal(decode(kind, 4, 99, 99, 2, 4, 5, 180), { ...NO_OPTIONS, mss: 1460 });
    }
  });

  test('MUST-7: an impossible length ends the reading; what came before counts', () => {
    const malformed = { ...NO_OPTIONS, mss: 1460, malformed: true };
    for (const length of [0, 1, 41, 255]) {
      assert.equal(decode(2, 4, 5, 180, 8, length, 1, 1, 3, 3, 7), malformed);
    }
    assert.equal(decode(2, 4, 5, 180, 8), malformed);
  });

  test('a known kind with another length than its own is no such option', () => {
    assert.equal(decode(2, 3, 5, 3, 3, 7), { ...NO_OPTIONS, windowScale: 7 });
    assert.equal(decode(5, 9, 0, 0, 0, 0, 0, 0, 0), NO_OPTIONS);
    assert.equal(decode(8, 9, 0, 0, 0, 0, 0, 0, 0, 4, 2), { ...NO_OPTIONS, sackPermitted: true });
  });

  test('three SACK blocks fit beside timestamps, a fourth is left out', () => {
    const packet = new Uint8Array(44);
    const sack = [1, 3, 5, 7].map((left) => ({ left: seq(left), right: seq(left + 1) }));
    const options = { ...NO_OPTIONS, timestamps: { value: 1, echo: 2 }, sack };
    const layout: OptionPlace[] = [
      { align: 2, option: 'timestamps' },
      { align: 2, option: 'sack' },
    ];
    assert.is(encodeTcpOptions(packet, 0, options, layout), 40);
    assert.equal(decodeTcpOptions(packet, 0, 40).sack, sack.slice(0, 3));
  });
});
