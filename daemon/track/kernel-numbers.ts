/** Single numbers of /proc/sys, as this thread's network namespace has them. They need no capability. */

import { FinwaitError } from '#base/errors.ts';
import { readSetting } from '../kernel/sysctl.ts';

/** How full conntrack is. */
export interface ConntrackFill {
  readonly count: number;
  /** 0: there is no bound. */
  readonly max: number;
}

/**
 * What conntrack holds, without walking it.
 * @throws FinwaitError CONNTRACK_MISSING
 */
export function readConntrackFill(): ConntrackFill {
  const count = readNumber('net/netfilter/nf_conntrack_count');
  const max = readNumber('net/netfilter/nf_conntrack_max');
  if (count !== undefined && max !== undefined) return { count, max };
  throw new FinwaitError(
    'CONNTRACK_MISSING',
    'conntrack is not loaded: there is no /proc/sys/net/netfilter/nf_conntrack_count',
    'load the modules: modprobe nf_conntrack nf_conntrack_netlink',
  );
}

/** What conntrack is set to keep and to tell; undefined where this kernel cannot. */
export interface ConntrackSettings {
  /** 0: no events; 1: of every flow; 2: of flows that begin while somebody listens. */
  readonly events: number | undefined;
  readonly accounting: number | undefined;
  readonly timestamps: number | undefined;
}

export function readConntrackSettings(): ConntrackSettings {
  return {
    events: readNumber('net/netfilter/nf_conntrack_events'),
    accounting: readNumber('net/netfilter/nf_conntrack_acct'),
    timestamps: readNumber('net/netfilter/nf_conntrack_timestamp'),
  };
}

/** Lowest of the ports that the kernel gives to connecting sockets. */
export function readEphemeralFrom(): number {
  return readNumber('net/ipv4/ip_local_port_range') ?? 32_768;
}

/** The first number of a setting, or undefined when this kernel does not have it. */
export function readNumber(path: string): number | undefined {
  const number = Number.parseInt(readSetting(`/proc/sys/${path}`) ?? '', 10);
  return Number.isNaN(number) ? undefined : number;
}
