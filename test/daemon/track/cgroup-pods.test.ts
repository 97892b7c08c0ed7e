import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { CgroupPods } from '../../../daemon/track/cgroup-pods.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const UID = '0f5bd58c-5d3c-4e6f-9f0c-1c7a4f1b2a3d';
const CONTAINER = 'c'.repeat(64);

spec('pods by control group', (test) => {
  test('are told by the inode of the folder, and searched for only when an id appears that is not known', async () => {
    await using root = await makeTempDir('cgroup');
    const make = (path: string) => {
      mkdirSync(join(root.path, path), { recursive: true });
      return statSync(join(root.path, path)).ino;
    };
    const ofContainer = make(`kubepods/burstable/pod${UID}/${CONTAINER}`);
    const ofPod = statSync(join(root.path, `kubepods/burstable/pod${UID}`)).ino;
    const ofNoPod = make('system.slice/sshd.service');
    const pods = new CgroupPods(root.path);
    const numbers = [ofContainer, ofPod, ofNoPod].map((id) => pods.numberOf(id));
    pods.update(1_000);
    assert.equal(
      numbers.map((number) => pods.podAt(number)),
      [{ uid: UID, containerId: CONTAINER }, { uid: UID }, undefined],
    );
    assert.is(pods.numberOf(ofContainer), numbers[0]);
    pods.update(100_000);
    assert.is(pods.counters.cgroup_searches, 1);
    const later = pods.numberOf(make(`kubepods/pod${UID.replace('0', '1')}`));
    pods.update(101_000);
    assert.is(pods.podAt(later)?.uid, UID.replace('0', '1'));
  });

  test('are not searched for again at once, however many ids appear', async () => {
    await using root = await makeTempDir('cgroup');
    const pods = new CgroupPods(root.path);
    for (let nowMs = 0; nowMs < 10_000; nowMs += 100) {
      pods.numberOf(1_000_000 + nowMs);
      pods.update(nowMs);
    }
    assert.is(pods.counters.cgroup_searches, 2);
  });

  test('have room for so many, and count the rest', async () => {
    await using root = await makeTempDir('cgroup');
    const pods = new CgroupPods(root.path);
    for (let id = 1; id <= 65_537; id++) pods.numberOf(id);
    assert.is(pods.numberOf(65_536), 0);
    assert.is(pods.counters.cgroup_ids_left_out, 3);
  });
});
