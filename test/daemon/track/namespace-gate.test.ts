import * as assert from 'uvu/assert';
import { NamespaceGate } from '../../../daemon/track/namespace-gate.ts';
import { spec } from '../../harness.ts';

/** One look every two seconds at a namespace whose figures can be set. */
function makeScene({ onlyListens = false, inUse = 3 } = {}) {
  const gate = new NamespaceGate();
  const now = { inUse, timeWait: 0, received: 100, sent: 100, retransmitted: 0, nowMs: 0, looks: 0 };
  return {
    gate,
    now,
    /** Which of the next looks lead to a reading. */
    reads(looks: number): number[] {
      const all: number[] = [];
      for (let i = 1; i <= looks; i++) {
        now.nowMs += 2_000;
        const { inUse: used, timeWait, nowMs } = now;
        const segments = () => {
          now.looks++;
          return { received: now.received, sent: now.sent, retransmitted: now.retransmitted };
        };
        if (!gate.spares({ counts: { inUse: used, timeWait }, onlyListens, segments, nowMs })) all.push(i);
      }
      return all;
    },
  };
}

spec('the reading of a network namespace', (test) => {
  test('is made when its counts change, or when segments come, go or are sent again', () => {
    const { now, reads } = makeScene();
    assert.equal(reads(3), [1]);
    for (const change of ['inUse', 'timeWait', 'received', 'sent', 'retransmitted'] as const) {
      now[change]++;
      assert.equal(reads(3), [1], change);
    }
  });

  test('is made every sixth time where connections stand still', () => {
    assert.equal(makeScene().reads(20), [1, 7, 13, 19]);
  });

  test('is made seldom where there are only listeners, whatever health checks they answer', () => {
    const { now, reads } = makeScene({ onlyListens: true, inUse: 2 });
    assert.equal(reads(33), [1, 32]);
    assert.ok(now.looks <= 17, `${now.looks} looks at segments`);
    now.received += 5;
    now.sent += 5;
    assert.equal(reads(10), []);
    now.retransmitted++;
    assert.is(reads(3).length, 1, 'a SYN-ACK that is sent again');
  });

  test('is not made where there is nothing, nor are segments looked at', () => {
    const { now, reads } = makeScene({ onlyListens: true, inUse: 0 });
    assert.equal(reads(29), []);
    assert.is(now.looks, 0);
  });

  test('is made again after one that broke off', () => {
    const { gate, reads } = makeScene();
    reads(1);
    gate.reopen();
    assert.equal(reads(3), [1]);
  });
});
