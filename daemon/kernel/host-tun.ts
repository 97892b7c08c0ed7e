/**
 * The engine's place on this machine: a TUN device with an IPv4 and an IPv6 prefix, the ways from it to targets,
 * and everything on the host that these need. What it changes is listed in docs/host-changes.md, and taken back by
 * `dispose`; what a killed run left behind is taken back at the next start.
 */

import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import { openForwarding } from './host-forwarding.ts';
import type { DeviceState } from './host-guard.ts';
import { HostGuard } from './host-guard.ts';
import { cleanLeftovers, takeBackAll } from './host-leftovers.ts';
import type { HostLink } from './host-link.ts';
import { setUpLink } from './host-link.ts';
import { selfCheck } from './host-self-check.ts';
import { HostState } from './host-state.ts';
import { openHostTable } from './host-table.ts';
import { openWays } from './host-way.ts';
import * as libc from './libc.ts';
import { NetlinkError, netlinkFailed } from './netlink-socket.ts';
import { isToLoopbackV6, openRawV6 } from './raw-v6.ts';
import { Routing } from './routing.ts';
import { openTun } from './tun.ts';

/** Gone after a restart of the machine, as are the things it tells of. */
const HOST_STATE_DIR = '/run/finwait';

/** The conntrack mark of every flow that finwait's engine opens: "finw" in ASCII. */
export const FOOTPRINT_MARK = 0x66696e77;

export interface HostTunConfig {
  /** `finwait0`; when the name is taken the number is counted up, unless `deviceExact`. */
  readonly device: string;
  readonly deviceExact?: boolean;
  /** `198.18.77.0/29`: .1 is the host's, .2 the engine's. Default: a free one. */
  readonly prefixV4?: string;
  /** `fd66:696e:7761:6974::/64`: ::1 is the host's, ::2 the engine's. Default: a free one. */
  readonly prefixV6?: string;
  /** Bytes, 68 to 65535; below 1280 there is no IPv6. */
  readonly mtu: number;
  /** Whether the kernel's forwarding may be switched on where a target needs it and it is off. */
  readonly allowForwarding: boolean;
  /** Whether the engine's flows are marked in conntrack, so that the tracker can tell them from others. */
  readonly footprint: boolean;
  /** Whether an end in order leaves the nftables table to go with the process, where the kernel sees to that. */
  readonly tableUntilExit?: boolean;
  /** Directory for what must outlive a crash: what to take back. The same one at each start; '' is /run/finwait. */
  readonly stateDir: string;
}

/** Whether a packet of the engine reaches an address. */
export type Way =
  /** `local`: an address of this machine. `forward`: by the kernel's forwarding, masqueraded. */
  | { readonly kind: 'local' | 'forward' }
  /** `unknown`: the kernel could not be asked, which says nothing about the target. */
  | { readonly kind: 'none' | 'unknown'; readonly condition: Condition };

export interface HostTun extends Disposable {
  readonly fd: number;
  readonly device: string;
  readonly mtu: number;
  readonly engineV4: string;
  /** Undefined when the kernel has IPv6 switched off; a condition says so. */
  readonly engineV6: string | undefined;
  readonly hostV4: string;
  readonly hostV6: string | undefined;
  /** What is not as it should be; grows when a way turns out to be doubtful. */
  readonly conditions: readonly Condition[];
  /** Readable when `look` has something to look at. */
  readonly eventsFd: number;
  /**
   * Whether the device is as it was set up; if it is not, it is set right.
   * @throws FinwaitError TUN_LOST
   */
  look(): DeviceState;
  /**
   * Takes one packet.
   * @returns its length in bytes, 0 when none waits, -errno when the device has failed
   */
  read(into: Uint8Array): number;
  /**
   * Sends one packet; one to ::1 goes by a raw socket.
   * @returns bytes sent, or -errno: EAGAIN and ENOBUFS when the kernel has no room now
   */
  write(packet: Uint8Array): number;
  /**
   * Whether the engine can reach an address, as the kernel's routes and settings are now. Where that needs forwarding,
   * and it is on or may be switched on, this opens the way.
   */
  way(address: string): Way;
  /** To be called before an end in order: does what `tableUntilExit` says. */
  leaveTable(): void;
  /** Packets the kernel dropped at the device since the start, because a queue was full or they made no sense to it. */
  dropped(): { readonly toEngine: number; readonly fromEngine: number };
  /** Totals since the start, by name: what others did to the device, and what netlink sockets had to drop. */
  counters(): Record<string, number>;
}

/**
 * @throws FinwaitError TUN_MISSING, TUN_DENIED, TUN_BUSY, TUN_PREFIX_IN_USE, LINK_SETUP_FAILED, CONFIG_INVALID;
 * then nothing is left on the machine
 */
export function openHostTun(config: HostTunConfig): HostTun {
  checkConfig(config);
  const stateDir = config.stateDir || HOST_STATE_DIR;
  using undo = new DisposableStack();
  const routing = openRouting(undo);
  const conditions = cleanLeftovers(stateDir, routing);
  const { fd, name: device, number } = openTun(config.device, config.deviceExact === true);
  undo.defer(() => libc.close(fd));
  const link = setUpLink(routing, { fd, name: device, number }, config);
  const rawV6 = undo.use(link.v6 === undefined ? undefined : openRawV6());

  const read = (into: Uint8Array) => {
    const length = libc.read(fd, into);
    return length === -libc.EAGAIN || length === -libc.EINTR ? 0 : length;
  };
  const write = (packet: Uint8Array) =>
    rawV6 !== undefined && isToLoopbackV6(packet) ? rawV6.send(packet) : libc.write(fd, packet);
  const loopbackV6 = rawV6 !== undefined;
  conditions.push(...link.conditions, ...selfCheck({ fd, device, link, loopbackV6, read, write }));

  const state = openState(undo, stateDir, device, routing);
  const table = undo.use(
    openHostTable({
      device,
      link,
      outlives: (name) => state().record({ kind: 'table', name }),
      counters: routing.counters,
    }),
  );
  if (config.footprint) conditions.push(...[table.mark(FOOTPRINT_MARK)].filter((c) => c !== undefined));
  const allow = config.allowForwarding;
  const forwarding = openForwarding({ routing, device, allow, stateDir, state });
  const ways = openWays({ routing, device, link, loopbackV6, forwarding, table });

  const guard = openGuard(undo, routing, link);

  const kept = undo.move();
  return {
    fd,
    device,
    mtu: config.mtu,
    engineV4: link.v4.engine.text,
    engineV6: link.v6?.engine.text,
    hostV4: link.v4.host.text,
    hostV6: link.v6?.host.text,
    get conditions() {
      const changed = guard.condition(performance.now());
      return [...conditions, ...(changed === undefined ? [] : [changed]), ...ways.conditions];
    },
    eventsFd: guard.fd,
    look: () => guard.look(performance.now()),
    read,
    write,
    way: ways.way,
    leaveTable() {
      if (config.tableUntilExit === true) table.leave();
    },
    dropped() {
      const stats = routing.link(link.index);
      return { toEngine: stats?.txDropped ?? 0, fromEngine: stats?.rxDropped ?? 0 };
    },
    counters: () => ({ ...guard.counters, ...netlinkCounters(routing, guard) }),
    [Symbol.dispose]: () => kept.dispose(),
  };
}

/** The file of this run, made when there is something to write down, and removed when all is taken back. */
function openState(undo: DisposableStack, dir: string, device: string, routing: Routing): () => HostState {
  let state: HostState | undefined;
  undo.defer(() => {
    if (state !== undefined) takeBackAll(state, routing);
  });
  return () => {
    state ??= HostState.create(dir, device);
    return state;
  };
}

function openRouting(undo: DisposableStack): Routing {
  try {
    return undo.use(new Routing());
  } catch (error) {
    throw error instanceof NetlinkError ? netlinkFailed(error) : error;
  }
}

function openGuard(undo: DisposableStack, routing: Routing, link: HostLink): HostGuard {
  try {
    return undo.use(new HostGuard(routing, link));
  } catch (error) {
    throw error instanceof NetlinkError ? netlinkFailed(error) : error;
  }
}

function netlinkCounters({ counters }: Routing, { eventCounters }: HostGuard): Record<string, number> {
  return {
    netlink_foreign_sender: counters.foreignSender + eventCounters.foreignSender,
    netlink_foreign_sequence: counters.foreignSequence,
    netlink_truncated: counters.truncated,
    netlink_undecodable: counters.undecodable + eventCounters.undecodable,
    netlink_unanswered: counters.unanswered,
  };
}

function checkConfig({ device, mtu }: HostTunConfig): void {
  if (!/^[A-Za-z0-9_-]{1,15}$/.test(device))
    throw new FinwaitError(
      'CONFIG_INVALID',
      `a device cannot be named ${JSON.stringify(device)}`,
      'use 1 to 15 letters, digits, `-` or `_`',
    );
  if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65535)
    throw new FinwaitError(
      'CONFIG_INVALID',
      `an MTU cannot be ${mtu}`,
      'use 68 to 65535 bytes; 1500 is usual',
    );
}
