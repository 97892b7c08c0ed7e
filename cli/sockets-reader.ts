/** Reads the sockets for the table commands: of this network namespace, of those that are named, or of all of the machine. */

import type { Condition } from '#base/errors.ts';
import type { PodRef, TcpStateName } from '#contract';
import { TCP_STATES } from '#contract';
import { hasCapability } from '../daemon/kernel/capabilities.ts';
import type { OnDatagram } from '../daemon/kernel/netlink-events.ts';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { ALL_STATES, KERNEL_STATE } from '../daemon/netlink/inet-diag.ts';
import { CgroupPods } from '../daemon/track/cgroup-pods.ts';
import { deviceNames, dumpSockets } from '../daemon/track/dumps.ts';
import { readEphemeralFrom } from '../daemon/track/kernel-numbers.ts';
import { CounterSums } from '../daemon/track/namespace-counters.ts';
import { NamespaceFinder } from '../daemon/track/namespace-finder.ts';
import { NamespaceNumbers } from '../daemon/track/namespace-numbers.ts';
import { NamespaceSockets } from '../daemon/track/namespace-sockets.ts';
import { findProcesses } from '../daemon/track/process-search.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import { noSocketCounts } from '../daemon/track/socket-counters.ts';
import { SocketTable } from '../daemon/track/socket-table.ts';
import { readSockstat } from '../daemon/track/sockstat.ts';
import { tcpStateName } from '../daemon/track/tcp-states.ts';
import type { Place } from './place.ts';
import { inside, namespacesDenied, ownNamespace } from './place.ts';
import { readPodNames } from './pod-names.ts';
import type { SocketRow } from './sockets-rows.ts';
import { socketRow } from './sockets-rows.ts';
import { finwaitAddresses } from './table.ts';

const EXTRAS = { memory: true, congestion: true } as const;
const UNBOUNDED = Number.POSITIVE_INFINITY;

/** A network namespace beside its sockets. */
export interface NamespaceRead {
  readonly inode: number;
  readonly own: boolean;
  readonly pod: PodRef | undefined;
  readonly numbers: NamespaceNumbers;
  readonly table: SocketTable;
}

export interface SocketsRead {
  /** All that were read, but for whose they are: as if nobody were known. */
  readonly rows: () => SocketRow[];
  /** All of them, or those given in their order, with whose they are: that is looked for now, and for no others. */
  readonly owned: (of?: readonly SocketRow[]) => SocketRow[];
  /** How many sockets there are; undefined where the kernel was asked for some only. */
  readonly total: number | undefined;
  readonly namespaces: readonly NamespaceRead[];
  /** NAMESPACE/NAME by UID of the pods whose name is known. */
  readonly podNames: ReadonlyMap<string, string>;
  /** Messages of the kernel that are missing in the rows. */
  readonly dropped: number;
  /** What keeps the answer from being whole. */
  readonly conditions: readonly Condition[];
  /** Why processes are not known, after `owned`; applies only where a socket's is not. */
  readonly processes: () => Condition | undefined;
}

/** Which network namespaces are read: finwait's own, those named, or its own and all others. */
export type Places = 'own' | 'all' | readonly Place[];

interface ReaderOptions {
  /** Memory, windows, rates and times of each; for who does not show them they are not worth their room. */
  readonly details?: boolean;
  /** Which are asked for beside listeners, which tell whose others are; absent: all. */
  readonly states?: readonly TcpStateName[];
}

interface Reading extends NamespaceRead {
  readonly interfaceName: (index: number) => string;
}

/** Reads again and again: ages and trends grow from reading to reading. */
export class SocketsReader {
  readonly #faults = noNetlinkFaults();
  readonly #counters = noSocketCounts();
  readonly #processes = new ProcessTable({ maxDescriptors: UNBOUNDED, pods: true });
  /** A command has one reading to find them in. */
  readonly #cgroups = new CgroupPods(undefined, { foldersAtOnce: Number.POSITIVE_INFINITY });
  readonly #entered: readonly EnteredPlace[];
  readonly #others: NamespaceSockets | undefined;
  readonly #isProbe = finwaitAddresses();
  readonly #states: number;
  #reads = 0;

  /** @throws FinwaitError NAMESPACES_DENIED when all namespaces are asked for and this may not enter them */
  constructor(places: Places, { details = false, states = TCP_STATES }: ReaderOptions = {}) {
    this.#states = statesMask(states);
    if (places === 'all' && !hasCapability('SYS_ADMIN')) throw namespacesDenied();
    const sums = new CounterSums();
    const common = {
      processes: this.#processes,
      cgroups: this.#cgroups,
      maxTracked: UNBOUNDED,
      ephemeralFrom: readEphemeralFrom(),
      counters: this.#counters,
      details,
    };
    const faults = this.#faults;
    const question = { ...(details ? EXTRAS : {}), states: this.#states };
    const dump = (onSocket: OnDatagram) => dumpSockets(onSocket, faults, question);
    const finder = new NamespaceFinder();
    const entered = typeof places === 'string' ? [undefined] : byInode(places);
    this.#entered = entered.map(
      (place) =>
        new EnteredPlace(place, new SocketTable({ ...common, dump }), new NamespaceNumbers(sums), finder),
    );
    this.#others =
      places === 'all' ? new NamespaceSockets({ ...common, faults, sums, question, finder }) : undefined;
  }

  /** @throws FinwaitError of `dumpSockets` and of `inside` */
  read(): SocketsRead {
    const nowMs = performance.now();
    this.#reads++;
    for (const place of this.#entered) place.read(nowMs);
    this.#others?.read(nowMs, 0);
    const namespaces: readonly Reading[] = [
      ...this.#entered.map((place) => place.reading(nowMs)),
      ...[...(this.#others?.tables() ?? [])].map(({ inode, pod, numbers, table }) => {
        return { inode, own: false, pod, numbers, table, interfaceName: String };
      }),
    ];
    // Who listens tells the direction of a connection.
    for (const { table } of namespaces) table.attribute();
    const podNames = readPodNames();
    const partial = this.#others?.condition();
    const rows = (wanted?: ReadonlySet<string>) => this.#rows(nowMs, namespaces, podNames, wanted);
    return {
      rows,
      owned: (of) => {
        this.#findOwners(nowMs, namespaces, of);
        if (of === undefined) return rows();
        const owned = new Map(rows(new Set(of.map(nameOf))).map((row) => [nameOf(row), row]));
        return of.map((row) => owned.get(nameOf(row)) ?? row);
      },
      total: this.#states === ALL_STATES ? totalOf(namespaces) : undefined,
      namespaces,
      podNames,
      dropped: this.#counters.undecodable + this.#faults.truncated + this.#faults.undecodable,
      conditions: partial === undefined ? [] : [partial],
      processes: () => this.#processes.condition(),
    };
  }

  #findOwners(nowMs: number, namespaces: readonly Reading[], of: readonly SocketRow[] | undefined): void {
    const tables = namespaces.map(({ table }) => table);
    if (of === undefined) findProcesses(this.#processes, tables);
    else this.#processes.update(inodesOf(of, namespaces));
    this.#cgroups.update(nowMs);
    for (const table of tables) table.attribute();
  }

  /** @param wanted names of those that are made; absent: all */
  #rows(
    nowMs: number,
    namespaces: readonly Reading[],
    podNames: ReadonlyMap<string, string>,
    wanted: ReadonlySet<string> | undefined,
  ): SocketRow[] {
    const context = { nowMs, isProbe: this.#isProbe, followed: this.#reads > 1, podNames };
    const rows: SocketRow[] = [];
    for (const { table, inode, pod, interfaceName } of namespaces) {
      const namespace = { inode, pod };
      for (const socket of table.sockets()) {
        if (wanted?.has(`${inode} ${socket.diag.cookie.toString(16)}`) === false) continue;
        rows.push(socketRow(socket, { ...context, namespace, interfaceName }));
      }
    }
    return rows;
  }
}

/** A namespace that the thread goes into for each reading; finwait's own where no place is given. */
class EnteredPlace {
  readonly #place: Place | undefined;
  readonly #table: SocketTable;
  readonly #numbers: NamespaceNumbers;
  readonly #finder: NamespaceFinder;
  readonly #own = ownNamespace();
  #devices: ReadonlyMap<number, string> = new Map();

  constructor(
    place: Place | undefined,
    table: SocketTable,
    numbers: NamespaceNumbers,
    finder: NamespaceFinder,
  ) {
    this.#place = place;
    this.#table = table;
    this.#numbers = numbers;
    this.#finder = finder;
  }

  read(nowMs: number): void {
    const numbers = this.#numbers;
    inside(this.#place, () => {
      this.#table.read(nowMs);
      this.#devices = deviceNames();
      numbers.sockstat = readSockstat('/proc', 'thread-self') ?? numbers.sockstat;
      numbers.readCounters('/proc', 'thread-self', false, nowMs);
      numbers.readSettings((read) => read(), nowMs);
    });
  }

  reading(nowMs: number): Reading {
    const inode = this.#place?.inode ?? this.#own;
    const own = inode === this.#own;
    return {
      inode,
      own,
      pod: own ? undefined : this.#finder.find(nowMs).get(inode)?.pod,
      numbers: this.#numbers,
      table: this.#table,
      interfaceName: (index) => this.#devices.get(index) ?? String(index),
    };
  }
}

/** As long as the machine runs no other socket has it. */
export function nameOf({ netns, cookie }: SocketRow): string {
  return `${netns} ${cookie}`;
}

/** Bit mask of `1 << KERNEL_STATE.X`. */
function statesMask(states: readonly TcpStateName[]): number {
  const wanted = new Set<TcpStateName | undefined>([...states, 'LISTEN']);
  let mask = ALL_STATES;
  for (const number of Object.values(KERNEL_STATE))
    if (!wanted.has(tcpStateName(number))) mask &= ~(1 << number);
  return mask;
}

function totalOf(namespaces: readonly Reading[]): number {
  const counts = namespaces.flatMap(({ table }) => [...table.counts().values()]);
  return counts.reduce((sum, families) => sum + families[4] + families[6], 0);
}

/** Of the rows, and of those who listen where the rows were accepted. */
function inodesOf(rows: readonly SocketRow[], namespaces: readonly Reading[]): Set<number> {
  const inodes = new Set<number>();
  const accepting = new Set<string>();
  for (const { inode, direction, netns, local } of rows) {
    if (inode !== 0) inodes.add(inode);
    if (direction === 'inbound') accepting.add(`${netns} ${local.port}`);
  }
  if (accepting.size === 0) return inodes;
  for (const { inode, table } of namespaces) {
    for (const { local, diag } of table.sockets(1 << KERNEL_STATE.LISTEN)) {
      if (accepting.has(`${inode} ${local.port}`)) inodes.add(diag.inode);
    }
  }
  return inodes;
}

/** The same namespace may be named in two ways. */
function byInode(places: readonly Place[]): Place[] {
  return [...new Map(places.map((place) => [place.inode, place])).values()];
}
