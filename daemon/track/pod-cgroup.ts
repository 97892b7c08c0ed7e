/**
 * Which pod and container a process belongs to, from /proc/PID/cgroup. The kubelet names the cgroup of a pod after its
 * UID; what is below it, and how the path is spelt, depends on the cgroup driver and the container runtime:
 *
 *     /kubepods/burstable/podUID/CONTAINER                                                 cgroupfs driver
 *     /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/cri-containerd-CONTAINER.scope
 *     .../kubepods-podU_I_D.slice/crio-CONTAINER.scope/container                           CRI-O
 *     /system.slice/containerd.service/kubepods-podU_I_D.slice:cri-containerd:CONTAINER    systemd's spelling under cgroupfs
 *     /../../podUID/CONTAINER                                                              seen from another cgroup namespace
 *
 * Anything may stand before: a node in a container has a root of its own.
 * cgroups(7); kubelet pkg/kubelet/cm/pod_container_manager_linux.go
 */

import type { PodRef } from '#contract';

/** A UUID, in systemd's spelling with underscores; a static pod's is a hash of 32 digits. */
const POD =
  /^(?:[a-z-]*kubepods[a-z-]*-)?pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?::(.*))?$/;
/** `crio-conmon-ID.scope` is the runtime's own process beside the container, not in it. */
const CONTAINER = /^(?:(?!.*conmon)[a-z-]+[-:])?([0-9a-f]{64})(?:\.scope)?$/;

/**
 * @param text all of /proc/PID/cgroup, of version 1, 2 or both
 * @returns undefined for a process that belongs to no pod; of pods in pods the outermost
 */
export function podOfCgroup(text: string): PodRef | undefined {
  for (const line of text.split('\n')) {
    // `ID:CONTROLLERS:PATH`, and the path may hold colons.
    const pod = podOfPath(line.split(':').slice(2).join(':'));
    if (pod !== undefined) return pod;
  }
  return undefined;
}

function podOfPath(path: string): PodRef | undefined {
  const segments = path.split('/');
  for (const [at, segment] of segments.entries()) {
    const [, uid, suffix] = POD.exec(segment) ?? [];
    if (uid === undefined) continue;
    const containerId = CONTAINER.exec(suffix ?? segments[at + 1] ?? '')?.[1];
    return { uid: uid.replaceAll('_', '-'), ...(containerId === undefined ? {} : { containerId }) };
  }
  return undefined;
}
