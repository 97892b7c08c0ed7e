/**
 * Which pod a control group belongs to, by the id that sockets carry: the inode of its folder in the hierarchy of
 * version 2. The folders are looked through only when an id appears that is not known, and then at most every few
 * seconds, a part in each sweep. It tells the pods of the host's network namespace apart without a look at any process.
 * cgroups(7); kernel, cgroup_id()
 */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Condition } from '#base/errors.ts';
import type { PodRef } from '#contract';
import { cgroupMount } from './cgroup-mount.ts';
import { podOfCgroup } from './pod-cgroup.ts';
import { unlessGone } from './proc.ts';

const SEARCH_EVERY_MS = 5_000;
/** What was not found may be a group that nobody can see, or that is gone: it is searched for less and less often. */
const SEARCH_SELDOM_MS = 600_000;
const FOLDERS_AT_ONCE = 2_000;
const IDS_MAX = 65_535;
/** So long after the last socket with an id was read, and its folder gone, the id is forgotten when there is need. */
const FORGET_MS = 3_600_000;
/** The group of all that is in no other. */
const ROOT_ID = 1;

interface Group {
  readonly id: number;
  pod: PodRef | undefined;
  /** The number of the last search that saw its folder; 0 when none did. */
  found: number;
  /** How many searches did not see it. */
  missed: number;
  /** When a socket had it last. */
  askedMs: number;
}

export class CgroupPods {
  readonly counters = { cgroup_searches: 0, cgroup_folders_read: 0, cgroup_ids_left_out: 0 };
  readonly #root: string | undefined;
  readonly #max: number;
  readonly #foldersAtOnce: number;
  readonly #numbers = new Map<number, number>();
  /** By number; 0 is none. */
  readonly #groups: (Group | undefined)[] = [undefined];
  readonly #free: number[] = [];
  #nowMs = 0;
  #isNew = false;
  /** Whether sockets have groups that the last search did not see; and neither did the one before. */
  #missing = false;
  #hidden = false;
  /** What the search that is going on has yet to look through. */
  #folders: string[] = [];
  #endedMs = Number.NEGATIVE_INFINITY;
  #waitMs = SEARCH_EVERY_MS;

  /**
   * @param root where the hierarchy is mounted; undefined where there is none
   * @param foldersAtOnce how many one update looks at
   */
  constructor(root = cgroupMount(), { max = IDS_MAX, foldersAtOnce = FOLDERS_AT_ONCE } = {}) {
    this.#root = root;
    this.#max = max;
    this.#foldersAtOnce = foldersAtOnce;
  }

  /**
   * A small number for an id, 0 when there is no room for another. It is to be asked for in each sweep: an id that nobody
   * asks for is looked for no more, and forgotten in the end.
   */
  numberOf(id: number): number {
    const known = this.#numbers.get(id);
    if (known !== undefined) {
      const group = this.#groups[known];
      if (group !== undefined) group.askedMs = this.#nowMs;
      return known;
    }
    const group: Group = { id, pod: undefined, found: 0, missed: 0, askedMs: this.#nowMs };
    const number = this.#free.pop() ?? (this.#groups.length <= this.#max ? this.#groups.length : 0);
    this.#isNew ||= id !== ROOT_ID;
    if (number === 0) {
      this.counters.cgroup_ids_left_out++;
      return 0;
    }
    this.#groups[number] = group;
    this.#numbers.set(id, number);
    return number;
  }

  podAt(number: number): PodRef | undefined {
    return this.#groups[number]?.pod;
  }

  /** Looks for what is not known yet. @param nowMs any clock that never steps back */
  update(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#root === undefined) return;
    if (this.#folders.length === 0 && !this.#begins(nowMs)) return;
    for (let left = this.#foldersAtOnce; left > 0; left--) {
      const folder = this.#folders.pop();
      if (folder === undefined) break;
      this.#look(this.#root, folder);
    }
    if (this.#folders.length === 0) this.#end(nowMs);
  }

  /** When sockets name groups that cannot be seen from here. */
  condition(): Condition | undefined {
    const hidden = this.#root === undefined ? this.#isNew : this.#hidden && !showsAll(this.#root);
    if (!hidden) return undefined;
    return {
      code: 'CGROUPS_HIDDEN',
      message:
        'the control groups of some sockets cannot be seen, so that their pods are told by their processes alone',
      hint: "show finwait the machine's /sys/fs/cgroup (chart: agent.hostCgroups; in a container: mount it read-only anywhere)",
    };
  }

  #begins(nowMs: number): boolean {
    if (!this.#isNew && !this.#missing) return false;
    if (this.#isNew) this.#waitMs = SEARCH_EVERY_MS;
    if (nowMs - this.#endedMs < this.#waitMs) return false;
    this.#isNew = false;
    this.counters.cgroup_searches++;
    this.#folders = [''];
    return true;
  }

  #look(root: string, folder: string): void {
    this.counters.cgroup_folders_read++;
    const path = join(root, folder);
    const id = unlessGone(() => statSync(path).ino);
    const group = this.#groups[this.#numbers.get(id ?? 0) ?? 0];
    if (group !== undefined) {
      group.found = this.counters.cgroup_searches;
      group.pod = podOfCgroup(`0::/${folder}`);
    }
    for (const entry of unlessGone(() => readdirSync(path, { withFileTypes: true })) ?? []) {
      if (entry.isDirectory()) this.#folders.push(join(folder, entry.name));
    }
  }

  #end(nowMs: number): void {
    this.#missing = false;
    this.#hidden = false;
    for (const group of this.#groups) {
      // Groups come and go: one that no socket had since the last search is of no interest.
      if (group === undefined || group.found > 0 || group.id === ROOT_ID) continue;
      if (group.askedMs < this.#endedMs) continue;
      group.missed++;
      this.#missing = true;
      this.#hidden ||= group.missed > 1;
    }
    this.#endedMs = nowMs;
    this.#waitMs = Math.min(SEARCH_SELDOM_MS, 2 * this.#waitMs);
    if (this.#groups.length > this.#max) this.#forget(nowMs);
  }

  #forget(nowMs: number): void {
    for (const [number, group] of this.#groups.entries()) {
      if (group === undefined || group.found === this.counters.cgroup_searches) continue;
      if (nowMs - group.askedMs < FORGET_MS) continue;
      this.#numbers.delete(group.id);
      this.#groups[number] = undefined;
      this.#free.push(number);
    }
  }
}

/** Whether the root of the mount is that of the whole machine. */
function showsAll(root: string): boolean {
  return unlessGone(() => statSync(root).ino) === ROOT_ID;
}
