import fc from 'fast-check';
import * as assert from 'uvu/assert';
import {
  seq,
  seqAdd,
  seqDiff,
  seqInWindow,
  seqLeq,
  seqLt,
  seqMax,
  seqMin,
} from '../../../daemon/wire/seq.ts';
import { spec } from '../../harness.ts';

const anySeq = fc.integer({ min: 0, max: 0xffff_ffff }).map(seq);
const distance = fc.integer({ min: 1, max: 0x7fff_ffff });

spec('sequence numbers', (test) => {
  test('adding wraps around, and the difference undoes it', () => {
    assert.is(seqAdd(seq(0xffff_ffff), 1), 0);
    assert.is(seqAdd(seq(0), -1), 0xffff_ffff);
    fc.assert(fc.property(anySeq, distance, (a, d) => seqDiff(seqAdd(a, d), a) === d));
  });

  test('less than half the space ahead is later, wherever it wraps', () => {
    fc.assert(
      fc.property(anySeq, distance, (a, d) => {
        const b = seqAdd(a, d);
        assert.ok(
          seqLt(a, b) && seqLeq(a, b) && !seqLt(b, a) && !seqLeq(b, a) && seqLeq(a, a) && !seqLt(a, a),
        );
        assert.is(seqMax(a, b), b);
        assert.is(seqMin(a, b), a);
      }),
    );
  });

  test('a window is half open, may wrap, and may be empty', () => {
    assert.ok(seqInWindow(seq(0xffff_fff0), seq(0xffff_fff0), 32));
    assert.ok(seqInWindow(seq(15), seq(0xffff_fff0), 32));
    assert.not(seqInWindow(seq(16), seq(0xffff_fff0), 32));
    assert.not(seqInWindow(seq(0xffff_ffef), seq(0xffff_fff0), 32));
    assert.not(seqInWindow(seq(7), seq(7), 0));
  });
});
