/** Processes that look like those of pods: in a cgroup as the kubelet names it. */

import { randomBytes, randomUUID } from 'node:crypto';
import { makeCgroup } from '../support/cgroup.ts';
import type { Child } from '../support/child.ts';
import { startProgram } from '../support/child.ts';

const SCENE = 'test/kernel/pod-scene.ts';

export interface Pod extends AsyncDisposable {
  readonly uid: string;
  readonly containerId: string;
  readonly child: Child;
  /** A command line that runs another program of the same container. */
  readonly enter: readonly string[];
}

/**
 * A process in the cgroup of a pod, with connections in CLOSE-WAIT and TIME-WAIT.
 * @param within a command line that runs it, such as a namespace's `enter`
 */
export async function startPod(within: readonly string[], ...sockets: readonly number[]): Promise<Pod> {
  const uid = randomUUID();
  const containerId = randomBytes(32).toString('hex');
  const cgroup = makeCgroup(`fw-${process.pid}/kubepods/burstable/pod${uid}/${containerId}`);
  const args = [SCENE, ...sockets.map(String)];
  const child = startProgram(process.execPath, args, { within: [...cgroup.enter, ...within] });
  await child.output(/ready/);
  return {
    uid,
    containerId,
    child,
    enter: cgroup.enter,
    async [Symbol.asyncDispose]() {
      await child.stop();
      await cgroup[Symbol.asyncDispose]();
    },
  };
}
