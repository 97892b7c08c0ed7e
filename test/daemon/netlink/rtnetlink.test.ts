import fc from 'fast-check';
import * as assert from 'uvu/assert';
import type { Decoded } from '#base/result.ts';
import type { Attribute } from '../../../daemon/netlink/message.ts';
import {
  cString,
  decodeAttributes,
  decodeErrno,
  decodeExtendedError,
  decodeMessages,
  encodeAttribute,
  encodeMessage,
  encodeNested,
} from '../../../daemon/netlink/message.ts';
import {
  decodeLink,
  decodeRoute,
  encodeAddress,
  encodeLinkChange,
  encodeRouteQuestion,
} from '../../../daemon/netlink/rtnetlink.ts';
import { spec, testSeed } from '../../harness.ts';
import { hostile, seededRandom } from './mutate.ts';

/** Payloads as Linux 6.18 sent them. */
const RECORDED = {
  /** `default via 10.1.0.9 dev eth0`, where eth0 is 3; then the kernel's own of 10.1.0.1/24 and a prohibited net. */
  default: hex('02000000fe0300011000000008000f00fe000000080005000a0100090800040003000000'),
  connected: hex('02180000fe02fd011000000008000f00fe000000080001000a010000080007000a0100010800040003000000'),
  prohibit: hex('02100000fe0300080000000008000f00fe000000080001000a070000'),
  local: hex('02200000ff02fe020000000008000f00ff000000080001000a010001080007000a0100010800040003000000'),
  broadcast: hex('02200000ff02fd031000000008000f00ff000000080001000a0100ff080007000a0100010800040003000000'),
  /** lo, its attributes but name, MTU and the start of its statistics left out. */
  lo: hex(
    '000003040100000008000000000000000700 03006c6f000008000400000001006c001700' +
      '0100000000000000020000000000000003000000000000000400000000000000' +
      '0500000000000000060000000000000007000000000000000800000000000000' +
      '0900000000000000 0a000000000000000b000000000000000c000000000000000d00000000000000',
  ),
} as const;

spec('routing messages', (test) => {
  test('routes as the kernel sends them', () => {
    const known = { family: 4, table: 254, oif: 3, gateway: undefined } as const;
    assert.equal(value(decodeRoute(RECORDED.default)), {
      ...known,
      type: 'unicast',
      protocol: 3,
      destination: Uint8Array.of(0, 0, 0, 0),
      prefixLength: 0,
      gateway: Uint8Array.of(10, 1, 0, 9),
    });
    assert.equal(value(decodeRoute(RECORDED.connected)), {
      ...known,
      type: 'unicast',
      protocol: 2,
      destination: Uint8Array.of(10, 1, 0, 0),
      prefixLength: 24,
    });
    assert.equal(
      (['prohibit', 'local', 'broadcast'] as const).map((name) => {
        const { type, table, oif } = value(decodeRoute(RECORDED[name]));
        return [type, table, oif];
      }),
      [
        ['prohibit', 254, undefined],
        ['local', 255, 3],
        ['broadcast', 255, 3],
      ],
    );
  });

  test('what a route keeps does not change when the buffer is read into again', () => {
    const buffer = RECORDED.connected.slice();
    const route = value(decodeRoute(buffer));
    buffer.fill(0xff);
    assert.equal(route.destination, Uint8Array.of(10, 1, 0, 0));
  });

  test('links as the kernel sends them', () => {
    assert.equal(value(decodeLink(RECORDED.lo)), {
      index: 1,
      name: 'lo',
      mtu: 65536,
      up: false,
      rxDropped: 7,
      txDropped: 8,
    });
  });

  test('the messages finwait sends are those of linux/rtnetlink.h', () => {
    assert.is(toHex(encodeLinkChange({ index: 3, up: true })), '00000000030000000100000001000000');
    assert.is(
      toHex(encodeLinkChange({ index: 3, queueLength: 4096 })),
      ['00000000' + '03000000' + '00000000' + '00000000', '0800' + '0d00' + '00100000'].join(''),
    );
    assert.is(
      toHex(encodeLinkChange({ index: 3, mtu: 1400, ipv4: { route_localnet: 1 }, withoutLinkLocal: true })),
      [
        '00000000' + '03000000' + '00000000' + '00000000',
        '0800' + '0400' + '78050000',
        '2000' + '1a80', // IFLA_AF_SPEC
        '1000' + '0280' + '0c00' + '0180' + '0800' + '1a00' + '01000000',
        '0c00' + '0a80' + '0500' + '0800' + '01000000',
      ].join(''),
    );
    assert.is(
      toHex(encodeAddress(3, Uint8Array.of(198, 18, 77, 1), 29)),
      '021d0200' + '03000000' + '08000200c6124d01' + '08000100c6124d01',
    );
    const arriving = { source: Uint8Array.of(198, 18, 77, 2), iif: 3 };
    assert.is(
      toHex(encodeRouteQuestion({ destination: Uint8Array.of(10, 0, 0, 1), arriving })),
      '022020000000000000000000' + '080001000a000001' + '08000200c6124d02' + '0800030003000000',
    );
  });

  test('no input makes a decoder throw', () => {
    const random = seededRandom(testSeed());
    const samples = Object.values(RECORDED);
    for (let i = 0; i < 100_000; i++) {
      const bytes = hostile(samples, random);
      for (const decode of [decodeRoute, decodeLink]) {
        const result = decode(bytes);
        if (!result.ok) assert.ok(result.reason.length > 0);
      }
    }
  });
});

spec('netlink messages', (test) => {
  const plainObjects = { noNullPrototype: true };
  const attribute = fc.record(
    {
      type: fc.integer({ min: 0, max: 0x3fff }),
      payload: fc.uint8Array({ maxLength: 40 }),
    },
    plainObjects,
  );

  test('attributes and messages come back as they were sent', () => {
    const messages = fc.array(
      fc.record(
        {
          type: fc.integer({ min: 0, max: 0xffff }),
          flags: fc.integer({ min: 0, max: 0xffff }),
          seq: fc.integer({ min: 0, max: 0xffff_ffff }),
          attributes: fc.array(attribute, { maxLength: 5 }),
        },
        plainObjects,
      ),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(messages, (sent) => {
        const datagram = sent.flatMap(({ type, flags, seq, attributes }) => [
          ...encodeMessage(type, flags, seq, ...attributes.map((a) => encodeAttribute(a.type, a.payload))),
        ]);
        const received = value(decodeMessages(Uint8Array.from(datagram)));
        assert.equal(
          received.map(({ type, flags, seq, payload }) => ({ type, flags, seq, attributes: plain(payload) })),
          sent,
        );
      }),
      { seed: testSeed() },
    );
  });

  test('a nested attribute is read without the bit that says so', () => {
    const [outer, ...more] = plain(encodeNested(3, encodeAttribute(5, Uint8Array.of(7))));
    assert.equal(more, []);
    assert.is(outer?.type, 3);
    assert.equal(plain(outer?.payload ?? new Uint8Array()), [{ type: 5, payload: Uint8Array.of(7) }]);
  });

  for (const [title, datagram] of [
    ['shorter than a header', '1000000002000000'],
    ['whose length is less than a header', '0f000000020000000100000000000000'],
    ['whose length is beyond its end', '14000000020000000100000000000000'],
    ['with a second message that is cut short', `${'10000000020000000100000000000000'}1000`],
  ] as const) {
    test(`a datagram ${title} is refused`, () => assert.not.ok(decodeMessages(hex(datagram)).ok));
  }

  for (const [title, payload] of [
    ['is less than its header', '03000100'],
    ['is beyond the end', '09000100aabbccdd'],
  ] as const) {
    test(`an attribute whose length ${title} is refused`, () =>
      assert.not.ok(decodeAttributes(hex(payload)).ok));
  }

  test('an error carries its number and the words of the kernel, whether the request is quoted whole or not', () => {
    const request = encodeMessage(16, 5, 9, new Uint8Array(20));
    const words = encodeAttribute(1, cString('Invalid MTU'));
    for (const [flags, quoted] of [
      [0x200, request],
      [0x300, request.subarray(0, 16)],
    ] as const) {
      const [message] = value(decodeMessages(encodeMessage(2, flags, 9, i32(-22), quoted, words)));
      assert.ok(message);
      if (message === undefined) return;
      assert.is(decodeErrno(message.payload), -22);
      assert.is(decodeExtendedError(message), 'Invalid MTU');
    }
  });

  test('no input makes a decoder throw', () => {
    const random = seededRandom(testSeed());
    const request = encodeMessage(16, 5, 9, encodeNested(1, encodeAttribute(2, cString('eth0'))));
    const error = encodeMessage(2, 0x200, 9, i32(-22), request, encodeAttribute(1, cString('Invalid MTU')));
    const samples = [request, error, Uint8Array.from([...request, ...error])];
    for (let i = 0; i < 100_000; i++) {
      const bytes = hostile(samples, random);
      decodeAttributes(bytes, Math.floor(random() * 20));
      const messages = decodeMessages(bytes);
      if (!messages.ok) continue;
      for (const message of messages.value) {
        decodeErrno(message.payload);
        decodeExtendedError(message);
        decodeAttributes(message.payload);
      }
    }
  });
});

function value<T>(result: Decoded<T>): T {
  if (!result.ok) throw new Error(result.reason);
  return result.value;
}

function plain(payload: Uint8Array): Attribute[] {
  return value(decodeAttributes(payload)).map(({ type, payload: inner }) => ({
    type,
    payload: inner.slice(),
  }));
}

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function i32(number: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setInt32(0, number, true);
  return out;
}
