import * as assert from 'uvu/assert';
import type { Family } from '#contract';
import { DiagRecord } from '../../../daemon/netlink/diag-record.ts';
import { viewOf } from '../../../daemon/netlink/message.ts';
import { SocketStore, WORD } from '../../../daemon/track/socket-store.ts';
import { spec, testSeed } from '../../harness.ts';
import { diagMessage, STATE } from './diag-message.ts';

const message = (number: number, family: Family) => {
  const host = family === 4 ? `10.0.${number >> 8}.${number & 255}` : `[2001:db8::${number.toString(16)}]`;
  const peer = family === 4 ? '10.0.0.9:443' : '[2001:db8::ffff]:443';
  return diagMessage({ state: STATE.established, local: `${host}:40000`, peer, cookie: number });
};

/** Numbers below a bound from a seed (mulberry32). */
function generator(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  };
}

function read(payload: Uint8Array): DiagRecord {
  const record = new DiagRecord();
  assert.is(record.read(viewOf(payload), 0, payload.length), undefined);
  return record;
}

function rowsOf(store: SocketStore): number[] {
  const rows = [];
  for (let row = store.next(-1); row >= 0; row = store.next(row)) rows.push(row);
  return rows;
}

/** Finds or makes the record, and writes `value` into it. */
function put(store: SocketStore, payload: Uint8Array, value: number): void {
  const record = read(payload);
  if (store.find(record) < 0) store.insert(record);
  store.set(WORD.sweep, 1);
  store.set(WORD.inode, value);
  store.setMs(WORD.sinceMs, value / 3);
}

spec('the store of sockets', (test) => {
  for (const family of [4, 6] as const) {
    test(`keeps what a plain map keeps, whatever comes and goes (IPv${family})`, () => {
      const store = new SocketStore(family);
      const model = new Map<number, number>();
      const below = generator(testSeed());
      for (let step = 0; step < 30_000; step++) {
        const number = below(2_000);
        const payload = message(number, family);
        const row = store.find(read(payload));
        assert.is(row >= 0, model.has(number));
        if (row >= 0 && below(2) === 0) {
          store.remove(row);
          model.delete(number);
        } else {
          put(store, payload, step);
          model.set(number, step);
        }
      }
      assert.is(store.size, model.size);
      for (const [number, value] of model) {
        store.select(store.find(read(message(number, family))));
        assert.equal([store.get(WORD.inode), store.getMs(WORD.sinceMs)], [value, value / 3]);
      }
      const seen = rowsOf(store).map((row) => {
        store.select(row);
        return store.get(WORD.inode);
      });
      assert.equal(
        seen.sort((a, b) => a - b),
        [...model.values()].sort((a, b) => a - b),
      );
    });
  }

  for (const family of [4, 6] as const) {
    test(`keeps what a plain map keeps when it moves together time and again (IPv${family})`, () => {
      const store = new SocketStore(family);
      /** By number, and what is kept outside by row. */
      const model = new Map<number, number>();
      const byRow = new Map<number, number>();
      const below = generator(testSeed());
      let moves = 0;
      for (const [round, most] of [20_000, 300, 17_500, 30, 5_000].entries()) {
        for (let step = 0; step < most; step++) {
          const number = below(60_000);
          put(store, message(number, family), step);
          model.set(number, step);
          byRow.set(store.find(read(message(number, family))), number);
        }
        const share = [5, 1, 0, 50][below(4)] as number;
        for (const number of model.keys()) {
          if (below(100) < share) continue;
          const row = store.find(read(message(number, family)));
          store.remove(row);
          byRow.delete(row);
          model.delete(number);
        }
        store.compact((from, to) => {
          if (from === to) return;
          assert.not(byRow.has(to), `row ${to} is taken`);
          byRow.set(to, byRow.get(from) as number);
          byRow.delete(from);
          moves++;
        });
        assert.ok(store.room <= Math.max(16, 4 * model.size), `${store.room} for ${model.size} in ${round}`);
        assert.is(store.size, model.size);
        assert.is(rowsOf(store).length, model.size);
        for (const [number, value] of model) {
          const row = store.find(read(message(number, family)));
          assert.is(byRow.get(row), number);
          store.select(row);
          assert.equal([store.get(WORD.inode), store.getMs(WORD.sinceMs)], [value, value / 3]);
        }
      }
      for (let row = store.next(-1); row >= 0; row = store.next(row)) store.remove(row);
      store.compact(() => moves++);
      assert.ok(store.room <= 16);
      assert.is(byRow.size, model.size);
    });
  }

  test('finds what it has in whatever order dump after dump tells of it, while sockets come and go', () => {
    const store = new SocketStore(4);
    const below = generator(testSeed());
    let order = Array.from({ length: 3_000 }, (_, number) => number);
    for (let dump = 1; dump <= 12; dump++) {
      store.rewind();
      for (const number of order) {
        const record = read(message(number, 4));
        const row = store.find(record);
        if (row < 0) store.insert(record);
        else assert.equal([store.get(WORD.uid), store.get(WORD.inode)], [number, dump - 1]);
        store.set(WORD.uid, number);
        store.set(WORD.sweep, dump);
        store.set(WORD.inode, dump);
      }
      for (let row = store.next(-1); row >= 0; row = store.next(row)) {
        if (store.get(WORD.sweep) < dump) store.remove(row);
      }
      assert.is(store.size, order.length);
      store.compact(() => {});
      // Most stay in their place; some go, some come in between, some change places, and once nearly all go.
      order = order.filter(() => below(dump === 6 ? 50 : 10) < (dump === 6 ? 1 : 9));
      for (let more = 0; more < 300; more++) order.splice(below(order.length), 0, 3_000 * dump + more);
      for (let swaps = 0; swaps < 50; swaps++) {
        const [from, to] = [below(order.length), below(order.length)];
        [order[from], order[to]] = [order[to] as number, order[from] as number];
      }
    }
  });

  test('makes a record anew for the last socket of a dump that was gone for a while', () => {
    const store = new SocketStore(4);
    const dump = (...numbers: number[]) => {
      store.rewind();
      for (const number of numbers) put(store, message(number, 4), number);
    };
    dump(1, 2);
    assert.ok(store.find(read(message(2, 4))) >= 0);
    store.remove(store.find(read(message(2, 4))));
    dump(1);
    dump(1, 2);
    assert.equal([store.size, rowsOf(store).length], [2, 2]);
  });

  test('tells sockets of the same ends apart by their interface', () => {
    const store = new SocketStore(4);
    const on = (interfaceIndex: number) => message(1, 4).with(40, interfaceIndex);
    for (const index of [0, 1, 2]) put(store, on(index), 10 + index);
    store.rewind();
    for (const index of [1, 0, 2]) {
      assert.ok(store.find(read(on(index))) >= 0);
      assert.equal([store.interfaceIndex(), store.get(WORD.inode)], [index, 10 + index]);
    }
    assert.is(store.size, 3);
  });

  test('moves nothing while a quarter is in use, and gives the rest back below', () => {
    const store = new SocketStore(4);
    for (let number = 0; number < 40_000; number++) put(store, message(number, 4), number);
    const { room } = store;
    assert.is(room, 3 * 16_384);
    const moved: number[][] = [];
    const keep = (count: number) => {
      for (let row = store.next(-1); row >= 0; row = store.next(row))
        if (store.get(WORD.inode) < 40_000 - count) store.remove(row);
      store.compact((from, to) => {
        if (from !== to) moved.push([from, to]);
      });
    };
    keep(room / 4);
    assert.equal([store.room, moved.length], [room, 0]);
    keep(room / 4 - 1);
    assert.equal([store.room, moved.length], [16_384, room / 4 - 1]);
    assert.equal(moved[0], [40_000 - room / 4 + 1, 0]);
    keep(1);
    assert.is(store.room, 16);
  });

  test('may be emptied while it is walked through', () => {
    const store = new SocketStore(4);
    for (let number = 0; number < 40_000; number++) put(store, message(number, 4), number);
    for (let row = store.next(-1); row >= 0; row = store.next(row))
      if (store.get(WORD.inode) % 3 !== 0) store.remove(row);
    assert.is(store.size, 13_334);
    for (let row = store.next(-1); row >= 0; row = store.next(row)) store.remove(row);
    assert.is(store.size, 0);
    put(store, message(7, 4), 7);
    assert.is(rowsOf(store).length, 1);
  });

  test('tells sockets without a peer apart by their cookie', () => {
    const store = new SocketStore(4);
    const listener = (cookie: number) => diagMessage({ state: STATE.listen, local: '0.0.0.0:80', cookie });
    put(store, listener(1), 10);
    assert.is(store.find(read(listener(2))), -1);
    put(store, listener(2), 20);
    store.select(store.find(read(listener(1))));
    assert.equal([store.get(WORD.inode), store.localPort(), store.remotePort()], [10, 80, 0]);
    for (let cookie = 3; cookie <= 1_000; cookie++) {
      assert.is(store.find(read(listener(cookie))), -1);
      put(store, listener(cookie), cookie);
    }
    assert.is(store.size, 1_000);
  });
});
