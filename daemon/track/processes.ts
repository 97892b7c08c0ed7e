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
  readonly waits: number;
  readonly nextSweep: number;
  /** How many searches that were cut did not find it. */
  readonly cuts: number;
}

const MAX_DESCRIPTORS = 20_000;
const MAX_WAIT_SWEEPS = 64;
/** Of those that a search may look at, this part is one process's. */
const SHARES = 8;
/** So many searches that were cut follow each other until it is waited between them. */
const CUTS_AT_ONCE = 16;

export class ProcessTable {
  readonly counters: ProcessCounters = { searchesCut: 0, descriptorsRead: 0 };
  readonly #procRoot: string;
  readonly #maxDescriptors: number;
  readonly #pods: boolean;
  readonly #holders = new Map<number, Holder>();
  readonly #pidOfInode = new Map<number, number>();
  readonly #missed = new Map<number, Missed>();
  #sweep = 0;
  /** Set when the last search was cut: the process it had come to; and where it had come to in each. */
  #lastPid: number | undefined;
  #cursors: ReadonlyMap<number, number> = new Map();
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

  /**
   * No process takes more than its share before all have had theirs: one with a hundred thousand descriptors does not keep
   * the others from being looked into.
   */
  #search(wanted: Set<number>, inodes: ReadonlySet<number>): void {
    this.#hidden = undefined;
    const share = Math.ceil(this.#maxDescriptors / SHARES);
    let left = this.#maxDescriptors;
    let visits = this.#searchOrder().map((pid) => new Visit(pid, this.#cursors.get(pid) ?? 0));
    while (visits.length > 0 && left > 0 && wanted.size > 0) {
      for (const visit of visits) {
        if (left <= 0 || wanted.size === 0) break;
        left -= this.#searchProcess(visit, Math.min(share, left), wanted, inodes);
        this.#lastPid = visit.pid;
      }
      visits = visits.filter((visit) => !visit.whole);
    }
    this.#cursors = new Map(visits.map(({ pid, cursor }) => [pid, cursor]));
    const cut = visits.length > 0 && wanted.size > 0;
    if (cut) this.counters.searchesCut++;
    else this.#lastPid = undefined;
    for (const inode of wanted) this.#miss(inode, cut);
  }

  /** Nobody who may be seen holds it: a socket of the kernel, of a hidden process, or closed by now. Or it was a search too short. */
  #miss(inode: number, cut: boolean): void {
    const { waits: before, cuts } = this.#missed.get(inode) ?? { waits: 0.5, cuts: 0 };
    const again = cut && cuts < CUTS_AT_ONCE;
    const waits = again ? before : Math.min(MAX_WAIT_SWEEPS, 2 * before);
    this.#missed.set(inode, { waits, cuts: cuts + 1, nextSweep: this.#sweep + (again ? 1 : waits) });
  }

  /** Processes that hold sockets, then the others; after a search that was cut, all from where it had come to. */
  #searchOrder(): number[] {
    const pids = readdirSync(this.#procRoot)
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => a - b);
    const last = this.#lastPid;
    const first = (pid: number) => (last === undefined ? this.#holders.has(pid) : pid > last);
    return [...pids.filter(first), ...pids.filter((pid) => !first(pid))];
  }

  /** Notes the sockets among the next descriptors of a process; answers how many were looked at. */
  #searchProcess(visit: Visit, most: number, wanted: Set<number>, inodes: ReadonlySet<number>): number {
    const { pid } = visit;
    const folder = join(this.#procRoot, String(pid), 'fd');
    let looked = 0;
    let denied = false;
    const onDenied = () => {
      denied = true;
    };
    visit.begin(() => unlessGone(() => readdirSync(folder), onDenied) ?? []);
    while (looked < most && !denied) {
      const name = visit.next();
      if (name === undefined) break;
      looked++;
      const link = unlessGone(() => readlinkSync(join(folder, name)), onDenied);
      const inode = link?.startsWith('socket:[') === true ? Number.parseInt(link.slice(8), 10) : 0;
      if (!inodes.has(inode)) continue;
      if (this.#note(pid, inode)) wanted.delete(inode);
    }
    if (denied) visit.end();
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

/** One process in a search: its descriptors, from where the search before was cut, once round. */
class Visit {
  readonly pid: number;
  readonly #from: number;
  #names: readonly string[] | undefined;
  #seen = 0;

  constructor(pid: number, from: number) {
    this.pid = pid;
    this.#from = from;
  }

  begin(list: () => readonly string[]): void {
    this.#names ??= list();
  }

  next(): string | undefined {
    const names = this.#names ?? [];
    if (this.#seen >= names.length) return undefined;
    return names[(this.#from + this.#seen++) % names.length];
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
