/** The names of pods where the kubelet's folders tell them, and pods as a person names them. */

import type { PodRef } from '#contract';
import { namesIn } from './quiet-read.ts';

/** Of this mount namespace, and that of the machine where it can be seen. */
const FOLDERS = ['/var/log/pods', '/proc/1/root/var/log/pods'] as const;

/** NAMESPACE/NAME by UID, from folders named NAMESPACE_NAME_UID; empty where there are none. */
export function readPodNames(folders: readonly string[] = FOLDERS): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const entry of folders.flatMap(namesIn)) {
    // None of the three may hold an underscore.
    const [namespace, name, uid, ...more] = entry.split('_');
    if (namespace && name && uid && more.length === 0) names.set(uid, `${namespace}/${name}`);
  }
  return names;
}

/** By the beginning of its UID, of its container's id, or of its name with or without its namespace; `none`: of no pod. */
export function isPod(pod: PodRef | null, name: string | null | undefined, filter: string): boolean {
  if (pod === null) return filter === 'none';
  const names = name ? [name, name.slice(name.indexOf('/') + 1)] : [];
  return [pod.uid, pod.containerId, ...names].some((each) => each?.startsWith(filter) === true);
}
