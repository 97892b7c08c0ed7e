/** What a report says about ports that run out, and about sockets and conntrack that do not tell the same. */

import type { Endpoint, PodRef } from './contract.ts';

export const PRESSURE_LIMITS = {
  ports: 20,
  sourceNat: 20,
  consumers: 5,
  divergentStates: 16,
  divergentSamples: 5,
} as const;

/** The local ports of outgoing connections: each source address has a range of them towards each destination. */
export interface PortPressure {
  /** The largest part used first. */
  readonly destinations: readonly PortUse[];
  /** Other destinations that have connections. */
  readonly folded: number;
}

export interface PortUse {
  /** Whose network namespace it is; absent for the host's and for one that is no pod's. */
  readonly pod?: PodRef;
  /** Inode of the network namespace, where that is not the agent's own and no pod is known whose it is. */
  readonly netns?: number;
  readonly source: string;
  readonly destination: Endpoint;
  /** Ports that a new connection cannot be given, of those that there are for this destination. */
  readonly used: number;
  readonly usable: number;
  /** Of those used: in TIME-WAIT. */
  readonly timeWait: number;
  /** In TIME-WAIT and not used, because the kernel gives their ports to new connections (tcp_tw_reuse). */
  readonly reusable: number;
  /** Of those used, at least: bound without IP_BIND_ADDRESS_NO_PORT, and so taken from every other destination as well. */
  readonly bound: number;
  /** More (or fewer) used per minute; absent until there is enough to tell. */
  readonly perMinute?: number;
  /** When none is left if it goes on so; 0 when none is. Absent when it does not rise. */
  readonly exhaustedInMs?: number;
}

/** The ports of addresses that source NAT (masquerade) puts in place of others. */
export interface SourceNatPressure {
  /** The largest part used first. */
  readonly destinations: readonly SourceNatUse[];
  /** Flows with source NAT towards other destinations. */
  readonly folded: number;
}

export interface SourceNatUse {
  /** The address in place of the others. */
  readonly address: string;
  /** Where the packets really go. */
  readonly destination: Endpoint;
  /** Ports of the address taken by flows to this destination, also by flows of its own. */
  readonly used: number;
  /** All from 1024 to 65535. */
  readonly usable: number;
  /** `assumed`: the rule of the NAT may name fewer, which the kernel does not tell of a flow. Absent where it is known. */
  readonly usableBasis?: 'assumed';
  /** Of those used: their connection is over (TIME_WAIT, CLOSE). */
  readonly waiting: number;
  /** Who used most, by the address before NAT; with the pod where that is an address of one that is known here. */
  readonly consumers: readonly { readonly source: string; readonly count: number; readonly pod?: PodRef }[];
  readonly perMinute?: number;
  readonly exhaustedInMs?: number;
}

/** Sockets of finwait's own network namespace and conntrack's flows, compared at one moment. */
export interface Divergence {
  /** Sockets of connections, and flows with an end that is an address of this machine. */
  readonly sockets: number;
  readonly flows: number;
  /** Flows that only pass through, which have no socket here: not compared. */
  readonly through: number;
  /** Sockets that conntrack does not follow (no rule, a notrack rule, another dataplane): not compared. */
  readonly untracked: number;
  /** Found by two comparisons, one after the other; each with its oldest samples. */
  readonly socketsWithoutFlow: readonly DivergentState[];
  readonly flowsWithoutSocket: readonly DivergentState[];
  /** Found by one comparison only, so far, or more than are remembered from one to the next. */
  readonly unsettled: number;
  /** Why nothing is compared; the lists are empty then. */
  readonly disbelief?: 'conntrack-idle' | 'conntrack-incomplete' | 'sockets-incomplete';
}

export interface DivergentState {
  /** Of the socket in RFC 9293 spelling, of the flow in the kernel's. */
  readonly state: string;
  readonly count: number;
  /** Time in the state. */
  readonly ages: DivergentAges;
  /** Of flows: that conntrack keeps for more than ten minutes yet. */
  readonly keptLong?: number;
  readonly samples: readonly DivergentSample[];
}

export interface DivergentAges {
  readonly underMinute: number;
  readonly underTenMinutes: number;
  readonly underHour: number;
  readonly older: number;
  /** In their state for less than an hour since they were first seen, and before that for nobody knows how long. */
  readonly unknown: number;
}

export interface DivergentSample {
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly ageMs: number;
  /** Without it the age is known within the time between two sweeps. */
  readonly ageBasis?: 'at-least';
  /** Of a flow: time left until conntrack forgets it, unless a packet comes. */
  readonly timeoutMs?: number;
}
