/**
 * The threads of this machine, which may be in other network namespaces than the process they belong to: runtimes that
 * lock a thread, and a process whose main thread has ended, and is in none any more. A node has ten times as many as
 * processes, so each search sees a share of them. proc_pid_task(5)
 */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { unlessGone } from './proc.ts';

/** The first search is to see all, where it can: it may be the only one. */
const FIRST_SHARE = 10_000;
const SHARE = 100;

export class NamespaceThreads {
  readonly #procRoot: string;
  #share: number;
  readonly #laterShare: number;
  /** The process that the last search had come to, and how many of its threads it had seen. */
  #pid = 0;
  #seen = 0;

  /** @param firstShare how many processes and threads the first search may look at; and later ones, each */
  constructor(procRoot: string, firstShare = FIRST_SHARE, laterShare = SHARE) {
    this.#procRoot = procRoot;
    this.#share = firstShare;
    this.#laterShare = laterShare;
  }

  /** The next of the threads of these processes that have not the id of their process. */
  next(pids: readonly number[]): number[] {
    const found: number[] = [];
    let left = this.#share;
    this.#share = this.#laterShare;
    for (const pid of [
      ...pids.filter((each) => each >= this.#pid),
      ...pids.filter((each) => each < this.#pid),
    ]) {
      const all = this.#threadsOf(pid);
      const from = pid === this.#pid ? this.#seen : 0;
      const part = all.slice(from, from + left);
      found.push(...part);
      left -= 1 + part.length;
      if (left > 0) continue;
      this.#pid = pid;
      this.#seen = from + part.length;
      return found;
    }
    this.#pid = 0;
    this.#seen = 0;
    return found;
  }

  #threadsOf(pid: number): number[] {
    const names = unlessGone(() => readdirSync(join(this.#procRoot, String(pid), 'task'))) ?? [];
    return names.map(Number).filter((thread) => thread !== pid);
  }
}
