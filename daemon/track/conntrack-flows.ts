/** The flows of conntrack with TCP as values for people: addresses as text, what NAT does, how long they are idle. */

import type { Endpoint, Family } from '#contract';
import type { ConntrackFlow, ConntrackTcpState, FlowCounters } from '../netlink/ctnetlink.ts';
import { decodeFlow, IPPROTO_TCP, STATUS, TCP_FLAG_CLOSE_INIT } from '../netlink/ctnetlink.ts';
import { ipFromBytes } from '../wire/address.ts';
import { sameBytes } from '../wire/bytes.ts';
import type { OnPayload } from './dumps.ts';
import { readNumber } from './kernel-numbers.ts';

export interface Flow {
  readonly family: Family;
  /** Null where the kernel does not tell it: of flows that are offloaded, and in some events. */
  readonly state: ConntrackTcpState | null;
  /** Who opened the connection, and towards whom, as its first packet said. */
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** Where NAT sends it instead, and where answers go to; null when it changes nothing. */
  readonly natDestination: Endpoint | null;
  readonly natSource: Endpoint | null;
  readonly mark: number;
  /** In which the flow has its name: of the original direction. */
  readonly zone: number;
  /** Whether any answer was seen, and whether the flow is kept when the table is full. */
  readonly replied: boolean;
  readonly assured: boolean;
  /** Who sent the first FIN. */
  readonly closedFirst: 'source' | 'destination' | null;
  /** Time left until the kernel forgets the flow unless a packet comes; null of flows that are offloaded. */
  readonly timeoutMs: number | null;
  /** Time since the last packet, where the time left tells it; at least, within a second. */
  readonly idleMs: number | null;
  /** Only with net.netfilter.nf_conntrack_acct=1. */
  readonly sent: FlowCounters | null;
  readonly received: FlowCounters | null;
  /** Time since the first packet. Only with net.netfilter.nf_conntrack_timestamp=1. */
  readonly ageMs: number | null;
}

/** What a dump held beside flows of TCP. */
export interface NotFlows {
  /** Flows of other protocols. */
  readonly others: number;
  readonly undecodable: number;
}

/**
 * Shows every TCP flow of a dump; none is kept.
 * @param unixNowMs for the age of flows with a time stamp
 * @param timeoutS the kernel's timeout by the name of its setting
 */
export function eachFlow(
  dump: (onFlow: OnPayload) => void,
  visit: (flow: Flow) => void,
  unixNowMs: number,
  timeoutS: TimeoutSetting = kernelTimeout,
): NotFlows {
  const idleMs = idleClock(timeoutS);
  let others = 0;
  let undecodable = 0;
  dump((payload) => {
    const result = decodeFlow(payload);
    if (!result.ok) undecodable++;
    else if (result.value.original.protocol !== IPPROTO_TCP) others++;
    else visit(flowOf(result.value, idleMs, unixNowMs));
  });
  return { others, undecodable };
}

export function flowOf(flow: ConntrackFlow, idleMs: IdleClock, unixNowMs: number): Flow {
  const { original, reply, status, tcp, timeoutS, counters, startMs } = flow;
  const source = endOf(original.source, original.sourcePort);
  const destination = endOf(original.destination, original.destinationPort);
  return {
    family: original.source.length === 4 ? 4 : 6,
    state: tcp?.state ?? null,
    source,
    destination,
    // Text is made of the ends that NAT changes only: those of all would take as long as the rest.
    natDestination:
      reply.sourcePort === original.destinationPort &&
      sameBytes(reply.source, 0, original.destination, 0, reply.source.length)
        ? null
        : endOf(reply.source, reply.sourcePort),
    natSource:
      reply.destinationPort === original.sourcePort &&
      sameBytes(reply.destination, 0, original.source, 0, reply.destination.length)
        ? null
        : endOf(reply.destination, reply.destinationPort),
    mark: flow.mark,
    zone: flow.zone === 0 ? original.zone : flow.zone,
    replied: (status & STATUS.seenReply) !== 0,
    assured: (status & STATUS.assured) !== 0,
    closedFirst:
      ((tcp?.originalFlags ?? 0) & TCP_FLAG_CLOSE_INIT) !== 0
        ? 'source'
        : ((tcp?.replyFlags ?? 0) & TCP_FLAG_CLOSE_INIT) !== 0
          ? 'destination'
          : null,
    timeoutMs: tcp === undefined && timeoutS === 0 ? null : timeoutS * 1000,
    idleMs: tcp === undefined ? null : idleMs(tcp.state, timeoutS),
    sent: counters?.original ?? null,
    received: counters?.reply ?? null,
    ageMs: startMs === undefined ? null : Math.max(0, unixNowMs - startMs),
  };
}

function endOf(address: Uint8Array, port: number): Endpoint {
  return { address: ipFromBytes(address).text, port };
}

function kernelTimeout(name: string): number | undefined {
  return readNumber(`net/netfilter/nf_conntrack_tcp_timeout_${name}`);
}

type TimeoutSetting = (name: string) => number | undefined;
/** Time since the last packet of a flow that is in this state with this time left, where that can be told. */
export type IdleClock = (state: ConntrackTcpState, timeoutS: number) => number | null;

const TIMEOUT_SETTINGS: Readonly<Partial<Record<ConntrackTcpState, string>>> = {
  SYN_SENT: 'syn_sent',
  SYN_RECV: 'syn_recv',
  ESTABLISHED: 'established',
  FIN_WAIT: 'fin_wait',
  CLOSE_WAIT: 'close_wait',
  LAST_ACK: 'last_ack',
  TIME_WAIT: 'time_wait',
  CLOSE: 'close',
};

/**
 * Each packet sets the time left anew to the timeout of the flow's state, so what has passed of it is the idle
 * time. A flow with retransmissions or unacknowledged data gets a shorter timeout when its state's is longer;
 * whether that happened cannot be told once the time left is below the shorter one. nf_conntrack_proto_tcp.c
 */
export function idleClock(setting: TimeoutSetting = kernelTimeout): IdleClock {
  const shorterS = [setting('max_retrans') ?? 0, setting('unacknowledged') ?? 0];
  const fullS = new Map(
    Object.entries(TIMEOUT_SETTINGS).map(([state, name]) => [state, setting(name)] as const),
  );
  return (state, leftS) => {
    const full = fullS.get(state);
    if (full === undefined || leftS > full) return null;
    if (shorterS.some((shorter) => shorter < full && leftS <= shorter)) return null;
    // The time left is rounded down to whole seconds.
    return Math.max(0, full - leftS - 1) * 1000;
  };
}
