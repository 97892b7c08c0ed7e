import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { checksumAdd, checksumFinish } from '../../../daemon/wire/checksum.ts';
import { spec } from '../../harness.ts';

/** RFC 1071 section 4.1, as it stands there. */
function reference(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

const anyBytes = fc.uint8Array({ maxLength: 700, size: 'max' });

spec('the Internet checksum', (test) => {
  test('the example of RFC 1071 section 3', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    assert.is(checksumFinish(checksumAdd(0, bytes, 0, bytes.length)), ~0xddf2 & 0xffff);
  });

  test('it is what the plain sum says, for all lengths', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        assert.is(checksumFinish(checksumAdd(0, bytes, 0, bytes.length)), reference(bytes));
      }),
      { numRuns: 1000 },
    );
    const largest = new Uint8Array(65_535).fill(0xff);
    assert.is(checksumFinish(checksumAdd(0, largest, 0, largest.length)), reference(largest));
  });

  test('it can be taken in pieces of even length', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(700), (bytes, cut) => {
        const at = Math.min(bytes.length, cut - (cut % 2));
        const sum = checksumAdd(checksumAdd(0, bytes, 0, at), bytes, at, bytes.length);
        assert.is(checksumFinish(sum), reference(bytes));
      }),
    );
  });

  test('with the checksum in its place, the sum is zero', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4, maxLength: 700, size: 'max' }), (bytes) => {
        bytes.set([0, 0]);
        const checksum = checksumFinish(checksumAdd(0, bytes, 0, bytes.length));
        bytes.set([checksum >> 8, checksum & 0xff]);
        assert.is(checksumFinish(checksumAdd(0, bytes, 0, bytes.length)), 0);
      }),
    );
  });
});
