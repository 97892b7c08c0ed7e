/**
 * The kernel's flow table: the request for a dump, and a flow as a value. Who reads flows by the hundred thousand
 * takes flow-record.ts.
 * linux/netfilter/nfnetlink_conntrack.h
 */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { ConntrackTcpState } from './ctnetlink-attributes.ts';
import {
  CONNTRACK_TCP_STATES,
  IPCTNL,
  NFGENMSG_BYTES,
  NFNL_SUBSYS_CTNETLINK,
} from './ctnetlink-attributes.ts';
import type { TupleRecord } from './flow-record.ts';
import { FlowRecord } from './flow-record.ts';
import { encodeMessage, NLM_F_DUMP, NLM_F_REQUEST, viewOf } from './message.ts';

export type { ConntrackTcpState } from './ctnetlink-attributes.ts';
export {
  CONNTRACK_TCP_STATES,
  IPPROTO_TCP,
  NETLINK_NETFILTER,
  STATUS,
  TCP_FLAG_CLOSE_INIT,
} from './ctnetlink-attributes.ts';

/** One direction of a flow: the addresses and ports its packets carry. Bytes are views of the message. */
export interface FlowTuple {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Set where the zone holds for this direction only. */
  readonly zone: number;
}

export interface FlowTcp {
  readonly state: ConntrackTcpState;
  /** `IP_CT_TCP_FLAG_*` of each direction's sender. */
  readonly originalFlags: number;
  readonly replyFlags: number;
}

export interface FlowCounters {
  readonly packets: number;
  readonly bytes: number;
}

export interface ConntrackFlow {
  readonly original: FlowTuple;
  /** What the answers carry: the original with its ends exchanged, unless NAT changes it. */
  readonly reply: FlowTuple;
  readonly status: number;
  /** Of both directions. */
  readonly zone: number;
  readonly mark: number;
  /** Time left until the kernel forgets the flow unless a packet comes. */
  readonly timeoutS: number;
  /** A hash: flows of one table may share it. */
  readonly id: number;
  /** Only of flows with TCP. */
  readonly tcp?: FlowTcp;
  /** Only when net.netfilter.nf_conntrack_acct was 1 as the flow began. */
  readonly counters?: { readonly original: FlowCounters; readonly reply: FlowCounters };
  /** Unix time in milliseconds; only when net.netfilter.nf_conntrack_timestamp was 1 as the flow began. */
  readonly startMs?: number;
}

/** Asks for every flow of both families. The kernel walks the whole table of the machine for it. */
export function encodeFlowDump(seq: number): Uint8Array {
  const nfgenmsg = new Uint8Array(NFGENMSG_BYTES); // AF_UNSPEC, NFNETLINK_V0, resource 0
  return encodeMessage((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL.get, NLM_F_REQUEST | NLM_F_DUMP, seq, nfgenmsg);
}

/** What is read with it is copied before the next reading. */
const REUSED = new FlowRecord();

/** One flow of a dump. */
export function decodeFlow(payload: Uint8Array): Decoded<ConntrackFlow> {
  const record = REUSED;
  const fault = record.read(viewOf(payload), 0, payload.length);
  if (fault !== undefined) return undecodable(fault);
  const state = CONNTRACK_TCP_STATES[record.tcpState];
  const { originalFlags, replyFlags, originalCounters, replyCounters, startMs } = record;
  return decoded({
    original: tuple(record.original, payload, record.addressBytes),
    reply: tuple(record.reply, payload, record.addressBytes),
    status: record.status,
    zone: record.zone,
    mark: record.mark,
    timeoutS: record.timeoutS,
    id: record.id,
    ...(state === undefined ? {} : { tcp: { state, originalFlags, replyFlags } }),
    ...(originalCounters.present && replyCounters.present
      ? { counters: { original: countersOf(originalCounters), reply: countersOf(replyCounters) } }
      : {}),
    ...(startMs === 0 ? {} : { startMs }),
  });
}

function countersOf({ packets, bytes }: FlowCounters): FlowCounters {
  return { packets, bytes };
}

function tuple(record: TupleRecord, payload: Uint8Array, addressBytes: number): FlowTuple {
  const { sourceAt, destinationAt, protocol, sourcePort, destinationPort, zone } = record;
  return {
    source: payload.subarray(sourceAt, sourceAt + addressBytes),
    destination: payload.subarray(destinationAt, destinationAt + addressBytes),
    protocol,
    sourcePort,
    destinationPort,
    zone,
  };
}
