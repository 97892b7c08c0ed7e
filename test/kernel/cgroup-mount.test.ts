import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { runProgram } from '../support/child.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const POD = 'kubepods/pod7d7a3b8e-0f3c-4d4a-9c62-3f1f6f9a2b11';

/** Says where control groups are looked at, and whose the folder given is, from its inode alone. */
const LOOK = `
  import { statSync } from 'node:fs';
  import { cgroupMount } from './daemon/track/cgroup-mount.ts';
  import { CgroupPods } from './daemon/track/cgroup-pods.ts';
  const pods = new CgroupPods();
  const number = pods.numberOf(Number(process.argv[1]));
  pods.update(0);
  console.log(JSON.stringify([cgroupMount(), pods.podAt(number)?.uid]));
`;

const ISOLATED = ['--mount', '--pid', '--fork', '--mount-proc', '--kill-child', '--'];

/**
 * As a container runtime does it: in a group of its own, which is the root of what it sees, with a mount of version 2 at
 * $OWN; and where $SHOWN is given, with one of the machine there.
 */
const CONTAINER = `
  mount -t cgroup2 none "$MACHINE"
  mkdir -p "$MACHINE/$GROUP/agent" "$MACHINE/$GROUP/$POD"
  export INODE=$(stat -c %i "$MACHINE/$GROUP/$POD")
  echo $$ > "$MACHINE/$GROUP/agent/cgroup.procs"
  exec unshare --cgroup sh -ec "$INSIDE"
`;
const INSIDE = `
  mount -t cgroup2 none "$OWN"
  if [ -n "$SHOWN" ]; then mount --bind -o ro "$MACHINE" "$SHOWN"; fi
  for at in $(awk '/ - cgroup2 / { print $5 }' /proc/self/mountinfo); do
    [ "$at" = "$SHOWN" ] || [ "$at" = "$OWN" ] || umount --lazy "$at"
  done
  exec "$NODE" --input-type=module-typescript --eval "$LOOK" "$INODE"
`;

const CLEAN = `mount -t cgroup2 none "$MACHINE"; cd "$MACHINE/$GROUP"; rmdir agent "$POD" kubepods; cd ..; rmdir "$GROUP"`;

spec('control groups seen from a container', (test) => {
  for (const shown of [true, false]) {
    test(
      shown ? 'are those of the machine, where its mount is shown' : 'are its own alone, where none is shown',
      async () => {
        await using dir = await makeTempDir('cgroups');
        const [machine, own, mount] = ['machine', 'own', 'shown'].map((name) => {
          const path = join(dir.path, name);
          mkdirSync(path);
          return path;
        });
        const env = {
          ...{ MACHINE: machine, OWN: own, SHOWN: shown ? mount : '', GROUP: `fw-${process.pid}` },
          ...{ POD, LOOK, INSIDE, NODE: process.execPath },
        };
        const run = (script: string) => runProgram('unshare', [...ISOLATED, 'sh', '-ec', script], { env });
        try {
          const { code, stdout, stderr } = await run(CONTAINER);
          assert.is(code, 0, stderr);
          const uid = POD.replace('kubepods/pod', '');
          assert.equal(JSON.parse(stdout), shown ? [mount, uid] : [own, null]);
        } finally {
          const { code, stderr } = await run(CLEAN);
          assert.is(code, 0, stderr);
        }
      },
      { needs: ['root'] },
    );
  }
});
