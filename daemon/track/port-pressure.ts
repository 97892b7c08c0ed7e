/**
 * How near the connections of a network namespace are to having no local port left, for each source address and
 * destination: a connection is known by both ends, so each destination has the range of ports to itself, except for
 * the ports that a socket was bound to before it connected. net/ipv4/inet_hashtables.c, __inet_hash_connect()
 */

import type { Endpoint, Holder, PortUse as ReportedPortUse, TcpStateName } from '#contract';
import { NumbersByKey } from './numbers-by-key.ts';
import type { PortRules } from './port-rules.ts';
import { assignablePorts, isAssignable } from './port-rules.ts';

/** What counts of a socket. */
export interface PressingSocket {
  /** By which its ends are told. */
  readonly row: number;
  readonly localPort: number;
  /** A hash of 53 bits of the source address and the destination. */
  readonly towards: number;
  /** Whether one of its ends is a loopback address. */
  readonly onLoopback: boolean;
  readonly state: TcpStateName;
  /** When it came into its state, on the clock of the sweeps. */
  readonly sinceMs: number;
  readonly direction: Holder['direction'];
  /** IP_BIND_ADDRESS_NO_PORT; undefined where the kernel does not tell, as of what has no full socket. */
  readonly bindAddressNoPort?: boolean | undefined;
}

/** Those of one namespace. */
export interface PressingSockets {
  /** One object may stand for one after the other: what is wanted of it is read before the next. */
  pressing(): Iterable<PressingSocket>;
  endsOf(row: number): { readonly source: string; readonly destination: Endpoint };
}

/** The ports towards one destination, as of one look. */
export type PortUse = Omit<ReportedPortUse, 'pod' | 'netns' | 'perMinute' | 'exhaustedInMs'>;

/** Words of a group. */
const WORD = { row: 0, used: 1, timeWait: 2, reusable: 3, bound: 4, even: 5 } as const;
const WORDS = 6;
const LEAST_GROUPS = 64;
const PORTS = 65_536;

/** The ports towards each destination, in no order, as numbers: there may be as many destinations as sockets. */
export class PortGroups {
  /** Of destinations; all else is asked for by their numbers, from 0 on. */
  size = 0;
  readonly #sockets: PressingSockets;
  readonly #assignable: number;
  readonly #numbers = new NumbersByKey();
  #words = new Uint32Array(LEAST_GROUPS * WORDS);
  /** Ports of the range that no connection is given: somebody was bound to them. */
  readonly #held = new Set<number>();

  /** @param nowMs the clock of the sweeps */
  constructor(sockets: PressingSockets, rules: PortRules, nowMs: number) {
    this.#sockets = sockets;
    this.#assignable = assignablePorts(rules);
    /** Each is a group and a port in it. */
    const odd: number[] = [];
    for (const socket of sockets.pressing()) {
      const port = socket.localPort;
      if (!isAssignable(rules, port)) continue;
      if (socket.state === 'LISTEN' || socket.state === 'CLOSED' || socket.direction === 'inbound') {
        this.#held.add(port);
        continue;
      }
      const group = this.#numberOf(socket);
      if (isReusable(socket, rules, nowMs)) {
        this.#count(group, WORD.reusable);
        continue;
      }
      this.#count(group, WORD.used);
      if (socket.state === 'TIME-WAIT') this.#count(group, WORD.timeWait);
      if ((port - rules.low) % 2 === 0) this.#count(group, WORD.even);
      else if (socket.bindAddressNoPort === false && socket.state !== 'TIME-WAIT')
        odd.push(group * PORTS + port);
    }
    for (const each of odd) {
      const group = Math.floor(each / PORTS);
      if (!this.#wasBound(group)) continue;
      this.#count(group, WORD.bound);
      this.#held.add(each % PORTS);
    }
  }

  used(group: number): number {
    return this.#get(group, WORD.used);
  }

  /** What a destination has itself is not taken from it. */
  usable(group: number): number {
    return Math.max(this.used(group), this.#assignable - this.#held.size + this.#get(group, WORD.bound));
  }

  source(group: number): string {
    return this.#sockets.endsOf(this.#get(group, WORD.row)).source;
  }

  use(group: number): PortUse {
    return {
      ...this.#sockets.endsOf(this.#get(group, WORD.row)),
      used: this.used(group),
      usable: this.usable(group),
      timeWait: this.#get(group, WORD.timeWait),
      reusable: this.#get(group, WORD.reusable),
      bound: this.#get(group, WORD.bound),
    };
  }

  #numberOf({ towards, row }: PressingSocket): number {
    const known = this.#numbers.get(towards);
    if (known !== undefined) return known;
    const group = this.size++;
    if (this.size * WORDS > this.#words.length) {
      const grown = new Uint32Array(2 * this.#words.length);
      grown.set(this.#words);
      this.#words = grown;
    }
    this.#words[group * WORDS + WORD.row] = row;
    this.#numbers.set(towards, group);
    return group;
  }

  #get(group: number, word: number): number {
    return this.#words[group * WORDS + word] as number;
  }

  #count(group: number, word: number): void {
    this.#words[group * WORDS + word] = this.#get(group, word) + 1;
  }

  /**
   * connect(2) takes ports at an even distance from the lowest one as long as it finds any, and bind(2) the others. So
   * while most of the even ones are free, a socket with another was bound, to a port of its choice or of the kernel's. Of
   * those bound with SO_REUSEADDR many may have even ones: these are not told.
   */
  #wasBound(group: number): boolean {
    return this.#get(group, WORD.even) < this.#assignable / 4;
  }
}

/**
 * The ports towards each destination, in no order.
 * @param sockets of one namespace
 * @param nowMs the clock of the sweeps
 */
export function portUses(sockets: PressingSockets, rules: PortRules, nowMs: number): PortUse[] {
  const groups = new PortGroups(sockets, rules, nowMs);
  return Array.from({ length: groups.size }, (_, group) => groups.use(group));
}

/** net/ipv4/tcp_ipv4.c, tcp_twsk_unique() */
function isReusable(socket: PressingSocket, rules: PortRules, nowMs: number): boolean {
  if (socket.state !== 'TIME-WAIT' || rules.twReuse === 0) return false;
  if (rules.twReuse === 2 && !socket.onLoopback) return false;
  return nowMs - socket.sinceMs > rules.twReuseDelayMs;
}
