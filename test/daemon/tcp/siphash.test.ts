import * as assert from 'uvu/assert';
import { SipHash24 } from '../../../daemon/tcp/siphash.ts';
import { spec } from '../../harness.ts';

/** From vectors_sip64 of the reference implementation: key 00..0f, message 00, 01, ... of each length; little-endian. */
const VECTORS: Readonly<Record<number, string>> = {
  0: '310e0edd47db6f72',
  1: 'fd67dc93c539f874',
  2: '5a4fa9d909806c0d',
  3: '2d7efbd796666785',
  7: '37d1018bf50002ab',
  8: '6224939a79f5f593',
  15: 'e545be4961ca29a1',
  16: 'db9bc2577fcc2a3f',
  63: '724506eb4c328a95',
};

spec('SipHash-2-4', (test) => {
  const keyed = new SipHash24(Uint8Array.from({ length: 16 }, (_, i) => i));

  test('the vectors of its authors', () => {
    for (const [length, expected] of Object.entries(VECTORS)) {
      const low = keyed.hash(Uint8Array.from({ length: Number(length) }, (_, i) => i));
      const bytes = Buffer.alloc(8);
      bytes.writeUInt32LE(low, 0);
      bytes.writeUInt32LE(keyed.high, 4);
      assert.is(bytes.toString('hex'), expected, `length ${length}`);
    }
  });
});
