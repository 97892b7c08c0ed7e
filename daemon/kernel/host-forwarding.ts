/**
 * The kernel's forwarding between the TUN device and another: used where it is on; where it is off and finwait may,
 * as little as is enough is switched on, written down first, and taken back at the end.
 * Linux: Documentation/networking/ip-sysctl.rst
 */

import { existsSync } from 'node:fs';
import type { Condition } from '#base/errors.ts';
import { conditionOf, FinwaitError } from '#base/errors.ts';
import type { Family } from '../wire/address.ts';
import type { HostState, RunState } from './host-state.ts';
import { withRuns } from './host-state.ts';
import type { Routing } from './routing.ts';
import { applySetting, ipv4Setting, ipv6Setting, readSetting } from './sysctl.ts';

/** `rtm_protocol` of routes learned from router advertisements. */
const RTPROT_RA = 9;

export interface ForwardingParts {
  readonly routing: Routing;
  /** Name of the TUN device. */
  readonly device: string;
  readonly allow: boolean;
  readonly stateDir: string;
  /** The file that remembers former values; opened when the first is needed. Throws FinwaitError. */
  readonly state: () => HostState;
  /** Whether IPv6 can be forwarded between two devices alone (Linux 6.17). Default: as the kernel has it. */
  readonly forceForwarding?: boolean;
}

export interface Forwarding {
  /** Sees to it that packets pass between the TUN device and `out`, both ways. @returns why they do not */
  ensure(family: Family, out: string): Condition | undefined;
}

export function openForwarding(parts: ForwardingParts): Forwarding {
  /** Settings that are on, and that no other run of finwait has to take back without us. */
  const settled = new Set<string>();
  return {
    ensure(family, out) {
      const needed = settingsNeeded(parts, family, out);
      const ofHost = needed.filter((path) => !isOwn(path, parts.device));
      const off = needed.filter((path) => readSetting(path) !== '1');
      const offOfHost = ofHost.filter((path) => off.includes(path));
      if (offOfHost.length > 0 && !parts.allow) return forwardingOff(family, offOfHost);
      try {
        for (const path of ofHost) {
          if (offOfHost.includes(path)) writeDown(parts, path);
          else if (!settled.has(path)) joinOthers(parts, path);
          settled.add(path);
        }
        return switchOn(parts, off);
      } catch (error) {
        return conditionOf(error);
      }
    },
  };
}

const ALL_V6 = ipv6Setting('all', 'forwarding');

/** The settings that together let packets pass. A device's own are enough, so those of all devices stay as they are. */
function settingsNeeded(parts: ForwardingParts, family: Family, out: string): string[] {
  if (family === 4) return [parts.device, out].map((name) => ipv4Setting(name, 'forwarding'));
  if (readSetting(ALL_V6) === '1') return [ALL_V6];
  const own = ipv6Setting(parts.device, 'force_forwarding');
  const perDevice = parts.forceForwarding ?? existsSync(own);
  return perDevice ? [own, ipv6Setting(out, 'force_forwarding')] : [ALL_V6];
}

function isOwn(path: string, device: string): boolean {
  return path.includes(`/conf/${device}/`);
}

function writeDown({ state, routing }: ForwardingParts, path: string): void {
  if (path === ALL_V6) refuseToLoseRoutes(routing);
  const known = state().changes.some((change) => change.kind === 'setting' && change.path === path);
  if (!known) state().record({ kind: 'setting', path, was: '0', set: '1' });
}

/** A setting that another living run has switched on becomes ours, too: whoever ends last takes it back. */
function joinOthers({ state, stateDir }: ForwardingParts, path: string): void {
  const others = (runs: readonly RunState[]) =>
    runs.some(
      (run) => run.alive && run.changes.some((change) => change.kind === 'setting' && change.path === path),
    );
  let shared = false;
  withRuns(stateDir, (runs) => {
    shared = others(runs);
  });
  if (!shared) return;
  const own = state();
  own.withOthers((runs) => {
    if (others(runs)) own.record({ kind: 'setting', path, was: '0', set: '1' });
  });
}

function switchOn({ routing }: ForwardingParts, off: readonly string[]): Condition | undefined {
  const failed = off.find((path) => !applySetting(path, '1', routing));
  if (failed === undefined) return undefined;
  return {
    code: 'FORWARDING_OFF',
    message: `${sysctlName(failed)} cannot be set: /proc/sys is read-only here`,
    hint: `set it on the machine: ${sysctlCommand(off)}`,
  };
}

/** IPv6 forwarding on all devices makes the kernel forget the default routes that routers have advertised. */
function refuseToLoseRoutes(routing: Routing): void {
  const links = routing.links();
  const advertised = routing.routes(
    (route) => route.family === 6 && route.prefixLength === 0 && route.protocol === RTPROT_RA,
  );
  for (const route of advertised) {
    const name = links.find((link) => link.index === route.oif)?.name ?? '';
    if (readSetting(ipv6Setting(name, 'accept_ra')) === '2') continue;
    throw new FinwaitError(
      'FORWARDING_OFF',
      `IPv6 forwarding would make this machine lose its default route by ${name}, which a router advertised`,
      `first \`sysctl -w ${sysctlName(ipv6Setting(name, 'accept_ra'))}=2\`, which keeps it; then restart finwait`,
    );
  }
}

function forwardingOff(family: Family, missing: readonly string[]): Condition {
  return {
    code: 'FORWARDING_OFF',
    message: `the kernel does not forward IPv${family} here, so the target is out of the engine's reach`,
    hint: `start finwait with --allow-forwarding, which takes it back at the end, or ${sysctlCommand(missing)}`,
  };
}

function sysctlCommand(paths: readonly string[]): string {
  return `\`sysctl -w ${paths.map((path) => `${sysctlName(path)}=1`).join(' ')}\``;
}

/** `net.ipv4.conf.eth0.forwarding`; sysctl takes slashes, too, which a device's name with a dot needs. */
function sysctlName(path: string): string {
  const name = path.slice('/proc/sys/'.length);
  return name.includes('.') ? name : name.replaceAll('/', '.');
}
