import fc from 'fast-check';
import * as assert from 'uvu/assert';
import {
  addressKind,
  formatEndpoint,
  type IpAddress,
  ipFromBytes,
  parseIpAddress,
  sameAddress,
} from '../../../daemon/wire/address.ts';
import { spec } from '../../harness.ts';

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  assert.ok(parsed.ok, text);
  return parsed.ok ? parsed.value : ipFromBytes(new Uint8Array(4));
}

spec('IP addresses', (test) => {
  test('IPv6 texts are canonical as RFC 5952 says', () => {
    const canonical = {
      '2001:db8:0:0:0:0:2:1': '2001:db8::2:1',
      '2001:DB8::0001': '2001:db8::1',
      '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
      '2001:0:0:1:0:0:0:1': '2001:0:0:1::1',
      '2001:db8:0:0:1:0:0:1': '2001:db8::1:0:0:1',
      '0:0:0:0:0:0:0:0': '::',
      '0:0:0:0:0:0:0:1': '::1',
      'fe80:0:0:0:0:0:0:0': 'fe80::',
      '64:ff9b::192.0.2.33': '64:ff9b::c000:221',
    };
    for (const [text, expected] of Object.entries(canonical)) assert.is(address(text).text, expected);
  });

  test('a v4-mapped IPv6 address is the IPv4 address', () => {
    assert.is(address('::ffff:192.0.2.1').text, '192.0.2.1');
    assert.is(address('::ffff:c000:201').family, 4);
    assert.ok(sameAddress(address('::ffff:192.0.2.1'), address('192.0.2.1')));
  });

  test('what is not an address is refused', () => {
    const texts = [
      '',
      'localhost',
      '1.2.3',
      '1.2.3.4.5',
      '256.1.1.1',
      '01.2.3.4',
      '0x7f.0.0.1',
      ' 1.2.3.4',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '1::2::3',
      '1:2:3:4:5:6:7::8',
      ':1:2:3:4:5:6:7',
      '12345::',
      'fe80::1%eth0',
      '1.2.3.4::',
      '::1.2.3.4:5',
      '[::1]',
    ];
    for (const text of texts) assert.not(parseIpAddress(text).ok, text);
  });

  test('any bytes become a text that reads back as the same address', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      // Many zeros, as real ones have.
      fc
        .array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 })
        .map((b) => Uint8Array.from(b)),
    );
    fc.assert(
      fc.property(bytes, (raw) => {
        const one = ipFromBytes(raw);
        assert.equal(address(one.text), one);
      }),
      { numRuns: 2000 },
    );
  });

  test('kinds of addresses', () => {
    const kinds = {
      '0.0.0.0': 'unspecified',
      '0.1.2.3': 'unspecified',
      '127.8.9.1': 'loopback',
      '169.254.1.1': 'link-local',
      '10.1.2.3': 'global',
      '223.255.255.255': 'global',
      '224.0.0.1': 'multicast',
      '239.255.255.255': 'multicast',
      '255.255.255.255': 'broadcast',
      '::': 'unspecified',
      '::1': 'loopback',
      'fe80::1': 'link-local',
      'febf::1': 'link-local',
      'ff02::1': 'multicast',
      'fd00::1': 'global',
      '2001:db8::': 'global',
    };
    for (const [text, kind] of Object.entries(kinds)) assert.is(addressKind(address(text)), kind, text);
  });

  test('an endpoint has brackets for IPv6', () => {
    assert.is(formatEndpoint(address('::1'), 80), '[::1]:80');
    assert.is(formatEndpoint(address('127.0.0.1'), 80), '127.0.0.1:80');
  });
});
