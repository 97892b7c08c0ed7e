/** Which addresses the engine reaches, and how: by the kernel's own routes, asked for each time. */

import type { Condition } from '#base/errors.ts';
import type { IpAddress } from '../wire/address.ts';
import { addressKind, parseIpAddress } from '../wire/address.ts';
import type { HostLink } from './host-link.ts';
import type { Way } from './host-tun.ts';
import * as libc from './libc.ts';
import type { Routing } from './routing.ts';

export interface WaysParts {
  readonly routing: Routing;
  readonly link: HostLink;
  /** Whether packets to ::1 can be sent by a raw socket. */
  readonly loopbackV6: boolean;
}

export interface Ways {
  way(address: string): Way;
}

export function openWays(parts: WaysParts): Ways {
  return {
    way(text) {
      const address = parseIpAddress(text);
      if (!address.ok) return none(notUnicast(text, address.reason));
      return wayTo(address.value, parts);
    },
  };
}

function wayTo(address: IpAddress, { routing, link, loopbackV6 }: WaysParts): Way {
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
  const { type } = answer.route;
  if (type === 'local') return { kind: 'local' };
  if (type !== 'unicast') return none(notUnicast(address.text, `the route to it is of type ${type}`));
  return none({
    code: 'FORWARDING_OFF',
    message: `${address.text} is not an address of this machine, and the kernel does not forward`,
    hint: 'start finwait with --allow-forwarding',
  });
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

function loopbackV6Unreachable(): Condition {
  return {
    code: 'LOOPBACK_V6_UNREACHABLE',
    message: 'packets to ::1 need a raw socket, which may not be opened',
    hint: 'grant the capability NET_RAW',
  };
}
