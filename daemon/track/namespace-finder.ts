/**
 * The network namespaces of this machine other than finwait's own, each by its inode, and the pod it belongs to: those
 * that processes are in, and those that a mount alone keeps. Which they are is looked up anew every few seconds; one is
 * let go as soon as what it was found by is gone and nothing else leads into it.
 */

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PodRef } from '#contract';
import type { MountedNamespace } from './namespace-mounts.ts';
import { lookAtMount, mountedNamespaces } from './namespace-mounts.ts';
import { NamespaceThreads } from './namespace-threads.ts';
import { podOfCgroup } from './pod-cgroup.ts';
import { unlessGone } from './proc.ts';
import { isOutOfFiles } from './refusals.ts';

const SCAN_EVERY_MS = 5_000;
/** The mounts of a node with many containers are thousands of lines. */
const MOUNTS_EVERY_MS = 15_000;
const NAMESPACES_MAX = 1_024;

export interface FoundNamespace {
  readonly inode: number;
  /** A process that is in it, or a thread of one, which has an id of the same kind; undefined where none is. */
  readonly pid: number | undefined;
  /** Leads into it. */
  readonly path: string;
  /** Without the container: it is all containers' of the pod. Undefined for one that is no pod's. */
  readonly pod: PodRef | undefined;
}

export class NamespaceFinder {
  readonly counters = { namespace_searches: 0 };
  /** Whether the last search found more namespaces than it may. */
  full = false;
  /** Whether the last search met a process in a namespace that may not be seen, and that nothing else led into. */
  denied = false;
  /** Whether the last two searches met a namespace without a process whose mount may not be looked at. */
  mountsDenied = false;
  readonly procRoot: string;
  readonly #max: number;
  readonly #lookAt: typeof lookAtMount;
  readonly #readLink: typeof readLinkText;
  #found = new Map<number, FoundNamespace>();
  #scannedMs = Number.NEGATIVE_INFINITY;
  #mounts: readonly MountedNamespace[] = [];
  #mountsMs = Number.NEGATIVE_INFINITY;
  /** Of namespaces that have a mount as well, by its path: the pod that is known as long as a process is in it. */
  #pods = new Map<string, PodRef>();
  /** Inodes of namespaces whose mounts the last search could not look at: one of them may just be going away. */
  #deniedMounts = new Set<number>();
  readonly #threads: NamespaceThreads;
  /** Processes of this search whose namespace may not be seen. */
  #denied: number[] = [];

  constructor({
    procRoot = '/proc',
    max = NAMESPACES_MAX,
    lookAt = lookAtMount,
    readLink = readLinkText,
  } = {}) {
    this.#readLink = readLink;
    this.#lookAt = lookAt;
    this.procRoot = procRoot;
    this.#max = max;
    this.#threads = new NamespaceThreads(procRoot);
  }

  /** Whether no process is seen in any other namespace. */
  get alone(): boolean {
    return !this.#found.values().some(({ pid }) => pid !== undefined);
  }

  /** By inode. @param nowMs any clock that never steps back */
  find(nowMs: number): ReadonlyMap<number, FoundNamespace> {
    const stale = this.#found.values().some((found) => !this.#isThere(found));
    if (stale || nowMs - this.#scannedMs >= SCAN_EVERY_MS) this.#scanIfPossible(nowMs);
    return this.#found;
  }

  /** Without a descriptor for /proc what is known stays; that it cannot be read is told then. */
  #scanIfPossible(nowMs: number): void {
    try {
      this.#scan(nowMs);
    } catch (error) {
      if (!isOutOfFiles(error)) throw error;
    }
  }

  #isThere({ pid, inode, path }: FoundNamespace): boolean {
    return pid === undefined ? this.#lookAt({ inode, path }) === 'there' : this.#namespaceOf(pid) === inode;
  }

  #scan(nowMs: number): void {
    this.#scannedMs = nowMs;
    this.counters.namespace_searches++;
    this.#denied = [];
    this.full = false;
    const own = this.#namespaceOf('thread-self');
    const found = new Map<number, FoundNamespace>();
    for (const pid of this.#processesAndThreads()) {
      const inode = this.#namespaceOf(pid);
      if (inode === undefined || inode === own) continue;
      const known = found.get(inode);
      // The first process need not be one of the pod: whoever looks into it from outside may be the first.
      if (known?.pod !== undefined) continue;
      if (known === undefined && !this.#hasRoom(found)) continue;
      const pod = this.#podOf(pid);
      const path = join(this.procRoot, String(pid), 'ns/net');
      if (known === undefined || pod !== undefined) found.set(inode, { inode, pid, path, pod });
    }
    this.#addMounted(found, own, nowMs);
    this.#found = found;
    this.denied = this.#isAnyUnseen();
  }

  /** Processes first; and of threads those that led into a namespace, and the next share of all. */
  #processesAndThreads(): Set<number> {
    const pids = new Set(this.#pids());
    const led = this.#found.values().map(({ pid }) => pid);
    const threads = this.#threads.next([...pids]);
    return new Set([...pids, ...led.filter((pid) => pid !== undefined), ...threads]);
  }

  /**
   * Whether a process whose namespace may not be seen is in one that nothing else led into. Each namespace has files of
   * its own in /proc/PID/net, which need no rights to look at, but do not lead into it.
   */
  #isAnyUnseen(): boolean {
    if (this.#denied.length === 0) return false;
    const fileOf = (id: number | 'thread-self') =>
      unlessGone(() => statSync(join(this.procRoot, String(id), 'net/sockstat')).ino);
    const seen = new Set([undefined, fileOf('thread-self')]);
    for (const { pid } of this.#found.values()) if (pid !== undefined) seen.add(fileOf(pid));
    return this.#denied.some((pid) => !seen.has(fileOf(pid)));
  }

  #addMounted(found: Map<number, FoundNamespace>, own: number | undefined, nowMs: number): void {
    const isNew = ({ inode }: MountedNamespace) => inode !== own && !found.has(inode);
    const hasChanged = () => this.#mounts.some((mount) => isNew(mount) && this.#lookAt(mount) !== 'there');
    if (nowMs - this.#mountsMs >= MOUNTS_EVERY_MS || hasChanged()) {
      this.#mounts = mountedNamespaces(this.procRoot);
      this.#mountsMs = nowMs;
    }
    const pods = new Map<string, PodRef>();
    const denied = new Set<number>();
    for (const mount of this.#mounts) {
      const { inode, path } = mount;
      // A namespace may get the inode of one that is gone, but not its place as well.
      const key = `${inode} ${path}`;
      const known = found.get(inode);
      const pod = known?.pod ?? this.#pods.get(key);
      if (pod !== undefined) pods.set(key, pod);
      if (known !== undefined) found.set(inode, { ...known, pod });
      if (!isNew(mount)) continue;
      const look = this.#lookAt(mount);
      if (look === 'denied') denied.add(inode);
      else if (look === 'there' && this.#hasRoom(found))
        found.set(inode, { inode, pid: undefined, path, pod });
    }
    this.#pods = pods;
    this.mountsDenied = denied.intersection(this.#deniedMounts).size > 0;
    this.#deniedMounts = denied;
  }

  #hasRoom(found: ReadonlyMap<number, FoundNamespace>): boolean {
    this.full ||= found.size >= this.#max;
    return found.size < this.#max;
  }

  #pids(): number[] {
    return readdirSync(this.procRoot)
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => a - b);
  }

  #namespaceOf(pid: number | 'thread-self'): number | undefined {
    const onDenied = () => {
      if (pid !== 'thread-self') this.#denied.push(pid);
    };
    const link = unlessGone(() => this.#readLink(join(this.procRoot, String(pid), 'ns/net')), onDenied);
    const inode = /^net:\[(\d+)\]$/.exec(link ?? '')?.[1];
    return inode === undefined ? undefined : Number(inode);
  }

  #podOf(pid: number): PodRef | undefined {
    const cgroup = unlessGone(() => readFileSync(join(this.procRoot, String(pid), 'cgroup'), 'utf8'));
    const pod = podOfCgroup(cgroup ?? '');
    return pod === undefined ? undefined : { uid: pod.uid };
  }
}

function readLinkText(path: string): string {
  return readlinkSync(path);
}
