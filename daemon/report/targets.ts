/** What the engine is to probe: what the operator assigns and, when asked for, what listens on this machine. Pure. */

import { hostPortText } from '#base/host-port.ts';
import type { Assignment, Listener, ProbeLimits, ProbeTarget } from '#contract';
import { CONTRACT_LIMITS } from '#contract';

/** The host's addresses on the TUN device: what a packet of the engine reaches this machine by. */
export interface HostAddresses {
  readonly hostV4: string;
  /** Undefined when the device has no IPv6. */
  readonly hostV6: string | undefined;
}

/** How what listens on this machine is probed. */
export interface ListenerPlan {
  readonly intervalMs: number;
  readonly limits: ProbeLimits;
}

export interface TargetPlan {
  readonly targets: readonly ProbeTarget[];
  /** Targets left out because there are too many. */
  readonly folded: number;
}

/** Assigned targets come first; of what listens, the lowest ports. Programs of finwait are left out. */
export function planTargets(
  assignment: Assignment | undefined,
  listeners: readonly Listener[],
  host: HostAddresses,
  plan: ListenerPlan,
): TargetPlan {
  const byName = new Map<string, ProbeTarget>();
  // Whatever the operator calls it, what it asks for is bound by the agent's policy.
  for (const target of assignment?.targets ?? []) byName.set(target.name, { ...target, origin: 'user' });
  for (const listener of listeners.toSorted(byPort)) {
    // Another finwait of this machine: probing it would only watch the watcher.
    if (listener.process?.name.startsWith('finwait')) continue;
    const target = listenerTarget(listener, host, plan);
    if (target !== undefined && !byName.has(target.name)) byName.set(target.name, target);
  }
  const targets = [...byName.values()];
  return {
    targets: targets.slice(0, CONTRACT_LIMITS.targets),
    folded: Math.max(0, targets.length - CONTRACT_LIMITS.targets),
  };
}

function byPort(a: Listener, b: Listener): number {
  return a.local.port - b.local.port || a.family - b.family || (a.local.address < b.local.address ? -1 : 1);
}

/**
 * The target is named as it listens (`0.0.0.0:22`, as `ss` shows it) and probed where that can be reached: what
 * listens on every address is asked on the host's address of the TUN device, which packets reach as they would
 * any other address of the host. A link-local address means nothing without its link, so it is left out.
 */
function listenerTarget(
  { local }: Listener,
  host: HostAddresses,
  { intervalMs, limits }: ListenerPlan,
): ProbeTarget | undefined {
  const address = reachable(local.address, host);
  if (address === undefined) return undefined;
  const name = hostPortText(local.address, local.port);
  return {
    name,
    host: address,
    port: local.port,
    origin: 'listener',
    intervalMs,
    limits,
  };
}

function reachable(address: string, host: HostAddresses): string | undefined {
  if (address === '0.0.0.0') return host.hostV4;
  // Most that listen on :: take IPv4 as well (IPV6_V6ONLY is off), so without IPv6 they are asked over IPv4.
  if (address === '::') return host.hostV6 || host.hostV4;
  return /^fe[89ab]/i.test(address) ? undefined : address;
}
