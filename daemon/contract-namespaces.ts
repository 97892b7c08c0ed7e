/** The part of the contract that tells of network namespaces: what the kernel counts in each, and how each is set. */

/** Bounds both sides hold, beside those of `CONTRACT_LIMITS`. */
export const NAMESPACE_LIMITS = { namespaces: 32, portRanges: 64 } as const;

/** The TCP counters that diagnosis is made of, as /proc/net/netstat and /proc/net/snmp name them. */
export const TCP_COUNTERS = [
  'ActiveOpens',
  'PassiveOpens',
  'AttemptFails',
  'EstabResets',
  'RetransSegs',
  'OutRsts',
  'InErrs',
  'ListenOverflows',
  'ListenDrops',
  'SyncookiesSent',
  'SyncookiesRecv',
  'SyncookiesFailed',
  'TCPReqQFullDoCookies',
  'TCPReqQFullDrop',
  'TCPTimeWaitOverflow',
  'TW',
  'TWRecycled',
  'TWKilled',
  'PAWSActive',
  'PAWSEstab',
  'PAWSTimewait',
  'PAWSOldAck',
  'TCPACKSkippedSynRecv',
  'TCPACKSkippedPAWS',
  'TCPACKSkippedTimeWait',
  'TCPACKSkippedFinWait2',
  'TCPACKSkippedChallenge',
  'TCPChallengeACK',
  'TCPSYNChallenge',
  'TCPAbortOnClose',
  'TCPAbortOnData',
  'TCPAbortOnMemory',
  'TCPAbortOnTimeout',
  'TCPAbortOnLinger',
  'TCPAbortFailed',
  'TCPMemoryPressures',
  'TCPBacklogDrop',
  'TCPTimeouts',
  'TCPSynRetrans',
] as const;
export type TcpCounterName = (typeof TCP_COUNTERS)[number];

/** Each of these is a connection that did not come about, was cut, or had to be defended. */
export const LOSS_COUNTERS = [
  'ListenOverflows',
  'ListenDrops',
  'SyncookiesSent',
  'SyncookiesFailed',
  'TCPReqQFullDoCookies',
  'TCPReqQFullDrop',
  'TCPTimeWaitOverflow',
  'TCPACKSkippedTimeWait',
  'PAWSActive',
  'PAWSEstab',
  'PAWSTimewait',
  'TCPAbortOnMemory',
  'TCPAbortOnTimeout',
  'TCPAbortFailed',
  'TCPMemoryPressures',
  'TCPBacklogDrop',
] as const satisfies readonly TcpCounterName[];

/** What one counter shows: since the namespace began, and in the time between the last two readings of it. */
export interface CounterReading {
  readonly total: number;
  /** Absent after the first reading. */
  readonly perSecond?: number;
}

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** Settings of a network namespace under /proc/sys/net; one that the kernel does not have is absent. */
export interface NamespaceSettings {
  /** `ip_local_port_range`: the ports that connecting sockets are given. */
  readonly portRange?: PortRange;
  /** `ip_local_reserved_ports` */
  readonly reservedPorts?: readonly PortRange[];
  /** `tcp_tw_reuse`: 0 never, 1 for connecting sockets, 2 for those over loopback alone. */
  readonly twReuse?: number;
  readonly twReuseDelayMs?: number;
  readonly finTimeoutS?: number;
  readonly maxTwBuckets?: number;
  readonly maxOrphans?: number;
  readonly somaxconn?: number;
  readonly maxSynBacklog?: number;
  readonly synCookies?: number;
  readonly abortOnOverflow?: number;
  readonly synRetries?: number;
  readonly timestamps?: number;
  /** `tcp_mem` of the whole machine, in pages. */
  readonly memoryPages?: { readonly low: number; readonly pressure: number; readonly high: number };
  /** `nf_conntrack_tcp_timeout_*` in seconds, by the part of the name that differs. */
  readonly conntrackTimeoutsS?: Readonly<Record<string, number>>;
}

/** One network namespace. */
export interface NamespaceFacts {
  readonly inode: number;
  /** It is the one finwait itself is in. */
  readonly own: boolean;
  /** UID of the pod whose it is. */
  readonly pod?: string;
  /** Sockets of both families but for those in TIME-WAIT; those in TIME-WAIT. */
  readonly inUse: number;
  readonly timeWait: number;
  /** Those that are not 0, by their name in `TCP_COUNTERS`. */
  readonly counters: Readonly<Record<string, CounterReading>>;
  readonly settings?: NamespaceSettings;
}

/** What belongs to the whole machine, whichever namespace is asked (/proc/net/sockstat). */
export interface TcpMemory {
  /** Memory of all TCP sockets, in pages. */
  readonly pages: number;
  /** Sockets that no process holds any more, but for those in TIME-WAIT. */
  readonly orphans: number;
  readonly allocated: number;
}
