/**
 * Which process holds a socket: the inode of the socket, found among the descriptors in /proc/PID/fd. A look at
 * a descriptor costs microseconds, and a machine may have a million; so what was found is kept from sweep to
 * sweep, /proc is searched only for inodes that are not known, those processes first that hold sockets already,
 * and a search ends at a bound and goes on with the next sweep. A process may hand a socket to another one and go on
 * without it, so some descriptors are looked at again with each sweep, in turns.
 * proc_pid_fd(5), proc_pid_stat(5)
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Condition } from '#base/errors.ts';
import type { PodRef, ProcessRef } from '#contract';
import { hintToSee } from './hidden.ts';
import { podOfCgroup } from './pod-cgroup.ts';
import { hidesProcesses, seesWholeMachine, unlessGone } from './proc.ts';
import { DescriptorVisit, socketAt } from './process-descriptors.ts';

export interface ProcessTableOptions {
  /** Where proc is mounted. */
  readonly procRoot?: string;
  /** How many descriptors one sweep may look at. */
  readonly maxDescriptors?: number;
  /** Whether the pods of processes are looked up, too. */
  readonly pods?: boolean;
  /** Called after each process that was looked at, as all of them may take long. */
  readonly between?: () => void;
}

export interface ProcessCounters {
  /** Searches that ended at the bound before every inode was found. */
  searchesCut: number;
  descriptorsRead: number;
  /** Sockets that their process was found to have closed while they went on. */
  handedOver: number;
}

interface Holder {
  readonly startTime: string;
  process: ProcessRef;
  pod: PodRef | undefined;
  /** Where its descriptors are. */
  folder: string;
  /** Its sockets by their inodes: their descriptors. */
  readonly descriptors: Map<number, number>;
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
/** So many descriptors are looked at again with each sweep; and so many of those that the caller wants first. */
const LOOKED_AT_AGAIN = 250;
/** Of those that a search may look at, this part is one process's. */
const SHARES = 8;
/** So many searches that were cut follow each other until it is waited between them. */
const CUTS_AT_ONCE = 16;

export class ProcessTable {
  readonly counters: ProcessCounters = { searchesCut: 0, descriptorsRead: 0, handedOver: 0 };
  readonly #procRoot: string;
  readonly #maxDescriptors: number;
  readonly #pods: boolean;
  readonly #between: () => void;
  readonly #holders = new Map<number, Holder>();
  readonly #pidOfInode = new Map<number, number>();
  readonly #missed = new Map<number, Missed>();
  #sweep = 0;
  /** Where looking again goes on: through all sockets, and in those that come first. */
  #round = this.#pidOfInode.keys();
  #turn = 0;
  /** Set when the last search was cut: the process it had come to; and where it had come to in each. */
  #lastPid: number | undefined;
  #cursors: ReadonlyMap<number, number> = new Map();
  /** The first process of the last search whose descriptors may not be read. */
  #hidden: ProcessRef | undefined;

  constructor(options: ProcessTableOptions = {}) {
    this.#procRoot = options.procRoot ?? '/proc';
    this.#maxDescriptors = options.maxDescriptors ?? MAX_DESCRIPTORS;
    this.#pods = options.pods ?? false;
    this.#between = options.between ?? (() => {});
  }

  /**
   * Sockets that a process of this machine may hold which cannot be seen from here, and why; or nothing.
   * It names no number: one condition that stands is one message, however many processes come and go.
   */
  condition(): Condition | undefined {
    if (this.#missed.size === 0) return undefined;
    const code = 'PROCESS_NAMES_PARTIAL';
    const sockets = 'the processes that hold some sockets are not known';
    if (this.#hidden !== undefined)
      return {
        code,
        message: `${sockets}: the descriptors of ${this.#hidden.name}/${this.#hidden.pid} may not be read`,
        hint: hintToSee(['SYS_PTRACE', 'DAC_READ_SEARCH']),
      };
    if (!seesWholeMachine(this.#procRoot))
      return {
        code,
        message: `${sockets}: this is not the PID namespace of the machine`,
        hint: 'run finwait in the PID namespace of the machine (chart: agent.mode inspect, with agent.hostPID; in a pod: hostPID: true)',
      };
    if (hidesProcesses(this.#procRoot))
      return {
        code,
        message: `${sockets}: /proc does not show the processes of others (it is mounted with hidepid)`,
        hint: hintToSee(['SYS_PTRACE']),
      };
    return undefined;
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

  /**
   * Brings what is known in line with the sockets that exist, and looks for the owners of the new ones.
   * @param first of these it is looked first whether they are still their process's
   */
  update(inodes: ReadonlySet<number>, first: readonly number[] = []): void {
    this.#sweep++;
    this.#forgetSockets(inodes);
    this.#checkHolders();
    this.#lookAgain(first);
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
      this.#holders.get(pid)?.descriptors.delete(inode);
    }
    for (const inode of this.#missed.keys()) if (!inodes.has(inode)) this.#missed.delete(inode);
    for (const [pid, { descriptors }] of this.#holders) if (descriptors.size === 0) this.#holders.delete(pid);
  }

  /** Drops holders that have ended (their number may belong to another process by now); renames those that exec'ed. */
  #checkHolders(): void {
    for (const [pid, holder] of this.#holders) {
      const now = this.#identify(pid);
      if (now?.startTime !== holder.startTime) {
        for (const inode of holder.descriptors.keys()) this.#pidOfInode.delete(inode);
        this.#holders.delete(pid);
      } else if (now.name !== holder.process.name) {
        holder.process = { pid, name: now.name };
        holder.pod = this.#readPod(pid);
      }
      this.#between();
    }
  }

  #lookAgain(first: readonly number[]): void {
    const most = Math.min(LOOKED_AT_AGAIN, first.length);
    for (let i = 0; i < most; i++) this.#checkDescriptor(first[(this.#turn + i) % first.length] as number);
    this.#turn = (this.#turn + most) % Math.max(1, first.length);
    for (let i = 0; i < LOOKED_AT_AGAIN; i++) {
      const { value, done } = this.#round.next();
      if (done === true) {
        this.#round = this.#pidOfInode.keys();
        return;
      }
      this.#checkDescriptor(value);
    }
  }

  /** A socket that its process has closed is looked for anew. */
  #checkDescriptor(inode: number): void {
    const holder = this.#holders.get(this.#pidOfInode.get(inode) ?? 0);
    const descriptor = holder?.descriptors.get(inode);
    if (holder === undefined || descriptor === undefined) return;
    let denied = false;
    const onDenied = () => {
      denied = true;
    };
    if (socketAt(holder.folder, descriptor, onDenied) === inode || denied) return;
    this.#pidOfInode.delete(inode);
    holder.descriptors.delete(inode);
    this.counters.handedOver++;
  }

  /**
   * No process takes more than its share before all have had theirs: one with a hundred thousand descriptors does not keep
   * the others from being looked into. A share that was begun is looked through, so that small processes are seen as a whole.
   */
  #search(wanted: Set<number>, inodes: ReadonlySet<number>): void {
    this.#hidden = undefined;
    const share = Math.ceil(this.#maxDescriptors / SHARES);
    let left = this.#maxDescriptors;
    let visits = this.#searchOrder().map(
      (pid) => new DescriptorVisit(this.#procRoot, pid, this.#cursors.get(pid) ?? 0),
    );
    while (visits.length > 0 && left > 0 && wanted.size > 0) {
      for (const visit of visits) {
        if (left <= 0 || wanted.size === 0) break;
        left -= this.#searchProcess(visit, share, wanted, inodes);
        this.#lastPid = visit.pid;
        this.#between();
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
  #searchProcess(
    visit: DescriptorVisit,
    most: number,
    wanted: Set<number>,
    inodes: ReadonlySet<number>,
  ): number {
    let looked = 0;
    let denied = false;
    const onDenied = () => {
      denied = true;
    };
    visit.begin(onDenied);
    while (looked < most && !denied) {
      const descriptor = visit.next();
      if (descriptor === undefined) break;
      looked++;
      const inode = socketAt(visit.folder, descriptor, onDenied);
      if (inode === undefined || !inodes.has(inode)) continue;
      if (this.#note(visit, inode, descriptor)) wanted.delete(inode);
    }
    if (denied) visit.end();
    // The kernel denies the links of a process that ends just now, too: that one hides nothing.
    const identity = denied && this.#hidden === undefined ? this.#identify(visit.pid) : undefined;
    if (identity !== undefined) this.#hidden = { pid: visit.pid, name: identity.name };
    this.counters.descriptorsRead += looked;
    return looked;
  }

  /** False when the process has ended meanwhile. */
  #note({ pid, folder }: DescriptorVisit, inode: number, descriptor: number): boolean {
    const before = this.#pidOfInode.get(inode);
    if (before !== undefined && before <= pid) return true;
    let holder = this.#holders.get(pid);
    if (holder === undefined) {
      const identity = this.#identify(pid);
      if (identity === undefined) return false;
      const process = { pid, name: identity.name };
      const { startTime } = identity;
      holder = { startTime, process, pod: this.#readPod(pid), folder, descriptors: new Map() };
      this.#holders.set(pid, holder);
    }
    if (before !== undefined) this.#holders.get(before)?.descriptors.delete(inode);
    holder.folder = folder;
    holder.descriptors.set(inode, descriptor);
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
