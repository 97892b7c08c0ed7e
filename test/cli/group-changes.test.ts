import * as assert from 'uvu/assert';
import { GroupChanges } from '../../cli/group-changes.ts';
import { groupName, groupSockets, sortGroups } from '../../cli/sockets-groups.ts';
import type { SocketGrouping } from '../../cli/sockets-settings.ts';
import { spec } from '../harness.ts';
import { socket } from './tables-fixture.ts';

spec('by how much groups change', (test) => {
  test('is told from the second reading on, by group, and can be sorted by', () => {
    const [a, b, c] = [1, 2, 3].map((pid) => socket({ process: { pid, name: 'p' } }));
    if (a === undefined || b === undefined || c === undefined) throw new Error('three are made');
    const changes = new GroupChanges(groupName('process'));
    const read = (...rows: (typeof a)[]) =>
      sortGroups(changes.compared(groupSockets(rows, 'process')), 'change', false).map(
        ({ process, count, change }) => [process?.pid, count, change],
      );
    assert.equal(read(a, a, b), [
      [1, 2, null],
      [2, 1, null],
    ]);
    assert.equal(read(a, b, b, c, c, c), [
      [3, 3, 3],
      [2, 2, 1],
      [1, 1, -1],
    ]);
    assert.equal(read(a, b, c), [
      [1, 1, 0],
      [2, 1, -1],
      [3, 1, -2],
    ]);
  });

  test('knows the groups of every grouping again, also those of nobody, whose states change', () => {
    for (const by of ['process', 'destination', 'pod', 'container', 'namespace'] as SocketGrouping[]) {
      const changes = new GroupChanges(groupName(by));
      const nobody = socket({ process: null, attribution: 'unknown' });
      changes.compared(groupSockets([nobody], by));
      const [group] = changes.compared(groupSockets([{ ...nobody, state: 'TIME-WAIT' }, nobody], by));
      assert.is(group?.change, 1, by);
    }
    const changes = new GroupChanges(groupName('state'));
    changes.compared(groupSockets([socket()], 'state'));
    const [first, second] = changes.compared(groupSockets([socket(), socket({ state: 'LISTEN' })], 'state'));
    assert.equal([first?.change, second?.change], [0, 1]);
  });

  test('is not told of groups that look the same', () => {
    const changes = new GroupChanges(groupName('process'));
    const rows = [1, 2].map((netns) => socket({ process: null, netns }));
    changes.compared(groupSockets(rows, 'process'));
    assert.equal(
      changes.compared(groupSockets(rows, 'process')).map(({ change }) => change),
      [null, null],
    );
  });
});
