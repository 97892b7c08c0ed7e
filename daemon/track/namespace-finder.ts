/**
 * The network namespaces that processes of this machine are in, other than finwait's own, each by its inode, and the
 * pod it belongs to. Which process is in which is looked up anew every few seconds; a namespace is let go as soon as
 * the process it was found by has left it and no other is in it.
 */

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PodRef } from '#contract';
import { podOfCgroup } from './pod-cgroup.ts';
import { unlessGone } from './proc.ts';

const SCAN_EVERY_MS = 5_000;
const NAMESPACES_MAX = 1_024;

export interface FoundNamespace {
  readonly inode: number;
  /** A process that is in it. */
  readonly pid: number;
  /** Without the container: it is all containers' of the pod. Undefined for one that is no pod's. */
  readonly pod: PodRef | undefined;
}

export class NamespaceFinder {
  readonly counters = { namespace_searches: 0 };
  /** Whether the last search found more namespaces than it may. */
  full = false;
  /** Whether the last search met a process whose namespace may not be seen. */
  denied = false;
  readonly procRoot: string;
  readonly #max: number;
  #found = new Map<number, FoundNamespace>();
  #scannedMs = Number.NEGATIVE_INFINITY;

  constructor({ procRoot = '/proc', max = NAMESPACES_MAX } = {}) {
    this.procRoot = procRoot;
    this.#max = max;
  }

  /** By inode. @param nowMs any clock that never steps back */
  find(nowMs: number): ReadonlyMap<number, FoundNamespace> {
    const stale = [...this.#found.values()].some(({ pid, inode }) => this.#namespaceOf(pid) !== inode);
    if (stale || nowMs - this.#scannedMs >= SCAN_EVERY_MS) this.#scan(nowMs);
    return this.#found;
  }

  #scan(nowMs: number): void {
    this.#scannedMs = nowMs;
    this.counters.namespace_searches++;
    this.denied = false;
    this.full = false;
    const own = this.#namespaceOf('thread-self');
    const found = new Map<number, FoundNamespace>();
    for (const pid of this.#pids()) {
      const inode = this.#namespaceOf(pid);
      if (inode === undefined || inode === own) continue;
      const known = found.get(inode);
      // The first process need not be one of the pod: whoever looks into it from outside may be the first.
      if (known?.pod !== undefined) continue;
      if (known === undefined && found.size >= this.#max) {
        this.full = true;
        continue;
      }
      const pod = this.#podOf(pid);
      if (known === undefined || pod !== undefined) found.set(inode, { inode, pid, pod });
    }
    this.#found = found;
  }

  #pids(): number[] {
    return readdirSync(this.procRoot)
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => a - b);
  }

  #namespaceOf(pid: number | 'thread-self'): number | undefined {
    const onDenied = () => {
      this.denied ||= this.#isElsewhere(pid);
    };
    const link = unlessGone(() => readlinkSync(join(this.procRoot, String(pid), 'ns/net')), onDenied);
    const inode = /^net:\[(\d+)\]$/.exec(link ?? '')?.[1];
    return inode === undefined ? undefined : Number(inode);
  }

  /** Each namespace has files of its own in /proc/PID/net, which need no rights to look at, but do not lead into it. */
  #isElsewhere(pid: number | 'thread-self'): boolean {
    const fileOf = (id: number | 'thread-self') =>
      unlessGone(() => statSync(join(this.procRoot, String(id), 'net/sockstat')).ino);
    const file = fileOf(pid);
    return file !== undefined && file !== fileOf('thread-self');
  }

  #podOf(pid: number): PodRef | undefined {
    const cgroup = unlessGone(() => readFileSync(join(this.procRoot, String(pid), 'cgroup'), 'utf8'));
    const pod = podOfCgroup(cgroup ?? '');
    return pod === undefined ? undefined : { uid: pod.uid };
  }
}
