/**
 * How near the connections of a network namespace are to having no local port left, for each source address and
 * destination: a connection is known by both ends, so each destination has the range of ports to itself, except for
 * the ports that a socket was bound to before it connected. net/ipv4/inet_hashtables.c, __inet_hash_connect()
 */

import type { Endpoint, Holder, PortUse as ReportedPortUse, TcpStateName } from '#contract';
import type { PortRules } from './port-rules.ts';
import { assignablePorts, isAssignable } from './port-rules.ts';

/** What counts of a socket. */
export interface PressingSocket {
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly state: TcpStateName;
  /** When it came into its state, on the clock of the sweeps. */
  readonly sinceMs: number;
  readonly direction: Holder['direction'];
  /** IP_BIND_ADDRESS_NO_PORT; undefined where the kernel does not tell, as of what has no full socket. */
  readonly bindAddressNoPort?: boolean | undefined;
}

/** The ports towards one destination, as of one look. */
export type PortUse = Omit<ReportedPortUse, 'pod' | 'perMinute' | 'exhaustedInMs'>;

/** The same with what it is counted by. */
export interface PortGroup extends PortUse {
  used: number;
  usable: number;
  timeWait: number;
  reusable: number;
  bound: number;
  /** Of those used: at an even distance from the lowest port of the range. */
  even: number;
}

interface Odd {
  readonly group: PortGroup;
  readonly port: number;
}

/**
 * The ports towards each destination, in no order.
 * @param sockets of one namespace
 * @param nowMs the clock of the sweeps
 */
export function portUses(sockets: Iterable<PressingSocket>, rules: PortRules, nowMs: number): PortUse[] {
  return Array.from(portGroups(sockets, rules, nowMs), useOf);
}

export function useOf({ even: _, ...use }: PortGroup): PortUse {
  return use;
}

/** The same without a copy of each: there may be as many as sockets. */
export function* portGroups(
  sockets: Iterable<PressingSocket>,
  rules: PortRules,
  nowMs: number,
): Generator<PortGroup> {
  const groups = new Map<string, Map<string, PortGroup>>();
  /** Ports of the range that no connection is given: somebody was bound to them. */
  const held = new Set<number>();
  const odd: Odd[] = [];
  for (const socket of sockets) {
    const { port } = socket.local;
    if (!isAssignable(rules, port)) continue;
    if (socket.state === 'LISTEN' || socket.state === 'CLOSED' || socket.direction === 'inbound') {
      held.add(port);
      continue;
    }
    const group = groupOf(groups, socket);
    if (isReusable(socket, rules, nowMs)) {
      group.reusable++;
      continue;
    }
    group.used++;
    if (socket.state === 'TIME-WAIT') group.timeWait++;
    if ((port - rules.low) % 2 === 0) group.even++;
    else if (socket.bindAddressNoPort === false && socket.state !== 'TIME-WAIT') odd.push({ group, port });
  }
  const assignable = assignablePorts(rules);
  for (const { group, port } of odd) {
    if (!wasBound(group, assignable)) continue;
    group.bound++;
    held.add(port);
  }
  for (const ofSource of groups.values()) {
    for (const group of ofSource.values()) {
      // What it has itself is not taken from it.
      group.usable = Math.max(group.used, assignable - held.size + group.bound);
      yield group;
    }
  }
}

/**
 * connect(2) takes ports at an even distance from the lowest one as long as it finds any, and bind(2) the others. So
 * while most of the even ones are free, a socket with another was bound, to a port of its choice or of the kernel's. Of
 * those bound with SO_REUSEADDR many may have even ones: these are not told.
 */
function wasBound(group: PortGroup, assignable: number): boolean {
  return group.even < assignable / 4;
}

function groupOf(groups: Map<string, Map<string, PortGroup>>, { local, peer }: PressingSocket): PortGroup {
  const source = local.address;
  let ofSource = groups.get(source);
  if (ofSource === undefined) {
    ofSource = new Map();
    groups.set(source, ofSource);
  }
  const key = `${peer.port} ${peer.address}`;
  let group = ofSource.get(key);
  if (group === undefined) {
    const none = { used: 0, usable: 0, timeWait: 0, reusable: 0, bound: 0, even: 0 };
    group = { source, destination: peer, ...none };
    ofSource.set(key, group);
  }
  return group;
}

/** net/ipv4/tcp_ipv4.c, tcp_twsk_unique() */
function isReusable(
  { state, local, peer, sinceMs }: PressingSocket,
  rules: PortRules,
  nowMs: number,
): boolean {
  if (state !== 'TIME-WAIT' || rules.twReuse === 0) return false;
  if (rules.twReuse === 2 && !isLoopback(local.address) && !isLoopback(peer.address)) return false;
  return nowMs - sinceMs > rules.twReuseDelayMs;
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}
