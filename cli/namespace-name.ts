/** Network namespaces as a person names them. */

import { readlinkSync, statSync } from 'node:fs';

/**
 * The inode of a namespace as a person names it: the inode itself, a process in it, or its name under /run/netns.
 * Undefined when there is none.
 */
export function namespaceInode(text: string): number | undefined {
  try {
    if (!/^\d+$/.test(text)) return statSync(`/run/netns/${text}`).ino;
    return Number(/\[(\d+)\]/.exec(readlinkSync(`/proc/${text}/ns/net`))?.[1]);
  } catch {
    return /^\d+$/.test(text) ? Number(text) : undefined;
  }
}
