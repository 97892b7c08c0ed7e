/** Reads the sockets for `finwait sockets`: of this network namespace, or of all of the machine. */

import { statSync } from 'node:fs';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import { hasCapability } from '../daemon/kernel/capabilities.ts';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { CgroupPods } from '../daemon/track/cgroup-pods.ts';
import { deviceNames, dumpSockets } from '../daemon/track/dumps.ts';
import { readEphemeralFrom } from '../daemon/track/kernel-numbers.ts';
import { CounterSums } from '../daemon/track/namespace-counters.ts';
import { NamespaceNumbers } from '../daemon/track/namespace-numbers.ts';
import type { NamespaceOfSockets } from '../daemon/track/namespace-sockets.ts';
import { NamespaceSockets } from '../daemon/track/namespace-sockets.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import { noSocketCounts, SocketTable } from '../daemon/track/socket-table.ts';
import { readSockstat } from '../daemon/track/sockstat.ts';
import type { SocketRow } from './sockets-rows.ts';
import { socketRow } from './sockets-rows.ts';
import { finwaitAddresses } from './table.ts';

const EXTRAS = { memory: true, congestion: true } as const;
const UNBOUNDED = Number.POSITIVE_INFINITY;

/** A network namespace beside its sockets. */
export interface NamespaceRead {
  readonly inode: number;
  readonly own: boolean;
  readonly pod: string | undefined;
  readonly numbers: NamespaceNumbers;
}

export interface SocketsRead {
  readonly rows: SocketRow[];
  readonly namespaces: readonly NamespaceRead[];
  /** Messages of the kernel that are missing in the rows. */
  readonly dropped: number;
  /** What keeps the answer from being whole. */
  readonly conditions: readonly Condition[];
  /** Applies only where a socket's process is not known. */
  readonly processes: Condition | undefined;
}

/** Reads again and again: ages and trends grow from reading to reading. */
export class SocketsReader {
  readonly #faults = noNetlinkFaults();
  readonly #counters = noSocketCounts();
  readonly #processes = new ProcessTable({ maxDescriptors: UNBOUNDED, pods: true });
  readonly #cgroups = new CgroupPods();
  readonly #own: SocketTable;
  readonly #ownNumbers: NamespaceNumbers;
  readonly #ownInode = statSync('/proc/thread-self/ns/net').ino;
  readonly #others: NamespaceSockets | undefined;
  readonly #isProbe = finwaitAddresses();
  #reads = 0;

  /** @throws FinwaitError NAMESPACES_DENIED when all namespaces are asked for and this may not enter them */
  constructor({ allNamespaces }: { readonly allNamespaces: boolean }) {
    if (allNamespaces) requireEntry();
    const sums = new CounterSums();
    const common = {
      processes: this.#processes,
      cgroups: this.#cgroups,
      maxTracked: UNBOUNDED,
      ephemeralFrom: readEphemeralFrom(),
      counters: this.#counters,
      details: true,
    };
    const faults = this.#faults;
    this.#own = new SocketTable({ ...common, dump: (onSocket) => dumpSockets(onSocket, faults, EXTRAS) });
    this.#ownNumbers = new NamespaceNumbers(sums);
    this.#others = allNamespaces
      ? new NamespaceSockets({ ...common, faults, sums, extras: EXTRAS })
      : undefined;
  }

  read(): SocketsRead {
    const nowMs = performance.now();
    this.#reads++;
    this.#own.read(nowMs);
    this.#others?.read(nowMs, 0);
    const others = [...(this.#others?.tables() ?? [])];
    const tables = [this.#own, ...others.map(({ table }) => table)];
    this.#processes.update(new Set(tables.flatMap((table) => [...table.inodes()])));
    this.#cgroups.update(nowMs);
    for (const table of tables) table.attribute();
    this.#readOwnNumbers(nowMs);
    const namespaces = [
      { inode: this.#ownInode, own: true, pod: undefined, numbers: this.#ownNumbers },
      ...others.map(({ inode, pod, numbers }) => ({ inode, own: false, pod: pod?.uid, numbers })),
    ];
    const partial = this.#others?.condition();
    return {
      rows: this.#rows(nowMs, others),
      namespaces,
      dropped: this.#counters.undecodable + this.#faults.truncated + this.#faults.undecodable,
      conditions: partial === undefined ? [] : [partial],
      processes: this.#processes.condition(),
    };
  }

  #rows(nowMs: number, others: readonly NamespaceOfSockets[]): SocketRow[] {
    const devices = deviceNames();
    const context = { nowMs, isProbe: this.#isProbe, followed: this.#reads > 1 };
    const own = { inode: this.#ownInode, pod: undefined };
    const nameHere = (index: number) => devices.get(index) ?? String(index);
    const rows: SocketRow[] = [];
    for (const socket of this.#own.sockets()) {
      rows.push(socketRow(socket, { ...context, namespace: own, interfaceName: nameHere }));
    }
    for (const { table, inode, pod } of others) {
      for (const socket of table.sockets()) {
        rows.push(socketRow(socket, { ...context, namespace: { inode, pod }, interfaceName: String }));
      }
    }
    return rows;
  }

  #readOwnNumbers(nowMs: number): void {
    const numbers = this.#ownNumbers;
    numbers.sockstat = readSockstat('/proc', 'thread-self') ?? numbers.sockstat;
    numbers.readCounters('/proc', 'thread-self', false, nowMs);
    numbers.readSettings((read) => read(), nowMs);
  }
}

function requireEntry(): void {
  if (hasCapability('SYS_ADMIN')) return;
  throw new FinwaitError(
    'NAMESPACES_DENIED',
    'the other network namespaces of this machine may not be entered',
    'run finwait as root (CAP_SYS_ADMIN, and CAP_SYS_PTRACE to find them), or leave --all-namespaces, --netns, --pod and --by pod, container or namespace away',
  );
}
