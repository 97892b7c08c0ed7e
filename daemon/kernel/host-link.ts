/** The device's place in this network namespace: its settings, its addresses and, by them, its routes. */

import { existsSync } from 'node:fs';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import type { IpAddress } from '../wire/address.ts';
import * as libc from './libc.ts';
import { NetlinkError } from './netlink-socket.ts';
import type { Prefix } from './prefix.ts';
import { candidatePrefixes, choosePrefix, overlaps } from './prefix.ts';
import type { Routing } from './routing.ts';
import { ipv6Setting, readSetting, writeSetting } from './sysctl.ts';
import type { TunDevice } from './tun.ts';

const ADDRESS_READY_MS = 2_000;
/** What comes while the engine is busy elsewhere (a collection of garbage, say) waits: 20 ms of 200,000 packets a second. */
const QUEUE_LENGTH = 4096;
/** RFC 8200 section 5: IPv6 needs it of every link. */
const IPV6_LEAST_MTU = 1280;

export interface LinkConfig {
  readonly mtu: number;
  readonly prefixV4?: string;
  readonly prefixV6?: string;
}

/** What the device has when all is in order. */
export interface PlacedLink {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly v4: Prefix;
  /** Absent when the kernel has IPv6 switched off; a condition says so. */
  readonly v6: Prefix | undefined;
}

export interface HostLink extends PlacedLink {
  readonly conditions: readonly Condition[];
}

/**
 * Gives the device its addresses and brings it up. What fails leaves nothing: the device goes with its descriptor.
 * @throws FinwaitError TUN_PREFIX_IN_USE, TUN_DENIED, LINK_SETUP_FAILED
 */
export function setUpLink(routing: Routing, device: TunDevice, config: LinkConfig): HostLink {
  try {
    const links = routing.links();
    const index = links.find((link) => link.name === device.name)?.index;
    if (index === undefined) throw new Error(`the kernel does not list ${device.name}, which it just made`);
    const deviceName = (i: number) => links.find((link) => link.index === i)?.name ?? `of index ${i}`;

    const v6Off = whyNoIpv6(device.name, config.mtu);
    const candidatesV4 = candidatePrefixes(config.prefixV4, 4, device.number);
    const candidatesV6 = candidatePrefixes(config.prefixV6, 6, device.number);
    const candidates = [...candidatesV4, ...candidatesV6];
    const routes = routing.routes((route) => candidates.some((prefix) => overlaps(prefix, route)));
    const v4 = choosePrefix(candidatesV4, routes, deviceName);
    const v6 = v6Off ? undefined : choosePrefix(candidatesV6, routes, deviceName);

    const placed = { index, name: device.name, mtu: config.mtu, v4, v6 };
    placeLink(routing, placed);
    return { ...placed, conditions: v6Off ? [v6Off] : [] };
  } catch (error) {
    throw error instanceof NetlinkError ? setUpError(error) : error;
  }
}

/**
 * Gives the device what it is to have, whatever it has of that already.
 * @throws NetlinkError
 */
export function placeLink(routing: Routing, { index, name, mtu, v4, v6 }: PlacedLink): void {
  // A device with too small an MTU for IPv6 has no settings of IPv6; one that is up makes itself a link-local address
  // as soon as it has.
  routing.changeLink({ index, up: false }, `set ${name} down`);
  routing.changeLink({ index, mtu, queueLength: QUEUE_LENGTH }, `set the MTU and the queue of ${name}`);
  // route_localnet: packets to 127.0.0.0/8 that come in by this device, which is ours alone, are let in.
  routing.changeLink(
    { index, ipv4: { route_localnet: 1 }, withoutLinkLocal: v6 !== undefined },
    `set the settings of ${name}`,
  );
  for (const { host, length } of v6 === undefined ? [v4] : [v4, v6]) {
    // An address whose route was taken away gets it back only by being added again.
    routing.removeAddress(index, host.bytes, length, `remove the address ${host.text} from ${name}`);
    routing.addAddress(index, host.bytes, length, `add the address ${host.text}/${length} to ${name}`);
  }
  routing.changeLink({ index, up: true }, `bring ${name} up`);
  if (v6 !== undefined) awaitLocal(routing, v6.host);
}

/** Why the device will have no IPv6, if so; switches it on for the device where only the default is off. */
function whyNoIpv6(device: string, mtu: number): Condition | undefined {
  const off = (message: string, hint: string): Condition => ({ code: 'IPV6_OFF', message, hint });
  if (mtu < IPV6_LEAST_MTU)
    return off(`IPv6 needs an MTU of ${IPV6_LEAST_MTU}, ${device} has ${mtu}`, 'set a larger --mtu');
  if (!existsSync('/proc/sys/net/ipv6'))
    return off('this kernel runs without IPv6', 'boot without ipv6.disable=1 to probe IPv6 targets');
  if (readSetting(ipv6Setting('all', 'disable_ipv6')) === '1')
    return off(
      'IPv6 is switched off on this machine (net.ipv6.conf.all.disable_ipv6)',
      '`sysctl net.ipv6.conf.all.disable_ipv6=0` and a restart of finwait, to probe IPv6 targets',
    );
  const own = ipv6Setting(device, 'disable_ipv6');
  if (readSetting(own) !== '1' || writeSetting(own, '0')) return undefined;
  return off(
    'IPv6 is switched off for new devices (net.ipv6.conf.default.disable_ipv6), and /proc/sys is read-only here',
    '`sysctl net.ipv6.conf.default.disable_ipv6=0` and a restart of finwait, to probe IPv6 targets',
  );
}

/** The kernel makes an IPv6 address usable in a work queue of its own, shortly after it was added. */
function awaitLocal(routing: Routing, address: IpAddress): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; waitedMs < ADDRESS_READY_MS; waitedMs++) {
    const answer = routing.lookUp({ destination: address.bytes });
    if (answer.ok && answer.route.type === 'local') return;
    Atomics.wait(never, 0, 0, 1);
  }
  throw new NetlinkError(libc.EAGAIN, `use the address ${address.text}`);
}

function setUpError(error: NetlinkError): FinwaitError {
  const hint = 'finwait needs the capability NET_ADMIN over this network namespace';
  return new FinwaitError('LINK_SETUP_FAILED', error.message, hint, error);
}
