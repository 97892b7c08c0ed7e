/** The descriptors of a process, and which of them are sockets. proc_pid_fd(5), proc_pid_task(5) */

import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { unlessGone } from './proc.ts';

/** The inode of the socket that a descriptor is; 0 when it is something else, undefined when it is not there. */
export function socketAt(folder: string, descriptor: number, onDenied: () => void): number | undefined {
  const link = unlessGone(() => readlinkSync(`${folder}/${descriptor}`), onDenied);
  if (link === undefined) return undefined;
  return link.startsWith('socket:[') ? Number.parseInt(link.slice(8), 10) : 0;
}

/** One process in a search: its descriptors, from where the search before was cut, once round. */
export class DescriptorVisit {
  readonly pid: number;
  /** Where its descriptors are. */
  folder: string;
  readonly #procRoot: string;
  readonly #from: number;
  #names: readonly string[] | undefined;
  #seen = 0;

  constructor(procRoot: string, pid: number, from: number) {
    this.#procRoot = procRoot;
    this.pid = pid;
    this.folder = join(procRoot, String(pid), 'fd');
    this.#from = from;
  }

  begin(onDenied: () => void): void {
    if (this.#names !== undefined) return;
    const list = (folder: string) => unlessGone(() => readdirSync(folder), onDenied) ?? [];
    this.#names = list(this.folder);
    if (this.#names.length > 0) return;
    // The main thread may have ended: then another one has them.
    const tasks = join(this.#procRoot, String(this.pid), 'task');
    for (const thread of list(tasks)) {
      if (thread === String(this.pid)) continue;
      this.folder = join(tasks, thread, 'fd');
      this.#names = list(this.folder);
      return;
    }
  }

  next(): number | undefined {
    const names = this.#names ?? [];
    if (this.#seen >= names.length) return undefined;
    return Number(names[(this.#from + this.#seen++) % names.length]);
  }

  /** There is no more to see. */
  end(): void {
    this.#names = [];
  }

  get whole(): boolean {
    return this.#names !== undefined && this.#seen >= this.#names.length;
  }

  get cursor(): number {
    return this.#from + this.#seen;
  }
}
