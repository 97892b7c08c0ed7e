/** Whose the ends of conntrack's flows are: by the sockets of this machine, and by the addresses of its namespaces. */

import { networkInterfaces } from 'node:os';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import type { Endpoint, PodRef } from '#contract';
import { hasCapability } from '../daemon/kernel/capabilities.ts';
import { NamespaceFinder } from '../daemon/track/namespace-finder.ts';
import type { FlowHolder, FlowRow } from './conntrack-rows.ts';
import type { Place } from './place.ts';
import { inside, ownNamespace } from './place.ts';
import { isPod } from './pod-names.ts';
import { SocketsReader } from './sockets-reader.ts';
import type { SocketRow } from './sockets-rows.ts';

type FlowEnds = Pick<FlowRow, 'source' | 'destination' | 'natSource' | 'natDestination'>;

export interface OwnersRead {
  readonly holders: HolderTable;
  /** Whether a filter names a pod of this machine, or `none`. */
  readonly namesPod: (filter: string) => boolean;
  readonly conditions: readonly Condition[];
  /** Applies only where a process has a socket and is not known. */
  readonly processes: Condition | undefined;
}

/** Reads sockets and addresses of every namespace where that is allowed, else of the one whose flows are read. */
export class FlowOwners {
  readonly #place: Place | undefined;
  readonly #reader: SocketsReader;
  readonly #finder = new NamespaceFinder();

  /** @param place whose conntrack is read; finwait's own when undefined */
  constructor(place: Place | undefined) {
    this.#place = place;
    const here = place === undefined ? 'own' : [place];
    this.#reader = new SocketsReader(hasCapability('SYS_ADMIN') ? 'all' : here);
  }

  read(): OwnersRead {
    const here = this.#place?.inode ?? ownNamespace();
    const { owned, podNames, conditions, processes } = this.#reader.read();
    const rows = owned();
    const namespaces = this.#finder.find(performance.now());
    const nameOf = (pod: PodRef | null) => (pod === null ? null : (podNames.get(pod.uid) ?? null));
    const holders = new HolderTable(here);
    for (const row of rows) holders.addSocket(row);
    for (const [inode, { path, pod = null }] of namespaces) {
      for (const address of addressesInside({ inode, path })) {
        holders.addAddress(address, { inode, pod, podName: nameOf(pod) });
      }
    }
    for (const address of addressesInside(this.#place)) {
      const pod = namespaces.get(here)?.pod ?? null;
      holders.addAddress(address, { inode: here, pod, podName: nameOf(pod) });
    }
    const pods = [null, ...[...namespaces.values()].flatMap(({ pod }) => pod ?? []), ...podsOf(rows)];
    const namesPod = (filter: string) => pods.some((pod) => isPod(pod, nameOf(pod), filter));
    return { holders, namesPod, conditions, processes: processes() };
  }
}

interface AddressOf {
  readonly inode: number;
  readonly pod: PodRef | null;
  readonly podName: string | null;
}

/** What each end is looked up in. */
export class HolderTable {
  readonly #here: number;
  readonly #sockets = new Map<string, FlowHolder>();
  readonly #listeners = new Map<string, FlowHolder>();
  readonly #addresses = new Map<string, AddressOf>();
  readonly #hidden = new Set<FlowHolder>();

  /** @param here inode of the namespace whose flows these are */
  constructor(here: number) {
    this.#here = here;
  }

  addSocket(row: SocketRow): void {
    const { state, local, peer, netns, process, attribution, pod, podName, inode, dualStack } = row;
    const known = attribution === 'last-owner' ? 'socket' : attribution;
    const holder: FlowHolder = { process, attribution: process === null ? 'unknown' : known, pod, podName };
    if (process === null && inode !== 0) this.#hidden.add(holder);
    if (state === 'LISTEN') {
      const listener = { ...holder, attribution: 'listener' } as const;
      if (this.#hidden.has(holder)) this.#hidden.add(listener);
      this.#listeners.set(listenerKey(netns, local), listener);
      if (dualStack)
        this.#listeners.set(listenerKey(netns, { address: DUAL_STACK, port: local.port }), listener);
    } else if (netns === this.#here || !isLoopback(local.address)) {
      // Every namespace has the same loopback addresses, and this one's flows are its own.
      this.#sockets.set(keyOf(local, peer), holder);
    }
  }

  addAddress(address: string, of: AddressOf): void {
    if (of.inode === this.#here || !isLoopback(address)) this.#addresses.set(address, of);
  }

  /** Whether a process has the socket of an end, and is not known. */
  hasHidden({ opener, acceptor }: Pick<FlowRow, 'opener' | 'acceptor'>): boolean {
    return [opener, acceptor].some((holder) => holder !== null && this.#hidden.has(holder));
  }

  of({ source, destination, natSource, natDestination }: FlowEnds): Pick<FlowRow, 'opener' | 'acceptor'> {
    const [accepting, calling] = [natDestination ?? destination, natSource ?? source];
    const acceptor = this.#sockets.get(keyOf(accepting, calling)) ?? this.#byAddress(accepting, true) ?? null;
    const opener = this.#sockets.get(keyOf(source, destination)) ?? this.#byAddress(source, false) ?? null;
    return { opener, acceptor };
  }

  /** Of an end without a socket whose address is of this machine: the pod whose it is, and who listens there. */
  #byAddress({ address, port }: Endpoint, accepts: boolean): FlowHolder | undefined {
    const namespace = this.#addresses.get(address);
    if (namespace === undefined) return undefined;
    const { inode, pod, podName } = namespace;
    const listener = accepts ? this.#listenerAt(inode, { address, port }) : undefined;
    if (listener !== undefined) return pod === null ? listener : { ...listener, pod, podName };
    return { process: null, attribution: 'unknown', pod, podName };
  }

  /** Bound to the address itself, or to any. */
  #listenerAt(inode: number, { address, port }: Endpoint): FlowHolder | undefined {
    const any = address.includes(':') ? ['::'] : ['0.0.0.0', DUAL_STACK];
    for (const bound of [address, ...any]) {
      const listener = this.#listeners.get(listenerKey(inode, { address: bound, port }));
      if (listener !== undefined) return listener;
    }
    return undefined;
  }
}

/** In place of the address of listeners on any of both families. */
const DUAL_STACK = '*';

function listenerKey(netns: number, { address, port }: Endpoint): string {
  return `${netns} ${address} ${port}`;
}

/** Each once, those on the host's network as well, which no namespace tells. */
function podsOf(rows: readonly SocketRow[]): Iterable<PodRef> {
  const pods = new Map<string, PodRef>();
  for (const { pod } of rows) if (pod !== null) pods.set(`${pod.uid} ${pod.containerId}`, pod);
  return pods.values();
}

function keyOf(local: Endpoint, peer: Endpoint): string {
  return `${local.address} ${local.port} ${peer.address} ${peer.port}`;
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** None of a namespace that is gone, or may not be entered. */
function addressesInside(place: Place | undefined): string[] {
  try {
    return inside(place, () =>
      Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? []),
    );
  } catch (error) {
    if (!(error instanceof FinwaitError)) throw error;
    return [];
  }
}
