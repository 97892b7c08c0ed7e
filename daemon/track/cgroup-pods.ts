/**
 * Which pod a control group belongs to, by the id that sockets carry: the inode of its folder in the hierarchy of
 * version 2. The folders are looked through only when an id appears that is not known, and then at most every few
 * seconds. It tells the pods of the host's network namespace apart without a look at any process.
 * cgroups(7); kernel, cgroup_id()
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PodRef } from '#contract';
import { podOfCgroup } from './pod-cgroup.ts';
import { unlessGone } from './proc.ts';

const SEARCH_EVERY_MS = 5_000;
const FOLDERS_MAX = 20_000;
const IDS_MAX = 65_535;

export class CgroupPods {
  readonly counters = { cgroup_searches: 0, cgroup_folders_read: 0, cgroup_ids_left_out: 0 };
  readonly #root: string | undefined;
  readonly #numbers = new Map<number, number>();
  readonly #pods: (PodRef | undefined)[] = [undefined];
  #unknown = false;
  #searchedMs = Number.NEGATIVE_INFINITY;

  /** @param root where the hierarchy is mounted; undefined where there is none */
  constructor(root = mountPoint()) {
    this.#root = root;
  }

  /** A small number for an id, 0 when there is no room for another. */
  numberOf(id: number): number {
    const known = this.#numbers.get(id);
    if (known !== undefined) return known;
    if (this.#root === undefined) return 0;
    if (this.#numbers.size >= IDS_MAX) {
      this.counters.cgroup_ids_left_out++;
      return 0;
    }
    const number = this.#pods.push(undefined) - 1;
    this.#numbers.set(id, number);
    this.#unknown = true;
    return number;
  }

  podAt(number: number): PodRef | undefined {
    return this.#pods[number];
  }

  /** Looks for what is not known yet. @param nowMs any clock that never steps back */
  update(nowMs: number): void {
    if (!this.#unknown || this.#root === undefined || nowMs - this.#searchedMs < SEARCH_EVERY_MS) return;
    this.#unknown = false;
    this.#searchedMs = nowMs;
    this.counters.cgroup_searches++;
    let left = FOLDERS_MAX;
    const folders = [''];
    for (let folder = folders.pop(); folder !== undefined && left > 0; folder = folders.pop(), left--) {
      this.counters.cgroup_folders_read++;
      const path = join(this.#root, folder);
      const pod = podOfCgroup(`0::/${folder}`);
      if (pod !== undefined) this.#note(path, pod);
      for (const entry of unlessGone(() => readdirSync(path, { withFileTypes: true })) ?? []) {
        if (entry.isDirectory()) folders.push(join(folder, entry.name));
      }
    }
  }

  #note(path: string, pod: PodRef): void {
    const id = unlessGone(() => statSync(path).ino);
    const number = id === undefined ? undefined : this.#numbers.get(id);
    if (number !== undefined) this.#pods[number] = pod;
  }
}

/** Where the hierarchy of version 2 is mounted: /sys/fs/cgroup, or beside those of version 1. proc_pid_mountinfo(5) */
function mountPoint(): string | undefined {
  const mounts = unlessGone(() => readFileSync('/proc/self/mountinfo', 'utf8')) ?? '';
  return /^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 /m.exec(mounts)?.[1];
}
