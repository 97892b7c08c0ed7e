/** What the kernel tells of its own accord about links, addresses and routes. linux/rtnetlink.h */

import type { NetlinkMessage } from './message.ts';
import { viewOf } from './message.ts';
import {
  decodeRoute,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWROUTE,
} from './rtnetlink.ts';

/** `nl_groups` of a socket that is told of every change: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE. */
export const LINK_CHANGES = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/** Whether a message tells of a link, one of its addresses, or a route that leaves by it. */
export function concernsLink({ type, payload }: NetlinkMessage, index: number): boolean {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
    case RTM_NEWADDR:
    case RTM_DELADDR:
      // `struct ifinfomsg` and `struct ifaddrmsg` hold the index at the same place.
      return payload.length >= 8 && viewOf(payload).getInt32(4, true) === index;
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(payload);
      return route.ok && route.value.oif === index;
    }
    default:
      return false;
  }
}
