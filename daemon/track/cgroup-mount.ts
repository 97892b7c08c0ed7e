/**
 * Where the hierarchy of control groups (version 2) can be looked at. A container has a control group namespace of its
 * own, in whose mount nothing is above its own group; a mount from the machine shows more. cgroup_namespaces(7)
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unlessGone } from './proc.ts';

/** The mount that shows most, of finwait's own and of the machine's; undefined where there is none. */
export function cgroupMount(procRoot = '/proc'): string | undefined {
  const mounts = [...mountsOf(procRoot, 'self', ''), ...mountsOf(procRoot, '1', join(procRoot, '1/root'))];
  mounts.sort((a, b) => b.above - a.above);
  return mounts.find(({ path }) => unlessGone(() => readdirSync(path)) !== undefined)?.path;
}

/**
 * Those in proc_pid_mountinfo(5). What is above the reader's own group is written with dots: the mount of a node as its
 * containers see it has the root `/../../..`.
 */
function mountsOf(procRoot: string, process: string, root: string) {
  const text = unlessGone(() => readFileSync(join(procRoot, process, 'mountinfo'), 'utf8')) ?? '';
  return Array.from(
    text.matchAll(/^\S+ \S+ \S+ (\S+) (\S+) .*- cgroup2 /gm),
    ([, shown = '', point = '']) => ({
      above: shown.split('/').filter((segment) => segment === '..').length,
      path: root + point,
    }),
  );
}
