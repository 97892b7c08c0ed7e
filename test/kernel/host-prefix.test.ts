import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import { candidatePrefixes, choosePrefix, parsePrefix } from '../../daemon/kernel/prefix.ts';
import type { Route } from '../../daemon/netlink/rtnetlink.ts';
import { parseIpAddress } from '../../daemon/wire/address.ts';
import { spec, testSeed } from '../harness.ts';

spec('prefixes of TUN devices', (test) => {
  test('the first address is the host, the second the engine', () => {
    const v4 = parsePrefix('198.18.77.8/29', 4);
    assert.ok(v4.ok);
    if (v4.ok) assert.equal([v4.value.host.text, v4.value.engine.text], ['198.18.77.9', '198.18.77.10']);
    const v6 = parsePrefix('fd66:0:0::/64', 6);
    assert.ok(v6.ok);
    if (v6.ok) assert.equal([v6.value.host.text, v6.value.engine.text], ['fd66::1', 'fd66::2']);
  });

  for (const [text, family] of [
    ['198.18.77.0', 4],
    ['198.18.77.0/', 4],
    ['198.18.77.0/31', 4],
    ['198.18.77.0/7', 4],
    ['198.18.77.1/29', 4],
    ['198.18.77.0/029x', 4],
    ['fd66::/64', 4],
    ['198.18.77.0/29', 6],
    ['fd66::/127', 6],
    ['fd66::1/64', 6],
    ['fe80::%eth0/64', 6],
    ['', 4],
  ] as const) {
    test(`${JSON.stringify(text)} is no prefix of IPv${family}`, () =>
      assert.not.ok(parsePrefix(text, family).ok));
  }

  test('whatever the device and the routes, the choice overlaps none of them', () => {
    const routes = fc.array(
      fc.record({
        third: fc.constantFrom(77, 177, 1),
        second: fc.constantFrom(18, 19),
        length: fc.integer({ min: 0, max: 32 }),
      }),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(routes, fc.integer({ min: 0, max: 100 }), (drawn, device) => {
        const made = drawn.map(({ second, third, length }) => route(`198.${second}.${third}.0`, length));
        let chosen: string;
        try {
          chosen = choosePrefix(candidatePrefixes(undefined, 4, device), made, () => 'eth0').text;
        } catch (error) {
          return error instanceof FinwaitError && error.code === 'TUN_PREFIX_IN_USE';
        }
        return made.every((each) => each.prefixLength < 8 || !sharesAddress(chosen, each));
      }),
      { seed: testSeed() },
    );
  });

  test('devices of different numbers get different ones', () => {
    const texts = Array.from({ length: 32 }, (_, i) => candidatePrefixes(undefined, 6, i)[0]?.text);
    assert.is(new Set(texts).size, 32);
  });
});

function route(address: string, prefixLength: number): Route {
  return {
    family: 4,
    type: 'unicast',
    table: 254,
    protocol: 4,
    destination: bytesOf(address),
    prefixLength,
    oif: 2,
    gateway: undefined,
  };
}

/** By another way than the code under test: as ranges of numbers. */
function sharesAddress(prefix: string, { destination, prefixLength }: Route): boolean {
  const [address = '', length = ''] = prefix.split('/');
  const [a, b] = [range(bytesOf(address), Number(length)), range(destination, prefixLength)];
  return a.first <= b.last && b.first <= a.last;
}

function range(address: Uint8Array, length: number): { first: number; last: number } {
  const size = 2 ** (32 - length);
  const number = new DataView(address.buffer, address.byteOffset).getUint32(0);
  const first = Math.floor(number / size) * size;
  return { first, last: first + size - 1 };
}

function bytesOf(text: string): Uint8Array {
  const address = parseIpAddress(text);
  if (!address.ok) throw new Error(address.reason);
  return address.value.bytes.slice();
}
