/**
 * The numbers of ctnetlink: messages, attributes, states, flags.
 * linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_conntrack_common.h, nf_conntrack_tcp.h
 */

export const NETLINK_NETFILTER = 12;
export const NFNL_SUBSYS_CTNETLINK = 1;
export const NFGENMSG_BYTES = 4;

/** `NFNLGRP_CONNTRACK_NEW`, `_UPDATE`, `_DESTROY` */
export const CONNTRACK_EVENT_GROUPS = [1, 2, 3] as const;

/** `enum cntl_msg_types`; a new flow and a changed one come as NEW both. */
export const IPCTNL = { new: 0, get: 1, delete: 2, getStatsPerCpu: 4 } as const;

export const AF_INET = 2;
export const AF_INET6 = 10;
export const IPPROTO_TCP = 6;

/** `enum ctattr_type` */
export const CTA = {
  tupleOriginal: 1,
  tupleReply: 2,
  status: 3,
  protoInfo: 4,
  timeout: 7,
  mark: 8,
  countersOriginal: 9,
  countersReply: 10,
  id: 12,
  zone: 18,
  timestamp: 20,
} as const;

/** `enum ctattr_tuple` */
export const CTA_TUPLE = { ip: 1, proto: 2, zone: 3 } as const;
/** `enum ctattr_ip` */
export const CTA_IP = { v4Source: 1, v4Destination: 2, v6Source: 3, v6Destination: 4 } as const;
/** `enum ctattr_l4proto` */
export const CTA_PROTO = { number: 1, sourcePort: 2, destinationPort: 3 } as const;
/** `enum ctattr_protoinfo` */
export const CTA_PROTOINFO_TCP = 1;
/** `enum ctattr_protoinfo_tcp` */
export const CTA_TCP = { state: 1, flagsOriginal: 4, flagsReply: 5 } as const;
/** `enum ctattr_counters` */
export const CTA_COUNTERS = { packets: 1, bytes: 2 } as const;
/** `enum ctattr_tstamp` */
export const CTA_TIMESTAMP = { start: 1, stop: 2 } as const;

/** Bits of `status`. nf_conntrack_common.h */
export const STATUS = {
  seenReply: 1 << 1,
  assured: 1 << 2,
  sourceNat: 1 << 4,
  destinationNat: 1 << 5,
} as const;

/** `IP_CT_TCP_FLAG_CLOSE_INIT`: this side sent the first FIN. */
export const TCP_FLAG_CLOSE_INIT = 0x04;

/** conntrack's own names of TCP states by number; they are not a socket's states. nf_conntrack_tcp.h */
export const CONNTRACK_TCP_STATES = [
  'NONE',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
] as const;
export type ConntrackTcpState = (typeof CONNTRACK_TCP_STATES)[number];
