import { mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cgroupMount } from '../../../daemon/track/cgroup-mount.ts';
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

  test('are searched for again when they were not there at first, less and less often', async () => {
    await using root = await makeTempDir('cgroup');
    const pods = new CgroupPods(root.path);
    const folder = join(root.path, `kubepods/pod${UID}`);
    mkdirSync(folder, { recursive: true });
    const { ino } = statSync(folder);
    // Moved away, so that a search does not meet it.
    renameSync(folder, `${root.path}-away`);
    const searches: number[] = [];
    for (let nowMs = 0; nowMs <= 100_000; nowMs += 1_000) {
      pods.numberOf(ino);
      const before = pods.counters.cgroup_searches;
      pods.update(nowMs);
      if (pods.counters.cgroup_searches > before) searches.push(nowMs / 1_000);
    }
    assert.equal(searches, [0, 10, 30, 70]);
    assert.is(pods.condition()?.code, 'CGROUPS_HIDDEN');
    renameSync(`${root.path}-away`, folder);
    pods.numberOf(ino);
    pods.update(200_000);
    assert.is(pods.podAt(pods.numberOf(ino))?.uid, UID);
    assert.is(pods.condition(), undefined);
  });

  test('that no socket has any more are not searched for again', async () => {
    await using root = await makeTempDir('cgroup');
    const pods = new CgroupPods(root.path);
    pods.numberOf(7);
    for (let nowMs = 0; nowMs <= 100_000; nowMs += 1_000) pods.update(nowMs);
    assert.is(pods.counters.cgroup_searches, 3);
    assert.is(pods.condition(), undefined);
  });

  test('are searched for a part at a time, and found when the last part has been looked through', async () => {
    await using root = await makeTempDir('cgroup');
    for (let i = 0; i < 2_500; i++) mkdirSync(join(root.path, `x${i}`));
    const inOrder = readdirSync(root.path);
    const ids = [inOrder.at(0), inOrder.at(-1)].map((name) => {
      const folder = join(root.path, `${name}/pod${UID}`);
      mkdirSync(folder);
      return statSync(folder).ino;
    });
    const pods = new CgroupPods(root.path);
    const numbers = ids.map((id) => pods.numberOf(id));
    const uids = () => numbers.map((number) => pods.podAt(number)?.uid);
    pods.update(0);
    assert.is(uids().filter((uid) => uid === UID).length, 1);
    pods.update(1);
    assert.equal(uids(), [UID, UID]);
    assert.is(pods.counters.cgroup_searches, 1);
    const atOnce = new CgroupPods(root.path, { foldersAtOnce: Number.POSITIVE_INFINITY });
    const known = ids.map((id) => atOnce.numberOf(id));
    atOnce.update(0);
    assert.equal(
      known.map((number) => atOnce.podAt(number)?.uid),
      [UID, UID],
    );
  });

  test('have room for so many, count the rest, and give the room of those that are gone to others', async () => {
    await using root = await makeTempDir('cgroup');
    const folder = join(root.path, `kubepods/pod${UID}`);
    mkdirSync(folder, { recursive: true });
    const { ino } = statSync(folder);
    const pods = new CgroupPods(root.path, { max: 3 });
    const [here, gone] = [ino, 7, 8].map((id) => pods.numberOf(id));
    pods.update(0);
    assert.is(pods.numberOf(9), 0);
    assert.is(pods.counters.cgroup_ids_left_out, 1);
    pods.update(3_500_000);
    // Sockets of a group may outlive it by the time that one is in TIME-WAIT, not by an hour.
    pods.numberOf(8);
    pods.numberOf(9);
    pods.update(4_000_000);
    assert.is(pods.numberOf(9), gone);
    assert.is(pods.podAt(here ?? 0)?.uid, UID);
    assert.is(pods.numberOf(10), 0, 'one was read a while ago only');
  });
});

spec('the mount of control groups', (test) => {
  test('is the one that shows most: of a container, that of the machine', async () => {
    await using proc = await makeTempDir('proc');
    const write = (process: string, ...mounts: readonly (readonly [root: string, point: string])[]) => {
      mkdirSync(join(proc.path, process), { recursive: true });
      const lines = mounts.map(
        ([root, point]) => `500 490 0:30 ${root} ${point} ro,nosuid shared:9 - cgroup2 cgroup rw\n`,
      );
      writeFileSync(
        join(proc.path, process, 'mountinfo'),
        `27 1 254:0 / / rw - ext4 /dev/vda rw\n${lines.join('')}`,
      );
    };
    const own = join(proc.path, 'own');
    const shown = join(proc.path, 'shown');
    mkdirSync(own);
    write('self', ['/', own], ['/../../..', shown]);
    assert.is(cgroupMount(proc.path), own, 'the other cannot be looked at');
    mkdirSync(shown);
    assert.is(cgroupMount(proc.path), shown);
    write('self', ['/', own]);
    write('1', ['/../..', '/sys/fs/cgroup']);
    assert.is(cgroupMount(proc.path), own);
    const machine = join(proc.path, '1/root/sys/fs/cgroup');
    mkdirSync(machine, { recursive: true });
    assert.is(cgroupMount(proc.path), machine);
    write('self');
    write('1');
    assert.is(cgroupMount(proc.path), undefined);
  });
});
