import * as assert from 'uvu/assert';
import type { Family } from '#contract';
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

/** Finds or makes the record, and writes `value` into it. */
function put(store: SocketStore, payload: Uint8Array, value: number): void {
  const found = store.find(viewOf(payload));
  if (found < 0) store.insert();
  else store.select(found);
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
        const row = store.find(viewOf(payload));
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
        store.select(store.find(viewOf(message(number, family))));
        assert.equal([store.get(WORD.inode), store.getMs(WORD.sinceMs)], [value, value / 3]);
      }
      const seen = Array.from(store.rows(), () => store.get(WORD.inode));
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
          byRow.set(store.find(viewOf(message(number, family))), number);
        }
        const share = [5, 1, 0, 50][below(4)] as number;
        for (const number of model.keys()) {
          if (below(100) < share) continue;
          const row = store.find(viewOf(message(number, family)));
          store.remove(row);
          byRow.delete(row);
          model.delete(number);
        }
        store.compact((from, to) => {
          assert.not(byRow.has(to), `row ${to} is taken`);
          byRow.set(to, byRow.get(from) as number);
          byRow.delete(from);
          moves++;
        });
        assert.ok(store.room <= Math.max(16, 4 * model.size), `${store.room} for ${model.size} in ${round}`);
        assert.is(store.size, model.size);
        assert.is(Array.from(store.rows()).length, model.size);
        for (const [number, value] of model) {
          const row = store.find(viewOf(message(number, family)));
          assert.is(byRow.get(row), number);
          store.select(row);
          assert.equal([store.get(WORD.inode), store.getMs(WORD.sinceMs)], [value, value / 3]);
        }
      }
      for (const row of store.rows()) store.remove(row);
      store.compact(() => moves++);
      assert.ok(store.room <= 16);
      assert.is(byRow.size, model.size);
    });
  }

  test('moves nothing while a quarter is in use, and gives the rest back below', () => {
    const store = new SocketStore(4);
    for (let number = 0; number < 40_000; number++) put(store, message(number, 4), number);
    const { room } = store;
    assert.is(room, 3 * 16_384);
    const moved: number[][] = [];
    const keep = (count: number) => {
      for (const row of store.rows()) if (store.get(WORD.inode) < 40_000 - count) store.remove(row);
      store.compact((from, to) => moved.push([from, to]));
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
    for (const row of store.rows()) if (store.get(WORD.inode) % 3 !== 0) store.remove(row);
    assert.is(store.size, 13_334);
    for (const row of store.rows()) store.remove(row);
    assert.is(store.size, 0);
    put(store, message(7, 4), 7);
    assert.is(Array.from(store.rows()).length, 1);
  });

  test('tells sockets without a peer apart by their cookie', () => {
    const store = new SocketStore(4);
    const listener = (cookie: number) => diagMessage({ state: STATE.listen, local: '0.0.0.0:80', cookie });
    put(store, listener(1), 10);
    assert.is(store.find(viewOf(listener(2))), -1);
    put(store, listener(2), 20);
    store.select(store.find(viewOf(listener(1))));
    assert.equal([store.get(WORD.inode), store.localPort(), store.remotePort()], [10, 80, 0]);
    for (let cookie = 3; cookie <= 1_000; cookie++) {
      assert.is(store.find(viewOf(listener(cookie))), -1);
      put(store, listener(cookie), cookie);
    }
    assert.is(store.size, 1_000);
  });
});
