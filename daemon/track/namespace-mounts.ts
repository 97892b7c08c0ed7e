/**
 * Network namespaces that a mount keeps, whether a process is in them or not: `ip netns` and container runtimes make
 * such mounts, mostly in /run/netns. proc_pid_mountinfo(5), ip-netns(8)
 */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { unlessGone } from './proc.ts';

export interface MountedNamespace {
  readonly inode: number;
  /** Leads into it, where it may be opened. */
  readonly path: string;
}

/** Those that finwait itself sees, and those of the machine: a container has mounts of its own. */
export function mountedNamespaces(procRoot: string): MountedNamespace[] {
  return [...mountsOf(procRoot, 'thread-self', ''), ...mountsOf(procRoot, '1', join(procRoot, '1/root'))];
}

/** @returns `gone` also when something else is there by now */
export function lookAtMount({ inode, path }: MountedNamespace): 'there' | 'gone' | 'denied' {
  try {
    return statSync(path).ino === inode ? 'there' : 'gone';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' || code === 'EPERM' ? 'denied' : 'gone';
  }
}

function mountsOf(procRoot: string, process: string, root: string): MountedNamespace[] {
  const text = unlessGone(() => readFileSync(join(procRoot, process, 'mountinfo'), 'utf8')) ?? '';
  return Array.from(
    text.matchAll(/^\S+ \S+ \S+ net:\[(\d+)\] (\S+) .*- nsfs /gm),
    ([, inode, point = '']) => ({
      inode: Number(inode),
      path: root + unescaped(point),
    }),
  );
}

/** Blanks in names are octal: `\040`. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
