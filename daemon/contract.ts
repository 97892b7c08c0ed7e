/**
 * The only paper that passes between agent and operator: reports one way, acknowledgements with assignments
 * the other, as JSON over TLS. Types live here; `contract-parse.ts` turns untrusted JSON into them.
 * Times: `...Ms` are milliseconds, `...Us` microseconds; a time that is not an offset or a duration is Unix time.
 */

import type { Condition } from '#base/errors.ts';
import type { ConntrackActivity } from './contract-conntrack.ts';
import type { CounterReading, NamespaceFacts, TcpMemory } from './contract-namespaces.ts';
import type { Divergence, PortPressure, SourceNatPressure } from './contract-pressure.ts';

export * from './contract-conntrack.ts';
export * from './contract-namespaces.ts';
export * from './contract-pressure.ts';

export const CONTRACT_VERSION = 1;

/** Bounds both sides hold; what a sender leaves out because of them it counts in `folded` or `counters`. */
export const CONTRACT_LIMITS = {
  bodyBytes: 1 << 20,
  holders: 100,
  listeners: 256,
  pods: 512,
  probes: 200,
  segments: 64,
  segmentsWhole: 40,
  conditions: 32,
  targets: 256,
  conntrackStates: 32,
  counters: 256,
  text: 512,
} as const;

/** Connection states in RFC 9293 spelling. The kernel's NEW_SYN_RECV and SYN_RECV are both SYN-RECEIVED. */
export const TCP_STATES = [
  'CLOSED',
  'LISTEN',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
] as const;
export type TcpStateName = (typeof TCP_STATES)[number];

export type Family = 4 | 6;

export interface Endpoint {
  /** Canonical text: dotted IPv4, RFC 5952 IPv6; a v4-mapped address is written as IPv4. */
  readonly address: string;
  readonly port: number;
}

/** What an agent says at the end of a window. Numbered from 1 for each boot of the agent and applied once. */
export interface Report {
  readonly version: typeof CONTRACT_VERSION;
  /** UUID made when the agent starts. */
  readonly boot: string;
  readonly seq: number;
  readonly agent: AgentIdentity;
  readonly fromMs: number;
  readonly toMs: number;
  /** Absent when the socket table could not be read; a condition says why. */
  readonly sockets?: SocketSummary;
  /** Absent when conntrack could not be read; a condition says why. */
  readonly conntrack?: ConntrackSummary;
  readonly probes: readonly ProbeResult[];
  readonly health: AgentHealth;
  readonly conditions: readonly Condition[];
}

export interface AgentIdentity {
  readonly version: string;
  /** As the machine calls itself; the operator takes the node's name from the token, not from here. */
  readonly hostname: string;
  /** The node the agent was told it runs on, if it was told. A token of another node refuses the report. */
  readonly node?: string;
  readonly kernel: string;
  readonly mode: 'observe' | 'probe' | 'inspect';
}

export interface SocketSummary {
  /** Exact counts of one moment; states without a socket are left out. */
  readonly states: readonly {
    readonly family: Family;
    readonly state: TcpStateName;
    readonly count: number;
  }[];
  /** The largest TIME-WAIT and CLOSE-WAIT groups, largest first. */
  readonly holders: readonly Holder[];
  /** The TIME-WAIT and CLOSE-WAIT groups that did not fit, summed. */
  readonly folded: readonly {
    readonly state: TcpStateName;
    readonly groups: number;
    readonly sockets: number;
  }[];
  readonly listeners: readonly Listener[];
  readonly listenersFolded: number;
  /** Exact counts of the pods with the most TIME-WAIT and CLOSE-WAIT; absent where pods are not told apart. */
  readonly pods?: readonly PodSockets[];
  /** Pods with sockets that did not fit. */
  readonly podsFolded?: number;
  /** How many sockets came into these states, and left them again, in a second since the last sweep. */
  readonly turnover?: readonly StateTurnover[];
  /** The network namespaces that lose most come first; finwait's own is always among them. */
  readonly namespaces?: readonly NamespaceFacts[];
  /** Namespaces with sockets that did not fit. */
  readonly namespacesFolded?: number;
  /** The counters of all namespaces in sum, those too that did not fit; totals since finwait began to read them. */
  readonly counters?: Readonly<Record<string, CounterReading>>;
  readonly memory?: TcpMemory;
  /** Absent until it is known how the namespaces are set. */
  readonly ports?: PortPressure;
}

export interface StateTurnover {
  readonly state: Holder['state'];
  readonly enteredPerSecond: number;
  readonly leftPerSecond: number;
}

/** Sockets of one pod, those in its own network namespace or, where it uses the host's, those of its processes. */
export interface PodSockets {
  /** UID of the pod, as the kubelet names its cgroup. */
  readonly uid: string;
  /** Both families together; states without a socket are left out. */
  readonly states: readonly { readonly state: TcpStateName; readonly count: number }[];
}

/** Sockets in one state, of one process, to one destination. */
export interface Holder {
  readonly state: 'TIME-WAIT' | 'CLOSE-WAIT';
  /** `inbound`: the local port is one that listens here, or did, or is none that clients are given. */
  readonly direction: 'inbound' | 'outbound';
  readonly process: ProcessRef | null;
  /** How the process is known: from the socket, from the tuple's last owner, from who listens on the port, not at all. */
  readonly attribution: 'socket' | 'last-owner' | 'listener' | 'unknown';
  /** The pod that the process, or the network namespace, belongs to; absent for the host's own. */
  readonly pod?: PodRef;
  /** How the pod is known: from the cgroup of the socket, from the process, from whose network namespace it is. */
  readonly podBy?: 'cgroup' | 'process' | 'namespace';
  /** Inode of the network namespace, where that is not the agent's own and no pod is known. */
  readonly netns?: number;
  /** Address of the other end. */
  readonly peer: string;
  /** The port of the service: the local one when inbound, the remote one when outbound. */
  readonly port: number;
  readonly count: number;
  /** Age of the oldest since finwait first saw it in this state. A lower bound. */
  readonly oldestMs: number;
  /** Of sockets in CLOSE-WAIT alone. */
  readonly unread?: UnreadData;
}

/** What tells a program that forgot its sockets from one that is too slow, and from one that is not done on purpose. */
export interface UnreadData {
  /** Bytes received and not read; the peer's FIN counts one. */
  readonly bytes: number;
  /** Sockets whose receive queue grew, or shrank, when it last changed; that of the others never did. */
  readonly growing: number;
  readonly shrinking: number;
  /** Sockets that were seen in this state by an earlier sweep already. */
  readonly seenBefore: number;
  /** Sockets that sent data after the peer's FIN: the program uses the half that is left. */
  readonly sending: number;
  /** How long ago data came last, to any of them. Absent where the kernel does not tell. */
  readonly lastReceivedMs?: number;
}

export interface PodRef {
  readonly uid: string;
  /** Absent where only the network namespace is known: a TIME-WAIT without an owner. */
  readonly containerId?: string;
}

export interface ProcessRef {
  readonly pid: number;
  /** `/proc/PID/comm` */
  readonly name: string;
}

export interface Listener {
  readonly local: Endpoint;
  readonly family: Family;
  readonly process: ProcessRef | null;
  /** Connections waiting to be accepted, and how many may wait. */
  readonly acceptQueue: number;
  readonly backlog: number;
}

export interface ConntrackSummary {
  /** `idle`: the kernel has conntrack, but no rule of this network namespace uses it. */
  readonly status: 'on' | 'idle';
  readonly count: number;
  readonly max: number;
  /** Flows with TCP, by conntrack's state (which is not the socket's), in kernel spelling: `SYN_SENT2`, `LAST_ACK`. */
  readonly states: readonly {
    readonly state: string;
    readonly count: number;
    /** Age of the oldest since finwait first saw it in this state. A lower bound. */
    readonly oldestMs?: number;
  }[];
  /** Flows that finwait's own probes made, known by their mark. */
  readonly own: number;
  readonly activity?: ConntrackActivity;
  /** Absent where no flow has source NAT. */
  readonly sourceNat?: SourceNatPressure;
  readonly divergence?: Divergence;
}

/** How the agent itself fares, so that a sample taken by a struggling agent can be told. */
export interface AgentHealth {
  readonly rssBytes: number;
  readonly cpuSeconds: number;
  /** Longest delay of the main loop in the window. */
  readonly loopLagMs: number;
  /** Totals since start, by name: everything dropped, folded, refused or undecodable. */
  readonly counters: Readonly<Record<string, number>>;
}

// Probes

export const VERDICTS = [
  'open',
  'refused',
  'filtered',
  'rejected',
  'accept-queue-full',
  'stale-time-wait',
  'wrong-source',
  'half-closed',
  'close-unanswered',
  'reset-on-close',
  'reset-in-exchange',
  'closed-in-exchange',
  'exchange-timeout',
  'unreachable',
  'forbidden',
  'aborted',
] as const;

/**
 * - `open`: handshake, exchange (if any) and close all completed
 * - `refused`: RST in answer to the SYN
 * - `filtered`: silence in answer to the SYN
 * - `rejected`: an ICMP error in answer to the SYN
 * - `accept-queue-full`: the SYN-ACK was repeated after our ACK: the listener's queue has no room
 * - `stale-time-wait`: a bare ACK in answer to the SYN (RFC 5961 challenge): the peer still holds the tuple
 * - `wrong-source`: a SYN-ACK for our SYN came from another address or port
 * - `half-closed`: our FIN was acknowledged, the peer's own FIN did not come within the limit
 * - `close-unanswered`: our FIN was never acknowledged
 * - `reset-on-close`, `reset-in-exchange`: a RST in that phase
 * - `closed-in-exchange`: the peer closed without a byte of answer to the request
 * - `exchange-timeout`: the request was not answered within the limit
 * - `unreachable`: this machine has no way to the target (route, forwarding, address family)
 * - `forbidden`: the agent may not probe that address (`--probe-allow`, `--probe-deny`)
 * - `aborted`: finwait stopped before the probe ended
 */
export type Verdict = (typeof VERDICTS)[number];

/** What to probe. Limits are upper bounds of waiting. */
export interface ProbeTarget {
  /** Stable name of the target for schedules and series; `HOST:PORT` as given, or `ADDRESS:PORT` of a listener. */
  readonly name: string;
  /** Host name or address. */
  readonly host: string;
  readonly port: number;
  /** `user`: asked for; `listener`: found listening on this machine. */
  readonly origin: 'user' | 'listener';
  readonly intervalMs: number;
  readonly limits: ProbeLimits;
  /** The operator's own reference, handed back in the results; means nothing to the agent. */
  readonly ref?: string;
  /** Identifies one run: the target is probed at once, and once only for each value. `intervalMs` does not count then. */
  readonly once?: string;
  /** Bytes to send after the handshake, as UTF-8 text; the exchange ends with the first byte of the answer. */
  readonly send?: string;
}

export interface ProbeLimits {
  readonly connectMs: number;
  readonly exchangeMs: number;
  readonly closeMs: number;
}

export const DEFAULT_PROBE_LIMITS: ProbeLimits = { connectMs: 10_000, exchangeMs: 10_000, closeMs: 5_000 };

export type PhaseName = 'resolve' | 'handshake' | 'exchange' | 'close';

export interface ProbeResult {
  /** 32 hexadecimal digits, also the trace id. */
  readonly id: string;
  readonly target: {
    readonly name: string;
    readonly host: string;
    readonly port: number;
    readonly origin: 'user' | 'listener';
    readonly ref?: string;
    readonly once?: string;
  };
  readonly family: Family;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Unix time of offset 0: the first SYN as written to the TUN. Microseconds. */
  readonly startUs: number;
  readonly verdict: Verdict;
  /** The verdict and its evidence as one sentence for a person. */
  readonly sentence: string;
  readonly phases: readonly Phase[];
  readonly steps: Steps;
  /**
   * Segments and ICMP errors in the order they crossed the TUN, at most `CONTRACT_LIMITS.segments`. Of those after
   * the first `CONTRACT_LIMITS.segmentsWhole`, plain data and acknowledgements are left out.
   */
  readonly segments: readonly SegmentRecord[];
  /** How many were left out. */
  readonly segmentsFolded: number;
  readonly options: { readonly offered: SynOptions; readonly accepted: SynOptions | null };
  readonly retransmits: { readonly syn: number; readonly data: number; readonly fin: number };
  /** Smoothed round-trip time of the connection at its end, if it had a sample. */
  readonly rttUs?: number;
  /** Handshake time less the time spent waiting for retransmission timeouts. */
  readonly handshakeNetUs?: number;
  /** Hops the answer crossed, guessed from the received TTL and the usual initial values 64, 128, 255. */
  readonly hops?: number;
  /** Why this sample is not to be trusted, if it is not (`loop-lag`, `queue-drop`). */
  readonly tainted?: string;
}

export interface Phase {
  readonly name: PhaseName;
  /** Offsets from `startUs`; `resolve` lies before it and has negative ones. */
  readonly fromUs: number;
  readonly toUs: number;
  readonly ok: boolean;
}

/** Offsets from `startUs` of the steps of a connection's life; a step that did not happen is absent. */
export interface Steps {
  readonly synSentUs?: number;
  readonly synAckReceivedUs?: number;
  readonly ackSentUs?: number;
  readonly requestSentUs?: number;
  readonly requestAckedUs?: number;
  readonly firstByteUs?: number;
  readonly finSentUs?: number;
  readonly finAckedUs?: number;
  readonly finReceivedUs?: number;
  readonly lastAckSentUs?: number;
}

export interface SynOptions {
  readonly mss?: number;
  readonly windowScale?: number;
  readonly sackPermitted: boolean;
  readonly timestamps: boolean;
}

export const TCP_FLAGS = ['CWR', 'ECE', 'URG', 'ACK', 'PSH', 'RST', 'SYN', 'FIN'] as const;
export type TcpFlagName = (typeof TCP_FLAGS)[number];

/** One line of the ladder. */
export interface SegmentRecord {
  readonly atUs: number;
  readonly direction: 'out' | 'in';
  /** `icmp`: an ICMP error that quotes a segment of ours. */
  readonly kind: 'tcp' | 'icmp';
  readonly flags: readonly TcpFlagName[];
  /** Relative to the sender's initial sequence number. */
  readonly seq: number;
  /** Relative to the receiver's initial sequence number; absent without ACK. */
  readonly ack?: number;
  readonly length: number;
  /** Bytes, scaled where scaling is in force. */
  readonly window: number;
  readonly retransmission: boolean;
  /** `ADDRESS` an ICMP error came from, or `ADDRESS:PORT` of a segment from somewhere else than the target. */
  readonly from?: string;
  /** For ICMP: `host unreachable (3/1)`. For a segment that cannot be the peer's: why it was ignored. */
  readonly note?: string;
}

// The way back

/** The operator's answer to a report. */
export interface Acknowledgement {
  readonly version: typeof CONTRACT_VERSION;
  readonly boot: string;
  /**
   * UUID of this run of the operator. When it changes, the agent sends again, with their old numbers, the reports
   * that an earlier run received and did not acknowledge: a run of the operator tells a duplicate by the very
   * number, not by being lower than the highest. `seq` speaks only for reports that this run received.
   */
  readonly instance: string;
  /** Every report up to and including this number of this boot need not be sent again; 0 when that is none. */
  readonly seq: number;
  /** Absent while the operator does not know it, such as one that has just begun: what was assigned before stays. */
  readonly assignment?: Assignment;
}

/** What this node is to probe, whole; it replaces the one before. */
export interface Assignment {
  readonly targets: readonly ProbeTarget[];
  /** Time between reports that the operator wants. */
  readonly reportIntervalMs: number;
}
