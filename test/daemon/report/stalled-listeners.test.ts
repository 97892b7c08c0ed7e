import * as assert from 'uvu/assert';
import type { Listener } from '#contract';
import { StalledListeners } from '../../../daemon/report/stalled-listeners.ts';
import { spec } from '../../harness.ts';

function listener(port: number, acceptQueue: number): Listener {
  return {
    local: { address: '127.0.0.1', port },
    family: 4,
    process: { pid: 7, name: 'server' },
    acceptQueue,
    backlog: 5,
  };
}

spec('stalled listeners', (test) => {
  test('are those with connections waiting in two sweeps in a row', () => {
    const stalled = new StalledListeners();
    stalled.update([listener(80, 1), listener(81, 0)]);
    assert.is(stalled.has(listener(80, 1)), false, 'a connection may wait for a moment');
    assert.is(stalled.condition(), undefined);
    stalled.update([listener(80, 1), listener(81, 1)]);
    assert.is(stalled.has(listener(80, 1)), true);
    assert.is(stalled.has(listener(81, 1)), false);
  });

  test('are named with their program, the lowest port first', () => {
    const stalled = new StalledListeners();
    for (const _ of [1, 2]) stalled.update([listener(90, 3), listener(80, 1)]);
    const { code, message } = stalled.condition() ?? {};
    assert.is(code, 'LISTENER_STALLED');
    assert.is(message, 'connections wait at 127.0.0.1:80 and server/7 does not accept them (room for 5)');
  });

  test('are probed again once the queue is empty', () => {
    const stalled = new StalledListeners();
    for (const _ of [1, 2]) stalled.update([listener(80, 1)]);
    stalled.update([listener(80, 0)]);
    assert.is(stalled.has(listener(80, 0)), false);
    assert.is(stalled.condition(), undefined);
  });
});
