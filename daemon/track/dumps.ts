/** Reads of the kernel's tables, each through a netlink socket of its own that is closed again. */

import { NetlinkSocket } from '../kernel/netlink-socket.ts';
import { encodeFlowDump, NETLINK_NETFILTER } from '../netlink/ctnetlink.ts';
import { ALL_STATES, encodeDiagDump, NETLINK_SOCK_DIAG } from '../netlink/inet-diag.ts';
import { readingConntrack, readingSockets } from './refusals.ts';

/** Hands over the payload of each message of a dump, a view that lives until the next. */
export type OnPayload = (payload: Uint8Array) => void;

/**
 * Every TCP socket of this network namespace, of both families.
 * @throws FinwaitError SOCK_DIAG_DENIED, SOCK_DIAG_MISSING, NETLINK_FAILED
 */
export function dumpSockets(onSocket: OnPayload, states = ALL_STATES): void {
  readingSockets(() => {
    using socket = NetlinkSocket.open(NETLINK_SOCK_DIAG);
    for (const family of [4, 6] as const) {
      socket.request(
        (seq) => encodeDiagDump(seq, family, states),
        `dump the IPv${family} TCP sockets`,
        (message) => onSocket(message.payload),
      );
    }
  });
}

/**
 * Every flow of this network namespace, of every protocol.
 * @throws FinwaitError CONNTRACK_DENIED, CONNTRACK_MISSING, NETLINK_FAILED
 */
export function dumpFlows(onFlow: OnPayload): void {
  readingConntrack(() => {
    using socket = NetlinkSocket.open(NETLINK_NETFILTER);
    socket.request(encodeFlowDump, 'dump the conntrack flows', (message) => onFlow(message.payload));
  });
}
