/** Which local ports the kernel of a network namespace gives to connecting sockets. Documentation/networking/ip-sysctl.rst */

import type { NamespaceSettings } from '#contract';

export interface PortRules {
  /** net.ipv4.ip_local_port_range, both ends included. */
  readonly low: number;
  readonly high: number;
  /** net.ipv4.ip_local_reserved_ports, both ends included. */
  readonly reserved: readonly { readonly from: number; readonly to: number }[];
  /** net.ipv4.tcp_tw_reuse: 0 never, 1 always, 2 on loopback. Never without net.ipv4.tcp_timestamps. */
  readonly twReuse: number;
  /** How long a socket must have been in TIME-WAIT. Before Linux 6.14 it cannot be set. */
  readonly twReuseDelayMs: number;
}

/** With the kernel's defaults for what cannot be read. */
export function portRulesOf(settings: NamespaceSettings): PortRules {
  const {
    portRange = { from: 32_768, to: 60_999 },
    reservedPorts = [],
    twReuse = 2,
    timestamps = 1,
  } = settings;
  return {
    low: portRange.from,
    high: portRange.to,
    reserved: reservedPorts,
    twReuse: timestamps === 0 ? 0 : twReuse,
    twReuseDelayMs: settings.twReuseDelayMs ?? 1_000,
  };
}

/** Whether the kernel may give a port to a connecting socket. */
export function isAssignable({ low, high, reserved }: PortRules, port: number): boolean {
  return port >= low && port <= high && !reserved.some(({ from, to }) => port >= from && port <= to);
}

/** How many ports it may give for one destination: of a range of an odd number of ports it leaves one out. */
export function assignablePorts(rules: PortRules): number {
  const size = rules.high - rules.low + 1;
  const searched = size > 1 ? size - (size % 2) : size;
  const last = rules.low + searched - 1;
  let count = searched;
  let next = rules.low;
  for (const { from, to } of rules.reserved.toSorted((a, b) => a.from - b.from)) {
    const taken = Math.min(to, last) - Math.max(from, next) + 1;
    if (taken <= 0) continue;
    count -= taken;
    next = to + 1;
  }
  return count;
}
