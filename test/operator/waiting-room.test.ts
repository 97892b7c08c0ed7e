import * as assert from 'uvu/assert';
import type { Attempt } from '../../operator/telemetry/waiting-room.ts';
import { WaitingRoom } from '../../operator/telemetry/waiting-room.ts';
import { spec } from '../harness.ts';

/** A room whose every attempt is decided by the test; each trace is a list of its own name. */
function roomWith(attempts: (names: string[]) => Attempt | Promise<Attempt>, options: object = {}) {
  const sent: string[][] = [];
  const room = new WaitingRoom<string>({
    send: async (traces) => {
      const names = traces.map(([name]) => name ?? '');
      sent.push(names);
      return attempts(names);
    },
    maxTraces: 4,
    maxBatchItems: 6,
    lingerMs: 1,
    firstPauseMs: 1,
    maxPauseMs: 4,
    random: () => 0.5,
    ...options,
  });
  return { room, sent };
}

spec('traces waiting for the collector', (test) => {
  test('are settled as accepted, those that came together in one batch', async () => {
    const { room, sent } = roomWith(() => 'accepted');
    assert.equal(await Promise.all([room.add(['a']), room.add(['b'])]), ['accepted', 'accepted']);
    assert.equal(sent, [['a', 'b']]);
    assert.is(room.accepted, 2);
    assert.is(room.size, 0);
  });

  test('are tried again until the collector is back', async () => {
    let failures = 3;
    const { room, sent } = roomWith(() => (failures-- > 0 ? 'failed' : 'accepted'));
    assert.is(await room.add(['a']), 'accepted');
    assert.is(sent.length, 4);
  });

  test('do not wait for a slow export to take more in, and leave after it', async () => {
    const { promise, resolve } = Promise.withResolvers<Attempt>();
    const { room, sent } = roomWith((names) => (names[0] === 'a' ? promise : 'accepted'));
    const a = room.add(['a']);
    while (sent.length === 0) await new Promise(setImmediate);
    const b = room.add(['b']);
    resolve('accepted');
    assert.equal(await Promise.all([a, b]), ['accepted', 'accepted']);
    assert.equal(sent, [['a'], ['b']]);
  });

  test('leave in batches of bounded size, a larger trace by itself', async () => {
    const { room, sent } = roomWith(() => 'accepted');
    const spans = (name: string, count: number): string[] => Array.from({ length: count }, () => name);
    await Promise.all([room.add(spans('a', 3)), room.add(spans('b', 4)), room.add(spans('c', 9))]);
    assert.equal(sent, [['a'], ['b'], ['c']]);
  });

  test('are given up when there is no more room, oldest first, and counted', async () => {
    const { room } = roomWith(() => 'failed', { lingerMs: 60_000 });
    const added = ['a', 'b', 'c', 'd', 'e'].map((name) => room.add([name]));
    assert.is(await added[0], 'lost');
    assert.is(room.size, 4);
    assert.is(room.lost, 1);
    await room.close(0);
    assert.equal(await Promise.all(added), ['lost', 'lost', 'lost', 'lost', 'lost']);
  });

  test('that the collector refuses are found by halving, and only they are lost', async () => {
    const { room } = roomWith((names) => (names.includes('bad') ? 'refused' : 'accepted'));
    const added = ['a', 'b', 'bad', 'c'].map((name) => room.add([name]));
    assert.equal(await Promise.all(added), ['accepted', 'accepted', 'lost', 'accepted']);
    assert.is(room.lost, 1);
    assert.is(room.accepted, 3);
  });

  test('are sent at once when the room closes', async () => {
    const { room } = roomWith(() => 'accepted', { lingerMs: 60_000 });
    const added = room.add(['a']);
    await room.close(5000);
    assert.is(await added, 'accepted');
  });

  test('are lost, not waited for, when the room closes on a collector that never answers', async () => {
    const { room } = roomWith(() => new Promise<Attempt>(() => {}));
    const added = room.add(['a']);
    await room.close(20);
    assert.is(await added, 'lost');
    assert.is(await room.add(['late']), 'lost');
    assert.is(room.size, 0);
  });
});
