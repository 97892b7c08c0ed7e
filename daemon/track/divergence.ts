/**
 * Sockets and conntrack's flows compared: a socket that conntrack does not know any more loses its packets where rules
 * drop what is invalid, and a flow without a socket takes room in the table. Neither table is of one moment, so what is
 * missing is believed when two comparisons miss it. Of millions that are missing only numbers are kept, and few samples.
 */

import { randomInt } from 'node:crypto';
import type { Divergence, DivergentSample, Endpoint, TcpStateName } from '#contract';
import { CONNTRACK_TCP_STATES } from '../netlink/ctnetlink.ts';
import { ipFromBytes, isV4Mapped } from '../wire/address.ts';
import { sameBytes } from '../wire/bytes.ts';
import { bytesOfTexts } from './bytes-of-texts.ts';
import { DivergentStates } from './divergent-states.ts';
import type { EndsSeed } from './ends-key.ts';
import { endsKey } from './ends-key.ts';
import type { SinceBasis } from './flow-row.ts';
import { NumbersByKey } from './numbers-by-key.ts';

/** What counts of a socket. */
export interface ComparedSocket {
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly state: TcpStateName;
  readonly sinceMs: number;
  /** Whether it was not in its state before. */
  readonly sinceIsExact: boolean;
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
  /** By anything but an event it may have been so before. */
  readonly sinceBasis: SinceBasis;
  readonly expiresMs: number;
  /** When the kernel last spoke of it: what it said before a socket was missed proves nothing. */
  readonly toldMs: number;
}

export interface Compared {
  /** Gone over twice: once before the flows and once after them. */
  readonly sockets: () => Iterable<ComparedSocket>;
  readonly forEachFlow: (visit: (flow: ComparedFlow) => void) => void;
  /** Of which moment the flows are: each that there was then is known. */
  readonly knownMs: number;
  /** Whether an address of 4 or 16 bytes is one of this network namespace. */
  readonly isLocal: (address: Uint8Array) => boolean;
  /** The mark of finwait's own flows, whose engine has no sockets. */
  readonly ownMark: number;
  /** Whether conntrack takes up connections whose beginning it did not see (nf_conntrack_tcp_loose). */
  readonly picksUp: boolean;
}

/** What is missing that is remembered for the next comparison, of each table. What is over it is not believed. */
const REMEMBERED_MAX = 100_000;
/** The two tables and the clock are not read at one moment. */
const SAME_MOMENT_MS = 1_000;

/** What the last comparison missed, by the ends, and when it was missed first. */
type Missed = Pick<NumbersByKey, 'get' | 'size'>;

const NO_FLOW = 0;
const HAS_FLOW = 1;

export class Comparison {
  readonly #seed: EndsSeed = [randomInt(2 ** 32), randomInt(2 ** 32)];
  #ghosts: Missed = new NumbersByKey();
  #forgotten: Missed = new NumbersByKey();

  /** @param nowMs the clock of the sweeps */
  compare(compared: Compared, nowMs: number): Divergence {
    const bytesOf = bytesOfTexts();
    const keyOf = ({ local, peer }: ComparedSocket) =>
      endsKey(this.#seed, bytesOf(local.address), local.port, bytesOf(peer.address), peer.port);
    /** By the ends, whether there is a flow. */
    const seen = new NumbersByKey();
    for (const socket of compared.sockets()) if (isConnection(socket)) seen.set(keyOf(socket), NO_FLOW);
    const sockets = seen.size;
    const ghosts = new Missing(this.#ghosts, nowMs);
    const { followed, flows, through } = this.#withoutSocket(compared, seen, ghosts, nowMs);
    const forgotten = new Missing(this.#forgotten, nowMs);
    let untracked = 0;
    for (const socket of compared.sockets()) {
      if (!isConnection(socket)) continue;
      const key = keyOf(socket);
      if (seen.get(key) !== NO_FLOW) continue;
      // There may be another of the same ends.
      seen.set(key, HAS_FLOW);
      const { state, local, peer, sinceMs, sinceIsExact, idleMs = Number.POSITIVE_INFINITY } = socket;
      const here = bytesOf(local.address);
      const hadPackets = idleMs + SAME_MOMENT_MS < nowMs - (this.#forgotten.get(key) ?? nowMs);
      const isFollowed = followed.has(kindOf(here, bytesOf(peer.address))) && compared.isLocal(here);
      if (!isFollowed || (compared.picksUp && hadPackets)) {
        untracked++;
      } else if (forgotten.isBelieved(key, compared.knownMs)) {
        const ageMs = Math.max(0, Math.round(nowMs - sinceMs));
        forgotten.believed.add(state, { ageMs, ...basisOf(sinceIsExact) }, () => ({ local, peer }));
      }
    }
    this.#ghosts = ghosts.kept;
    this.#forgotten = forgotten.kept;
    return {
      sockets,
      flows,
      through,
      untracked,
      socketsWithoutFlow: forgotten.believed.told(),
      flowsWithoutSocket: ghosts.believed.told(),
      unsettled: ghosts.unsettled + forgotten.unsettled,
    };
  }

  /** What a comparison says that cannot be made. */
  disbelieve(disbelief: NonNullable<Divergence['disbelief']>): Divergence {
    this.#ghosts = new NumbersByKey();
    this.#forgotten = new NumbersByKey();
    const nothing = { sockets: 0, flows: 0, through: 0, untracked: 0, unsettled: 0 };
    return { ...nothing, socketsWithoutFlow: [], flowsWithoutSocket: [], disbelief };
  }

  /**
   * Marks the sockets that have a flow, and tells which kinds of connections conntrack follows. Whether it follows one is
   * a matter of rules: of one family only, not on loopback, not of some ports. It shows in that no connection of the kind
   * has a flow, or in that the connection had packets without getting one.
   */
  #withoutSocket(
    { forEachFlow, isLocal, ownMark }: Compared,
    seen: NumbersByKey,
    ghosts: Missing,
    nowMs: number,
  ): { followed: ReadonlySet<string>; flows: number; through: number } {
    const followed = new Set<string>();
    let flows = 0;
    let through = 0;
    forEachFlow((flow) => {
      if (flow.mark === ownMark) return;
      const opener = unmapped(flow.source);
      const answerer = unmapped(flow.replySource);
      const isOpened = isLocal(opener);
      const isAnswered = isLocal(answerer);
      if (!isOpened && !isAnswered) {
        through++;
        return;
      }
      flows++;
      let ghost: number | undefined;
      let hasSocket = false;
      const end = (local: Uint8Array, localPort: number, peer: Uint8Array, peerPort: number) => {
        followed.add(kindOf(local, peer));
        const key = endsKey(this.#seed, local, localPort, peer, peerPort);
        ghost ??= key;
        if (!seen.has(key)) return;
        seen.set(key, HAS_FLOW);
        hasSocket = true;
      };
      if (isOpened) end(opener, flow.sourcePort, unmapped(flow.destination), flow.destinationPort);
      if (isAnswered) {
        end(answerer, flow.replySourcePort, unmapped(flow.replyDestination), flow.replyDestinationPort);
      }
      if (hasSocket || ghost === undefined || !ghosts.isBelieved(ghost, flow.toldMs)) return;
      const ageMs = Math.max(0, Math.round(nowMs - flow.sinceMs));
      const timeoutMs = Math.max(0, Math.round(flow.expiresMs - nowMs));
      const times = { ageMs, ...basisOf(flow.sinceBasis === 'event'), timeoutMs };
      ghosts.believed.add(CONNTRACK_TCP_STATES[flow.state] ?? 'NONE', times, () =>
        isOpened
          ? {
              local: endpointOf(flow.source, flow.sourcePort),
              peer: endpointOf(flow.destination, flow.destinationPort),
            }
          : {
              local: endpointOf(flow.replySource, flow.replySourcePort),
              peer: endpointOf(flow.replyDestination, flow.replyDestinationPort),
            },
      );
    });
    return { followed, flows, through };
  }
}

/** What one comparison misses in one of the tables. */
class Missing {
  readonly believed = new DivergentStates();
  readonly kept = new NumbersByKey();
  unsettled = 0;
  readonly #before: Missed;
  readonly #nowMs: number;
  /** What was missed before keeps its place, so that those that come and go cannot take it. */
  #room: number;

  constructor(before: Missed, nowMs: number) {
    this.#before = before;
    this.#nowMs = nowMs;
    this.#room = REMEMBERED_MAX - before.size;
  }

  /**
   * Counts one that is missing, once; whether it was missed by the last comparison as well.
   * @param toldMs when the other table was heard of it: it must be after it was missed first
   */
  isBelieved(key: number, toldMs: number): boolean {
    if (this.kept.has(key)) return false;
    const firstMs = this.#before.get(key);
    if (firstMs !== undefined) this.kept.set(key, firstMs);
    if (firstMs !== undefined && toldMs > firstMs) return true;
    this.unsettled++;
    if (firstMs !== undefined) return false;
    if (this.#room > 0) {
      this.#room--;
      this.kept.set(key, this.#nowMs);
    }
    return false;
  }
}

function basisOf(isExact: boolean): Pick<DivergentSample, 'ageBasis'> {
  return isExact ? {} : { ageBasis: 'at-least' };
}

function isConnection({ state }: ComparedSocket): boolean {
  return state !== 'LISTEN' && state !== 'CLOSED';
}

function kindOf(local: Uint8Array, peer: Uint8Array): string {
  const isLoopback = (local.length === 4 && local[0] === 127) || sameBytes(local, 0, peer, 0, local.length);
  return KINDS[isLoopback ? 1 : 0][local.length === 4 ? 0 : 1];
}

const KINDS = [
  ['4', '6'],
  ['4 loopback', '6 loopback'],
] as const;

/** A v4-mapped IPv6 address is an IPv4 address. */
function unmapped(bytes: Uint8Array): Uint8Array {
  return bytes.length === 16 && isV4Mapped(bytes, 0) ? bytes.subarray(12) : bytes;
}

function endpointOf(bytes: Uint8Array, port: number): Endpoint {
  return { address: ipFromBytes(bytes).text, port };
}
