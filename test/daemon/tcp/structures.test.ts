/** The engine's own data structures, against the plainest way to do the same. */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import { ByteRing } from '../../../daemon/tcp/byte-ring.ts';
import { Deadlines, type Timed } from '../../../daemon/tcp/deadlines.ts';
import { type Tuple, TupleTable } from '../../../daemon/tcp/demux.ts';
import { Fifo } from '../../../daemon/tcp/fifo.ts';
import { Reassembly } from '../../../daemon/tcp/reassembly.ts';
import { seq, seqAdd } from '../../../daemon/wire/seq.ts';
import { spec } from '../../harness.ts';
import { V4, V6 } from '../wire/support.ts';

spec('the byte ring', (test) => {
  test('it holds what a plain array would', () => {
    const random = new SeededRandom(4);
    const ring = new ByteRing(10_000);
    let model: number[] = [];
    for (let step = 0; step < 5000; step += 1) {
      if (random.chance(0.5)) {
        const bytes = random.bytes(random.below(3000));
        const taken = ring.append(bytes, 0, bytes.length);
        assert.is(taken, Math.min(bytes.length, 10_000 - model.length));
        model.push(...bytes.subarray(0, taken));
      } else {
        const count = random.below(model.length + 1);
        ring.drop(count);
        model = model.slice(count);
        if (model.length === 0) ring.release();
      }
      const offset = random.below(model.length + 1);
      const length = random.below(model.length - offset + 1);
      const copy = new Uint8Array(length + 2);
      ring.copy(offset, length, copy, 1);
      assert.ok(
        Buffer.from(copy.subarray(1, length + 1)).equals(Buffer.from(model.slice(offset, offset + length))),
      );
      assert.is(ring.length, model.length);
      assert.ok(ring.capacity <= 10_000);
    }
  });

  test('bytes put ahead join the queue when the gap is filled', () => {
    const ring = new ByteRing(100);
    ring.append(Buffer.from('abc'), 0, 3);
    ring.putAhead(6, Buffer.from('ghi'), 0, 3);
    ring.putAhead(3, Buffer.from('def'), 0, 3);
    ring.commit(6);
    const all = Buffer.alloc(9);
    ring.copy(0, 9, all, 0);
    assert.is(all.toString(), 'abcdefghi');
  });

  test('it takes no memory while it is empty', () => {
    const ring = new ByteRing(100_000);
    assert.is(ring.capacity, 0);
    ring.append(new Uint8Array(10), 0, 10);
    assert.ok(ring.capacity <= 2048);
    ring.drop(10);
    ring.release();
    assert.is(ring.capacity, 0);
  });
});

spec('the deadlines', (test) => {
  test('the first is always the first', () => {
    const random = new SeededRandom(9);
    const items: Timed[] = Array.from({ length: 200 }, () => ({ deadlineUs: Infinity, heapIndex: -1 }));
    const deadlines = new Deadlines<Timed>();
    for (let step = 0; step < 20_000; step += 1) {
      const item = items[random.below(items.length)] as Timed;
      deadlines.set(item, random.chance(0.3) ? Infinity : random.below(1000));
      const waiting = items.filter(({ deadlineUs }) => deadlineUs < Infinity);
      assert.is(deadlines.nextUs, Math.min(Infinity, ...waiting.map(({ deadlineUs }) => deadlineUs)));
      assert.is(deadlines.size, waiting.length);
    }
  });
});

spec('the tuple table', (test) => {
  test('it finds what was added and not deleted, of both families', () => {
    const table = new TupleTable<Tuple>(1);
    const tuples: Tuple[] = [];
    for (let i = 0; i < 5000; i += 1) {
      const ends = i % 2 === 0 ? V4 : V6;
      const local = { address: ends.a, port: 1000 + (i % 7) };
      tuples.push({ localIndex: i % 2, local, remote: { address: ends.b, port: i } });
    }
    for (const tuple of tuples) table.add(tuple);
    const find = ({ localIndex, local, remote }: Tuple) => table.findTuple(localIndex, local.port, remote);
    for (const tuple of tuples) assert.is(find(tuple), tuple);
    for (const tuple of tuples.slice(0, 2500)) table.delete(tuple);
    assert.is(table.size, 2500);
    for (const [i, tuple] of tuples.entries()) assert.is(find(tuple), i < 2500 ? undefined : tuple);
  });
});

spec('the queue', (test) => {
  test('first in, first out', () => {
    const fifo = new Fifo<number>();
    let next = 0;
    for (let i = 0; i < 10_000; i += 1) {
      fifo.push(i);
      if (i % 3 !== 0) assert.is(fifo.shift(), next++);
    }
    assert.is(fifo.length, 10_000 - next);
    while (fifo.length > 0) assert.is(fifo.shift(), next++);
    assert.is(fifo.shift(), undefined);
  });
});

spec('reassembly', (test) => {
  test('it knows what a set of octets would, across the wrap', () => {
    for (let seed = 1; seed < 200; seed += 1) {
      const random = new SeededRandom(seed);
      const base = seq(0xffff_ff80);
      const held = new Reassembly();
      const model = new Set<number>();
      for (let i = 0; i < 20; i += 1) {
        const left = 1 + random.below(200);
        const length = 1 + random.below(30);
        held.add(seqAdd(base, left), seqAdd(base, left + length));
        for (let at = left; at < left + length; at += 1) model.add(at);
      }
      for (const { left, right } of held.sackBlocks(64)) {
        for (let at = (left - base) >>> 0; at < (right - base) >>> 0; at += 1) assert.ok(model.delete(at));
      }
      assert.is(model.size, 0);
    }
  });

  test('taking answers how far the stream goes on', () => {
    const held = new Reassembly();
    held.add(seq(10), seq(20));
    held.add(seq(30), seq(40));
    assert.is(held.take(seq(5)), 0);
    assert.is(held.take(seq(15)), 5);
    assert.is(held.take(seq(50)), 0);
    assert.ok(held.empty);
  });
});
