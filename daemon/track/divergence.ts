/**
 * Sockets and conntrack's flows compared: a socket that conntrack does not know any more loses its packets where rules
 * drop what is invalid, and a flow without a socket takes room in the table. Neither table is of one moment, so what is
 * missing is believed when two comparisons miss it.
 */

import type { Divergence, Endpoint, TcpStateName } from '#contract';
import { CONNTRACK_TCP_STATES } from '../netlink/ctnetlink.ts';

import type { Divergent } from './divergent-states.ts';
import { divergentStates } from './divergent-states.ts';
import { textsOfBytes } from './texts-of-bytes.ts';

/** What counts of a socket. */
export interface ComparedSocket {
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly state: TcpStateName;
  readonly sinceMs: number;
  /** How long ago anything came or data were sent, where the kernel tells. */
  readonly idleMs?: number | undefined;
}

/** What counts of a flow. Addresses are 4 or 16 bytes, read before the next row comes. */
export interface ComparedFlow {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Of the tuple that answers carry: what the one who answers sees, which NAT may make another. */
  readonly replySource: Uint8Array;
  readonly replyDestination: Uint8Array;
  readonly replySourcePort: number;
  readonly replyDestinationPort: number;
  /** Index into CONNTRACK_TCP_STATES. */
  readonly state: number;
  readonly mark: number;
  /** Since when it is in its state, and when the kernel forgets it, on the clock of the sweeps. */
  readonly sinceMs: number;
  readonly expiresMs: number;
}

export interface Compared {
  readonly sockets: Iterable<ComparedSocket>;
  readonly forEachFlow: (visit: (flow: ComparedFlow) => void) => void;
  /** Whether an address is one of this network namespace. */
  readonly isLocal: (address: string) => boolean;
  /** The mark of finwait's own flows, whose engine has no sockets. */
  readonly ownMark: number;
  /** Whether conntrack takes up connections whose beginning it did not see (nf_conntrack_tcp_loose). */
  readonly picksUp: boolean;
}

/** What is missing that is remembered for the next comparison, of each table. What is over it is not believed. */
const REMEMBERED_MAX = 100_000;
/** The two tables and the clock are not read at one moment. */
const SAME_MOMENT_MS = 1_000;

type Missed = ReadonlyMap<string, number>;

interface Seen {
  readonly socket: ComparedSocket;
  hasFlow: boolean;
}

export class Comparison {
  /** What the last comparison found, by the ends, and when it was missed first. */
  #ghosts: Missed = new Map();
  #forgotten: Missed = new Map();

  /** @param nowMs the clock of the sweeps */
  compare(compared: Compared, nowMs: number): Divergence {
    const sockets = connections(compared);
    const { ghosts, followed, flows, through } = withoutSocket(compared, sockets, nowMs);
    const { forgotten, untracked } = withoutFlow(sockets, followed, compared, this.#forgotten, nowMs);
    const flowsWithoutSocket = believed(ghosts, this.#ghosts);
    const socketsWithoutFlow = believed(forgotten, this.#forgotten);
    this.#ghosts = remembered(ghosts, this.#ghosts, nowMs);
    this.#forgotten = remembered(forgotten, this.#forgotten, nowMs);
    const settled = flowsWithoutSocket.length + socketsWithoutFlow.length;
    return {
      sockets: sockets.size,
      flows,
      through,
      untracked,
      socketsWithoutFlow: divergentStates(socketsWithoutFlow),
      flowsWithoutSocket: divergentStates(flowsWithoutSocket),
      unsettled: ghosts.size + forgotten.size - settled,
    };
  }

  /** What a comparison says that cannot be made. */
  disbelieve(disbelief: NonNullable<Divergence['disbelief']>): Divergence {
    this.#ghosts = new Map();
    this.#forgotten = new Map();
    const nothing = { sockets: 0, flows: 0, through: 0, untracked: 0, unsettled: 0 };
    return { ...nothing, socketsWithoutFlow: [], flowsWithoutSocket: [], disbelief };
  }
}

function connections({ sockets }: Compared): Map<string, Seen> {
  const seen = new Map<string, Seen>();
  for (const socket of sockets) {
    if (socket.state === 'LISTEN' || socket.state === 'CLOSED') continue;
    seen.set(keyOf(socket.local, socket.peer), { socket, hasFlow: false });
  }
  return seen;
}

/** Marks the sockets that have a flow, and tells which kinds of connections conntrack follows. */
function withoutSocket(
  { forEachFlow, isLocal, ownMark }: Compared,
  sockets: ReadonlyMap<string, Seen>,
  nowMs: number,
): { ghosts: Map<string, Divergent>; followed: ReadonlySet<string>; flows: number; through: number } {
  const followed = new Set<string>();
  const ghosts = new Map<string, Divergent>();
  const textOf = textsOfBytes();
  let flows = 0;
  let through = 0;
  forEachFlow((flow) => {
    if (flow.mark === ownMark) return;
    const ends: [local: Endpoint, peer: Endpoint][] = [];
    const opener = textOf(flow.source);
    if (isLocal(opener)) {
      ends.push([
        { address: opener, port: flow.sourcePort },
        { address: textOf(flow.destination), port: flow.destinationPort },
      ]);
    }
    const answerer = textOf(flow.replySource);
    if (isLocal(answerer)) {
      ends.push([
        { address: answerer, port: flow.replySourcePort },
        { address: textOf(flow.replyDestination), port: flow.replyDestinationPort },
      ]);
    }
    const [first] = ends;
    if (first === undefined) {
      through++;
      return;
    }
    flows++;
    let hasSocket = false;
    for (const [local, peer] of ends) {
      followed.add(kindOf(local, peer));
      const seen = sockets.get(keyOf(local, peer));
      if (seen === undefined) continue;
      seen.hasFlow = true;
      hasSocket = true;
    }
    if (hasSocket) return;
    const [local, peer] = first;
    ghosts.set(keyOf(local, peer), {
      state: CONNTRACK_TCP_STATES[flow.state] ?? 'NONE',
      local,
      peer,
      ageMs: Math.max(0, Math.round(nowMs - flow.sinceMs)),
      timeoutMs: Math.max(0, Math.round(flow.expiresMs - nowMs)),
    });
  });
  return { ghosts, followed, flows, through };
}

/**
 * Whether conntrack follows a connection is a matter of rules: of one family only, not on loopback, not of some ports. It
 * shows in that no connection of the kind has a flow, or in that the connection had packets without getting one.
 */
function withoutFlow(
  sockets: ReadonlyMap<string, Seen>,
  followed: ReadonlySet<string>,
  { isLocal, picksUp }: Compared,
  before: Missed,
  nowMs: number,
): { forgotten: Map<string, Divergent>; untracked: number } {
  const forgotten = new Map<string, Divergent>();
  let untracked = 0;
  for (const [key, { socket, hasFlow }] of sockets) {
    if (hasFlow) continue;
    const { state, local, peer, sinceMs, idleMs = Number.POSITIVE_INFINITY } = socket;
    const hadPackets = idleMs + SAME_MOMENT_MS < nowMs - (before.get(key) ?? nowMs);
    if (!followed.has(kindOf(local, peer)) || !isLocal(local.address) || (picksUp && hadPackets)) {
      untracked++;
    } else {
      forgotten.set(key, { state, local, peer, ageMs: Math.max(0, Math.round(nowMs - sinceMs)) });
    }
  }
  return { forgotten, untracked };
}

function kindOf(local: Endpoint, peer: Endpoint): string {
  const family = local.address.includes(':') ? 6 : 4;
  return `${family} ${local.address === peer.address || local.address.startsWith('127.')}`;
}

function keyOf(local: Endpoint, peer: Endpoint): string {
  return `${local.port} ${peer.port} ${local.address} ${peer.address}`;
}

function believed(now: ReadonlyMap<string, Divergent>, before: Missed): Divergent[] {
  const twice: Divergent[] = [];
  for (const [key, divergent] of now) if (before.has(key)) twice.push(divergent);
  return twice;
}

function remembered(missing: ReadonlyMap<string, Divergent>, before: Missed, nowMs: number): Missed {
  const kept = new Map<string, number>();
  for (const key of missing.keys()) {
    if (kept.size >= REMEMBERED_MAX) break;
    kept.set(key, before.get(key) ?? nowMs);
  }
  return kept;
}
