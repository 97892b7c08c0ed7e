/**
 * Every name finwait gives to a span, an attribute, an event or a metric. The first group follows
 * OpenTelemetry's semantic conventions v1.44.0; where those have no name, ours begins with `finwait.`,
 * or with `tcp.`, a namespace that the conventions do not use.
 */

import type { PhaseName, TcpStateName, Verdict } from '#contract';

export const SPAN_PROBE = 'tcp probe';

/** `dns lookup` is the name .NET's instrumentation gave to the same step. */
export const SPAN_OF_PHASE: Readonly<Record<PhaseName, string>> = {
  resolve: 'dns lookup',
  handshake: 'tcp handshake',
  exchange: 'tcp exchange',
  close: 'tcp close',
};

export const EVENT_SEGMENT = 'tcp.segment';
export const EVENT_ICMP_ERROR = 'icmp.error';

export const ATTR = {
  // Semantic conventions
  errorType: 'error.type',
  connectionState: 'network.connection.state',
  ioDirection: 'network.io.direction',
  localAddress: 'network.local.address',
  localPort: 'network.local.port',
  peerAddress: 'network.peer.address',
  peerPort: 'network.peer.port',
  transport: 'network.transport',
  networkType: 'network.type',
  processName: 'process.executable.name',
  serverAddress: 'server.address',
  serverPort: 'server.port',
  serviceName: 'service.name',
  serviceVersion: 'service.version',
  // A probe
  node: 'finwait.node',
  target: 'finwait.target',
  probeName: 'finwait.probe.name',
  namespaceName: 'k8s.namespace.name',
  nodeName: 'k8s.node.name',
  targetOrigin: 'finwait.target.origin',
  verdict: 'finwait.verdict',
  sentence: 'finwait.sentence',
  rttUs: 'finwait.rtt_us',
  handshakeNetUs: 'finwait.handshake.net_us',
  hops: 'finwait.hops',
  tainted: 'finwait.tainted',
  segmentsFolded: 'finwait.segments.folded',
  retransmitsSyn: 'finwait.retransmits.syn',
  retransmitsData: 'finwait.retransmits.data',
  retransmitsFin: 'finwait.retransmits.fin',
  optionsOffered: 'finwait.syn_options.offered',
  optionsAccepted: 'finwait.syn_options.accepted',
  /** Followed by the name of the step: `finwait.step.syn_ack_received_us`. */
  stepPrefix: 'finwait.step.',
  // A segment
  segmentFlags: 'finwait.segment.flags',
  segmentSeq: 'finwait.segment.seq',
  segmentAck: 'finwait.segment.ack',
  segmentLength: 'finwait.segment.length',
  segmentWindow: 'finwait.segment.window',
  segmentRetransmission: 'finwait.segment.retransmission',
  segmentFrom: 'finwait.segment.from',
  icmpNote: 'finwait.icmp.note',
  // Groups of sockets
  holderDirection: 'finwait.holder.direction',
  holderFolded: 'finwait.holder.folded',
  // Export itself
  delivery: 'finwait.delivery',
  signal: 'finwait.signal',
} as const;

export const METRIC = {
  connections: 'system.network.connection.count',
  handshakeDuration: 'tcp.handshake.duration',
  conntrackEntries: 'finwait.conntrack.entry.count',
  conntrackLimit: 'finwait.conntrack.entry.limit',
  conntrackUtilization: 'finwait.conntrack.utilization',
  holders: 'finwait.connection.holder.count',
  reportAge: 'finwait.node.report.age',
  tracesWaiting: 'finwait.trace.waiting',
  traces: 'finwait.trace.count',
  exportFailures: 'finwait.export.failures',
} as const;

/** Seconds, from a handshake on one host to the last SYN of a kernel with 6 retries; 1, 3, 7 s are its steps. */
export const HANDSHAKE_BUCKETS_S = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 7, 15, 31, 63, 127,
];

/** `FIN-WAIT-1` is `fin_wait_1` in the conventions. */
export function connectionState(state: TcpStateName): string {
  return state.toLowerCase().replaceAll('-', '_');
}

/**
 * `error.type` of a verdict, in the words of the conventions' socket connect span where it has one; undefined
 * for success. `rejected` is told more closely from the ICMP error, in `errorTypeOf`.
 */
export const ERROR_TYPE_OF_VERDICT: Readonly<Record<Verdict, string | undefined>> = {
  open: undefined,
  refused: 'connection_refused',
  filtered: 'timed_out',
  rejected: 'host_unreachable',
  'accept-queue-full': 'accept_queue_full',
  'stale-time-wait': 'stale_time_wait',
  'wrong-source': 'wrong_source',
  'half-closed': 'half_closed',
  'close-unanswered': 'timed_out',
  'reset-on-close': 'connection_reset',
  'reset-in-exchange': 'connection_reset',
  'closed-in-exchange': 'connection_closed',
  'exchange-timeout': 'timed_out',
  unreachable: 'network_unreachable',
  forbidden: 'access_denied',
  aborted: 'aborted',
};
