/**
 * Which process holds a socket: the inode of the socket, found among the descriptors in /proc/PID/fd. A look at
 * a descriptor costs microseconds, and a machine may have a million; so what was found is kept from sweep to
 * sweep, /proc is searched only for inodes that are not known, those processes first that hold sockets already,
 * and a search ends at a bound and goes on with the next sweep.
 * proc_pid_fd(5), proc_pid_stat(5)
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Condition } from '#base/errors.ts';
import type { PodRef, ProcessRef } from '#contract';
import { hintToSee } from './hidden.ts';
import { podOfCgroup } from './pod-cgroup.ts';
import { seesWholeMachine, unlessGone } from './proc.ts';

export interface ProcessTableOptions {
  /** Where proc is mounted. */
  readonly procRoot?: string;
  /** How many descriptors one sweep may look at. */
  readonly maxDescriptors?: number;
  /** Whether the pods of processes are looked up, too. */
  readonly pods?: boolean;
}

export interface ProcessCounters {
  /** Searches that ended at the bound before every inode was found. */
  searchesCut: number;
  descriptorsRead: number;
}

interface Holder {
  readonly startTime: string;
  process: ProcessRef;
  pod: PodRef | undefined;
  readonly inodes: Set<number>;
}

/** An inode that a whole search did not find is looked for again after 1, 2, 4 ... sweeps, 64 at most. */
interface Missed {
  waits: number;
  nextSweep: number;
}

const MAX_DESCRIPTORS = 20_000;
const MAX_WAIT_SWEEPS = 64;

export class ProcessTable {
  readonly counters: ProcessCounters = { searchesCut: 0, descriptorsRead: 0 };
  readonly #procRoot: string;
  readonly #maxDescriptors: number;
  readonly #pods: boolean;
  readonly #holders = new Map<number, Holder>();
  readonly #pidOfInode = new Map<number, number>();
  readonly #missed = new Map<number, Missed>();
  #sweep = 0;
  /** Set when the last search was cut: the process it had come to. */
  #resumeAfterPid: number | undefined;
  /** The first process of the last search whose descriptors may not be read. */
  #hidden: ProcessRef | undefined;

  constructor(options: ProcessTableOptions = {}) {
    this.#procRoot = options.procRoot ?? '/proc';
    this.#maxDescriptors = options.maxDescriptors ?? MAX_DESCRIPTORS;
    this.#pods = options.pods ?? false;
  }

  /**
   * Sockets that a process of this machine may hold which cannot be seen from here, and why; or nothing.
   * It names no number: one condition that stands is one message, however many processes come and go.
   */
  condition(): Condition | undefined {
    if (this.#missed.size === 0 || (this.#hidden === undefined && seesWholeMachine(this.#procRoot)))
      return undefined;
    const sockets = 'the processes that hold some sockets are not known';
    return this.#hidden !== undefined
      ? {
          code: 'PROCESS_NAMES_PARTIAL',
          message: `${sockets}: the descriptors of ${this.#hidden.name}/${this.#hidden.pid} may not be read`,
          hint: hintToSee(['SYS_PTRACE', 'DAC_READ_SEARCH']),
        }
      : {
          code: 'PROCESS_NAMES_PARTIAL',
          message: `${sockets}: this is not the PID namespace of the machine`,
          hint: 'run finwait in the PID namespace of the machine (chart: agent.mode inspect, with agent.hostPID; in a pod: hostPID: true)',
        };
  }

  /** The process that holds a socket; of several that share it the one with the lowest process id. */
  ownerOf(inode: number): ProcessRef | undefined {
    const pid = this.#pidOfInode.get(inode);
    return pid === undefined ? undefined : this.#holders.get(pid)?.process;
  }

  /** The pod of a process that holds a socket. */
  podOf(pid: number): PodRef | undefined {
    return this.#holders.get(pid)?.pod;
  }

  /** Brings what is known in line with the sockets that exist, and looks for the owners of the new ones. */
  update(inodes: ReadonlySet<number>): void {
    this.#sweep++;
    this.#forgetSockets(inodes);
    this.#checkHolders();
    const wanted = new Set<number>();
    for (const inode of inodes) {
      if (this.#pidOfInode.has(inode)) continue;
      if ((this.#missed.get(inode)?.nextSweep ?? 0) <= this.#sweep) wanted.add(inode);
    }
    if (wanted.size > 0) this.#search(wanted, inodes);
  }

  #forgetSockets(inodes: ReadonlySet<number>): void {
    for (const [inode, pid] of this.#pidOfInode) {
      if (inodes.has(inode)) continue;
      this.#pidOfInode.delete(inode);
      this.#holders.get(pid)?.inodes.delete(inode);
    }
    for (const inode of this.#missed.keys()) if (!inodes.has(inode)) this.#missed.delete(inode);
    for (const [pid, { inodes: held }] of this.#holders) if (held.size === 0) this.#holders.delete(pid);
  }

  /** Drops holders that have ended (their number may belong to another process by now); renames those that exec'ed. */
  #checkHolders(): void {
    for (const [pid, holder] of this.#holders) {
      const now = this.#identify(pid);
      if (now?.startTime !== holder.startTime) {
        for (const inode of holder.inodes) this.#pidOfInode.delete(inode);
        this.#holders.delete(pid);
      } else if (now.name !== holder.process.name) {
        holder.process = { pid, name: now.name };
        holder.pod = this.#readPod(pid);
      }
    }
  }

  #search(wanted: Set<number>, inodes: ReadonlySet<number>): void {
    let descriptorsLeft = this.#maxDescriptors;
    this.#hidden = undefined;
    let searched = 0;
    for (const pid of this.#searchOrder()) {
      if (descriptorsLeft <= 0) {
        this.counters.searchesCut++;
        this.#resumeAfterPid = searched;
        return;
      }
      descriptorsLeft -= this.#searchProcess(pid, wanted, inodes);
      searched = pid;
      if (wanted.size === 0) break;
    }
    this.#resumeAfterPid = undefined;
    // Nobody who may be seen holds these: sockets of the kernel, of hidden processes, or closed by now.
    for (const inode of wanted) {
      const waits = Math.min(MAX_WAIT_SWEEPS, (this.#missed.get(inode)?.waits ?? 0.5) * 2);
      this.#missed.set(inode, { waits, nextSweep: this.#sweep + waits });
    }
  }

  /** Processes that hold sockets, then the others; after a search that was cut, all from where it had come to. */
  #searchOrder(): number[] {
    const pids = readdirSync(this.#procRoot)
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => a - b);
    const last = this.#resumeAfterPid;
    const first = (pid: number) => (last === undefined ? this.#holders.has(pid) : pid > last);
    return [...pids.filter(first), ...pids.filter((pid) => !first(pid))];
  }

  /** Notes the sockets that a process holds; answers how many descriptors were looked at. */
  #searchProcess(pid: number, wanted: Set<number>, inodes: ReadonlySet<number>): number {
    const folder = join(this.#procRoot, String(pid), 'fd');
    let looked = 0;
    let denied = false;
    const onDenied = () => {
      denied = true;
    };
    for (const name of unlessGone(() => readdirSync(folder), onDenied) ?? []) {
      looked++;
      const link = unlessGone(() => readlinkSync(join(folder, name)), onDenied);
      if (denied) break;
      const inode = link?.startsWith('socket:[') === true ? Number.parseInt(link.slice(8), 10) : 0;
      if (!inodes.has(inode)) continue;
      if (this.#note(pid, inode)) wanted.delete(inode);
    }
    // The kernel denies the links of a process that ends just now, too: that one hides nothing.
    const identity = denied && this.#hidden === undefined ? this.#identify(pid) : undefined;
    if (identity !== undefined) this.#hidden = { pid, name: identity.name };
    this.counters.descriptorsRead += looked;
    return looked;
  }

  /** False when the process has ended meanwhile. */
  #note(pid: number, inode: number): boolean {
    const before = this.#pidOfInode.get(inode);
    if (before !== undefined && before <= pid) return true;
    let holder = this.#holders.get(pid);
    if (holder === undefined) {
      const identity = this.#identify(pid);
      if (identity === undefined) return false;
      const process = { pid, name: identity.name };
      holder = { startTime: identity.startTime, process, pod: this.#readPod(pid), inodes: new Set() };
      this.#holders.set(pid, holder);
    }
    if (before !== undefined) this.#holders.get(before)?.inodes.delete(inode);
    holder.inodes.add(inode);
    this.#pidOfInode.set(inode, pid);
    this.#missed.delete(inode);
    return true;
  }

  #readPod(pid: number): PodRef | undefined {
    if (!this.#pods) return undefined;
    return podOfCgroup(
      unlessGone(() => readFileSync(join(this.#procRoot, String(pid), 'cgroup'), 'utf8')) ?? '',
    );
  }

  /** Name and start time; the name stands in brackets and may hold brackets and spaces itself. */
  #identify(pid: number): { readonly name: string; readonly startTime: string } | undefined {
    const stat = unlessGone(() => readFileSync(join(this.#procRoot, String(pid), 'stat'), 'utf8'));
    if (stat === undefined) return undefined;
    const open = stat.indexOf('(');
    const close = stat.lastIndexOf(')');
    const fieldsAfterName = stat.slice(close + 2).split(' ');
    // Node names its main thread, and so the process, `node-MainThread`.
    const name = stat.slice(open + 1, close).replace(/-MainThread$/, '');
    return { name, startTime: fieldsAfterName[19] ?? '' };
  }
}
