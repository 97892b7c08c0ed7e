/**
 * Which addresses the engine reaches, and how: by the kernel's own routes, asked for each time. Asking for a way that
 * needs forwarding opens it, where that is allowed; so what no target needs is never changed.
 */

import type { Condition } from '#base/errors.ts';
import { conditionOf } from '#base/errors.ts';
import type { Family, IpAddress } from '../wire/address.ts';
import { addressKind, parseIpAddress } from '../wire/address.ts';
import { whyForwardingMayDrop } from './host-firewall.ts';
import type { Forwarding } from './host-forwarding.ts';
import type { HostLink } from './host-link.ts';
import type { HostTable } from './host-table.ts';
import type { Way } from './host-tun.ts';
import * as libc from './libc.ts';
import { NetlinkError, netlinkFailed } from './netlink-socket.ts';
import type { Prefix } from './prefix.ts';
import type { Routing } from './routing.ts';

export interface WaysParts {
  readonly routing: Routing;
  readonly device: string;
  readonly link: HostLink;
  /** Whether packets to ::1 can be sent by a raw socket. */
  readonly loopbackV6: boolean;
  readonly forwarding: Forwarding;
  readonly table: HostTable;
}

export interface Ways {
  way(address: string): Way;
  /** What may keep packets from passing although the way is there. */
  readonly conditions: readonly Condition[];
}

export function openWays(parts: WaysParts): Ways {
  const doubts = new Map<Family, Condition | undefined>();
  return {
    way(text) {
      const address = parseIpAddress(text);
      if (!address.ok) return none(notUnicast(text, address.reason));
      try {
        const way = wayTo(address.value, parts);
        const { family } = address.value;
        if (way.kind === 'forward' && !doubts.has(family))
          doubts.set(family, whyForwardingMayDrop(parts.device, family));
        return way;
      } catch (error) {
        const condition = conditionOf(error instanceof NetlinkError ? netlinkFailed(error) : error);
        return { kind: 'unknown', condition };
      }
    },
    get conditions() {
      return [...doubts.values()].filter((doubt) => doubt !== undefined);
    },
  };
}

function wayTo(address: IpAddress, parts: WaysParts): Way {
  const { routing, link, loopbackV6 } = parts;
  const kind = addressKind(address);
  if (kind === 'multicast' || kind === 'broadcast' || kind === 'unspecified')
    return none(notUnicast(address.text, `it is ${kind}`));
  const prefix = address.family === 4 ? link.v4 : link.v6;
  if (prefix === undefined)
    return none(link.conditions.find((c) => c.code === 'IPV6_OFF') ?? noIpv6(address));
  if (address.family === 6 && kind === 'loopback')
    return loopbackV6 ? { kind: 'local' } : none(loopbackV6Unreachable());

  const answer = routing.lookUp({ destination: address.bytes });
  if (!answer.ok) return none(noRoute(address, libc.errnoName(answer.errno)));
  const { type, oif } = answer.route;
  if (type === 'local') return asArriving(address, prefix, 'local', parts);
  if (type !== 'unicast' || oif === undefined)
    return none(notUnicast(address.text, `the route to it is of type ${type}`));
  if (oif === link.index) return none(ownPrefix(address, prefix));

  const out = routing.link(oif)?.name;
  if (out === undefined) return none(noRoute(address, 'the device it leaves by has just gone'));
  const blocked = parts.forwarding.ensure(address.family, out) ?? parts.table.masquerade();
  return blocked === undefined ? asArriving(address, prefix, 'forward', parts) : none(blocked);
}

/** Asks once more as for a packet that comes in by the device: rules and reverse path count then, too. */
function asArriving(address: IpAddress, prefix: Prefix, kind: 'local' | 'forward', parts: WaysParts): Way {
  const { device, link, routing } = parts;
  const arriving = { source: prefix.engine.bytes, iif: link.index };
  const answer = routing.lookUp({ destination: address.bytes, arriving });
  if (answer.ok) return { kind };
  if (addressKind(address) === 'loopback') return none(loopbackV4Unreachable(address, device));
  const why = `${libc.errnoName(answer.errno)} for packets that come in by ${device}`;
  return none(noRoute(address, why));
}

function none(condition: Condition): Way {
  return { kind: 'none', condition };
}

function notUnicast(address: string, why: string): Condition {
  return {
    code: 'TARGET_NOT_UNICAST',
    message: `${address} cannot be the target of a connection: ${why}`,
    hint: 'give the address of one machine',
  };
}

function noIpv6(address: IpAddress): Condition {
  return {
    code: 'IPV6_OFF',
    message: `${address.text} is IPv6, which the TUN device has not`,
    hint: 'switch IPv6 on',
  };
}

function noRoute(address: IpAddress, why: string): Condition {
  return {
    code: 'NO_ROUTE',
    message: `the kernel has no route to ${address.text}: ${why}`,
    hint: `look at \`ip route get ${address.text}\``,
  };
}

function ownPrefix(address: IpAddress, prefix: Prefix): Condition {
  return {
    code: 'TARGET_NOT_UNICAST',
    message: `${address.text} lies in ${prefix.text}, which is the engine's own`,
    hint: 'give the address of another machine, or one of this machine',
  };
}

function loopbackV4Unreachable(address: IpAddress, device: string): Condition {
  return {
    code: 'LOOPBACK_V4_UNREACHABLE',
    message: `the kernel does not let packets to ${address.text} in by ${device}`,
    hint: `\`sysctl -w net.ipv4.conf.${device}.route_localnet=1\``,
  };
}

function loopbackV6Unreachable(): Condition {
  return {
    code: 'LOOPBACK_V6_UNREACHABLE',
    message: 'packets to ::1 need a raw socket, which may not be opened',
    hint: 'grant the capability NET_RAW (Kubernetes: securityContext.capabilities.add: [NET_RAW])',
  };
}
