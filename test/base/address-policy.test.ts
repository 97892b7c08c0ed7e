import * as assert from 'uvu/assert';
import type { AddressRange } from '../../base/address-policy.ts';
import { addressPolicy, addressRange } from '../../base/address-policy.ts';
import { spec } from '../harness.ts';

function range(text: string): AddressRange {
  const parsed = addressRange(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.value;
}

spec('address policy', (test) => {
  test('forbids what is in a denied range, and says which', () => {
    const policy = addressPolicy([], ['169.254.0.0/16', 'fe80::/10', '10.9.9.9'].map(range));
    assert.match(policy('169.254.169.254') ?? '', /169\.254\.169\.254 is in 169\.254\.0\.0\/16/);
    assert.ok(policy('fe80::1'));
    assert.ok(policy('10.9.9.9'));
    assert.is(policy('10.9.9.8'), undefined);
    assert.is(policy('2001:db8::1'), undefined);
  });

  test('allows nothing outside of the allowed ranges, where there are any, and denies within them', () => {
    const policy = addressPolicy(['10.0.0.0/8', '2001:db8::/32'].map(range), [range('10.1.0.0/16')]);
    assert.is(policy('10.2.0.1'), undefined);
    assert.is(policy('2001:db8::1'), undefined);
    assert.match(policy('10.1.0.1') ?? '', /denied/);
    assert.match(policy('192.0.2.1') ?? '', /none of the ranges/);
  });

  test('is not fooled by an IPv4 address in IPv6 clothes', () => {
    assert.ok(addressPolicy([], [range('169.254.0.0/16')])('::ffff:169.254.169.254'));
  });

  test('takes no range that is none', () => {
    for (const text of [
      '',
      '10.0.0.0/33',
      '2001:db8::/129',
      'host',
      '10.0.0/8',
      '10.0.0.0/',
      'fe80::1%eth0',
      '1.2.3.4/8/9',
    ]) {
      assert.not.ok(addressRange(text).ok, text);
    }
  });
});
