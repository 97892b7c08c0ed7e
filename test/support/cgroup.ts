/** Cgroups for tests: a tree of folders of one controller (version 1) or of all (version 2), removed at the end. */

import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const REMOVE_PATIENCE_MS = 30_000;

export interface Cgroup extends AsyncDisposable {
  /** The command line that runs a program inside. */
  readonly enter: readonly string[];
}

function root(): string {
  return existsSync('/sys/fs/cgroup/pids/cgroup.procs') ? '/sys/fs/cgroup/pids' : '/sys/fs/cgroup';
}

/** @param path from the root on; its first folder is the test's own: `fw-PID/kubepods/...` */
export function makeCgroup(path: string): Cgroup {
  const folder = join(root(), path);
  mkdirSync(folder, { recursive: true });
  return {
    enter: ['sh', '-ec', `echo $$ > '${folder}/cgroup.procs'; exec "$@"`, 'sh'],
    async [Symbol.asyncDispose]() {
      for (let at = folder; at !== root(); at = dirname(at)) await removeEmpty(at);
    },
  };
}

/** Processes that have just ended are still in there for a moment. */
async function removeEmpty(folder: string): Promise<void> {
  for (const endMs = performance.now() + REMOVE_PATIENCE_MS; ; await sleep(20)) {
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      // Another cgroup of the same test may be in the folders above; the last one takes them away.
      if (hasFolders(folder)) return;
      if (code !== 'EBUSY' || performance.now() > endMs) throw error;
    }
  }
}

function hasFolders(folder: string): boolean {
  return readdirSync(folder, { withFileTypes: true }).some((entry) => entry.isDirectory());
}
