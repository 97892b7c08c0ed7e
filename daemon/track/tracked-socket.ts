/** A socket of the table as an object, for who goes over them. */

import type { Endpoint, Family, Holder, PodRef, ProcessRef, TcpStateName } from '#contract';
import type { DiagDetails } from '../netlink/inet-diag.ts';
import type { AddressCache } from './address-cache.ts';
import { isMapped } from './address-cache.ts';
import type { Owner } from './owners.ts';
import type { QueueTrend } from './socket-record.ts';
import * as record from './socket-record.ts';
import { BITS } from './socket-record.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';

/** A socket as of the last sweep that saw it. */
export interface TrackedSocket {
  /** 4 for an IPv6 socket that speaks IPv4 through v4-mapped addresses. */
  readonly family: Family;
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly state: TcpStateName;
  /** When it came into its state, on the clock of the sweeps: then or earlier. */
  readonly sinceMs: number;
  /** `seen`: since the table first saw it so. `kernel`: the kernel itself told an earlier time. */
  readonly sinceBasis: 'seen' | 'kernel';
  /** Whether it came into its state no earlier than the sweep before the one that saw it first, or its timer tells when. */
  readonly sinceIsExact: boolean;
  /** How many sweeps saw it in its state. */
  readonly sweepsInState: number;
  readonly direction: Holder['direction'];
  readonly process: ProcessRef | null;
  readonly attribution: Holder['attribution'];
  /** The pod of the socket or of its process, where it is one of a pod. */
  readonly pod: PodRef | undefined;
  readonly podBy: Exclude<Holder['podBy'], 'namespace'>;
  readonly diag: DiagSocket;
  /** Only of listeners on IPv6: it takes IPv4 connections as well. */
  readonly dualStack: boolean;
  /** How its receive queue changed when it last did. */
  readonly queue: QueueTrend;
  readonly shutdown: number | undefined;
  readonly bindAddressNoPort: boolean | undefined;
  /** How long ago data came last, and how long ago anything came or data were sent; as of the last sweep. */
  readonly lastReceivedMs: number | undefined;
  readonly idleMs: number | undefined;
  /** Only in CLOSE-WAIT: whether data were sent since the peer's FIN. */
  readonly sending: boolean;
  /** As the table's `details` says. */
  readonly details?: DiagDetails;
}

/** `struct inet_diag_msg`. A TIME-WAIT socket, and one that waits in SYN-RECEIVED or in an accept queue, has no inode. */
export interface DiagSocket {
  /** Of the socket, not of its packets. */
  readonly family: Family;
  readonly state: number;
  readonly timer: number;
  readonly retransmits: number;
  /** When the timer fires. In TIME-WAIT: how long the socket stays. */
  readonly expiresMs: number;
  readonly localPort: number;
  readonly remotePort: number;
  readonly interfaceIndex: number;
  readonly cookie: number;
  /** In LISTEN: connections that wait to be accepted. */
  readonly receiveQueue: number;
  /** In LISTEN: the backlog. */
  readonly sendQueue: number;
  readonly uid: number;
  readonly inode: number;
}

/** The selected record. */
export function trackedSocket(
  store: SocketStore,
  texts: AddressCache,
  { process, pod, podBy }: Owner,
  details: DiagDetails | undefined,
): TrackedSocket {
  const { words, family } = store;
  const localAt = store.addressAt('local');
  const sinceMs = store.getMs(WORD.sinceMs);
  const socket: TrackedSocket = {
    family: family === 4 || isMapped(words, localAt) ? 4 : 6,
    local: { address: texts.text(words, localAt, family), port: store.localPort() },
    peer: { address: texts.text(words, store.addressAt('remote'), family), port: store.remotePort() },
    state: record.stateOf(store),
    sinceMs,
    sinceBasis: record.bit(store, BITS.basisKernel) === 1 ? 'kernel' : 'seen',
    sinceIsExact: record.bit(store, BITS.exact) === 1,
    sweepsInState: store.get(WORD.sweeps),
    direction: record.bit(store, BITS.inbound) === 1 ? 'inbound' : 'outbound',
    process,
    attribution: record.attributionOf(store),
    pod,
    podBy,
    diag: diagOf(store),
    dualStack: record.bit(store, BITS.dualStack) === 1,
    queue: record.trendOf(store),
    shutdown: record.shutdownOf(store),
    bindAddressNoPort: record.bindAddressNoPortOf(store),
    lastReceivedMs: record.msOf(store, WORD.lastReceivedMs),
    idleMs: record.msOf(store, WORD.idleMs),
    sending: record.bit(store, BITS.sending) === 1,
  };
  return details === undefined ? socket : { ...socket, details };
}

function diagOf(store: SocketStore): DiagSocket {
  return {
    family: store.family,
    state: record.bit(store, BITS.state),
    timer: record.bit(store, BITS.timer),
    retransmits: record.bit(store, BITS.retransmits),
    expiresMs: store.get(WORD.expiresMs),
    localPort: store.localPort(),
    remotePort: store.remotePort(),
    interfaceIndex: store.interfaceIndex(),
    cookie: store.get(WORD.cookieLow) + store.get(WORD.cookieHigh) * 2 ** 32,
    receiveQueue: store.get(WORD.receiveQueue),
    sendQueue: store.get(WORD.sendQueue),
    uid: store.get(WORD.uid),
    inode: store.get(WORD.inode),
  };
}
