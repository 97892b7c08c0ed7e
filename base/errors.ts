/**
 * Operational errors: what a person can act on. Each has a stable `code` (listed in `ERROR_CODES` and in
 * docs/errors.md; a test holds the two together), a `hint` that tells the person what to do, and the
 * original `cause`. Bugs are ordinary exceptions and are not caught.
 */

import { cleanText } from './clean-text.ts';

/** Every code finwait can report, with its meaning in one line. Codes are API: never renamed, never reused. */
export const ERROR_CODES = {
  USAGE: 'the command line is not understood',
  CONFIG_INVALID: 'one or more settings have a value that is not allowed',
  TARGET_INVALID: 'a probe target is not HOST:PORT',
  NAME_UNRESOLVED: 'a host name does not resolve to an address',
  TUN_MISSING: 'there is no /dev/net/tun on this machine',
  TUN_DENIED: 'the TUN device may not be opened or configured',
  TUN_BUSY: 'a TUN device of that name is in use by another process',
  TUN_PREFIX_IN_USE: 'the addresses of the TUN device overlap a route of this machine',
  TUN_UNANSWERED: 'this machine does not answer packets that come from the TUN device',
  TUN_CHANGED: 'something else changed the TUN device or its addresses while finwait used it',
  TUN_LOST: 'the TUN device was removed while finwait used it',
  LINK_SETUP_FAILED: 'addresses, routes or settings of the TUN device could not be set',
  FORWARDING_OFF: 'the kernel does not forward packets, so only targets on this machine can be probed',
  NFTABLES_UNAVAILABLE: 'the nftables table of finwait could not be made',
  FORWARDING_DROPPED: 'a firewall of this machine may drop what it forwards for the TUN device',
  IPV6_OFF: 'the TUN device has no IPv6, so only IPv4 targets can be probed',
  NO_ROUTE: 'this machine has no route to the target',
  TARGET_NOT_UNICAST: 'the target is not an address that a connection can go to',
  LOOPBACK_V4_UNREACHABLE: 'listeners bound to 127.0.0.0/8 alone cannot be reached from the TUN device',
  LOOPBACK_V6_UNREACHABLE: 'listeners bound to ::1 alone cannot be reached from the TUN device',
  STATE_DIR_UNUSABLE: 'what a crash must not leave behind cannot be written down or read back',
  CONNTRACK_MISSING: 'the kernel has no conntrack, or none for this network namespace',
  CONNTRACK_DENIED: 'the conntrack table may not be read',
  CONNTRACK_FULL: 'conntrack has no room: flows are put out of it, or packets dropped',
  CONNTRACK_EVENTS_OFF: 'the kernel does not tell when flows of conntrack begin, change and end',
  CONNTRACK_EVENTS_LOST: 'events of conntrack were lost, because they came faster than they were read',
  FLOW_NOT_FOUND: 'conntrack has no flow of the name that was given',
  CONNTRACK_UNUSED: 'nothing uses conntrack where it is expected, so it holds no flow',
  SOCK_DIAG_MISSING: 'the kernel has no sock_diag for TCP',
  SOCK_DIAG_DENIED: 'the socket table may not be read',
  PROCESS_NAMES_PARTIAL: 'the processes of other users cannot be seen',
  NAMESPACES_PARTIAL: 'the sockets of some network namespaces cannot be read',
  CGROUPS_HIDDEN: 'the control groups of some sockets cannot be seen',
  NAMESPACES_DENIED: 'the other network namespaces of the machine may not be entered',
  NAMESPACE_NOT_FOUND: 'there is no such network namespace',
  SOCKET_NOT_FOUND: 'there is no such socket',
  SOCKET_EVENTS_LOST: 'ends of sockets are lost, because they came faster than they were written',
  SOCKET_DESTROY_DENIED: 'a socket may not be destroyed',
  SOCKET_DESTROY_MISSING: 'the kernel cannot destroy sockets',
  SWEEPS_SLOWED: 'the tables of the kernel are read less often than asked for',
  NETLINK_FAILED: 'a netlink request failed',
  RUN_DIR_UNUSABLE: 'the private directory of finwait up cannot be made, or was removed while it runs',
  FILE_UNWRITABLE: 'a file that was asked for cannot be written',
  PORT_IN_USE: 'a TCP port finwait wants to listen on is taken',
  LISTEN_FAILED: 'finwait could not listen on an address',
  OPERATOR_UNREACHABLE: 'reports do not reach the operator',
  OPERATOR_REFUSED: 'the operator refused the report',
  TOKEN_UNREADABLE: 'the token file cannot be read',
  PROBES_OFF: 'the operator asks for probes, and the mode of the agent does not allow them',
  LISTENER_STALLED: 'connections wait at a listener whose program does not accept them',
  PORTS_EXHAUSTED: 'ports for new connections to a destination run out, or have run out',
  SPOOL_UNUSABLE: 'undelivered reports cannot be kept on disk',
  REPORTS_DROPPED: 'reports were dropped before the operator had them',
  TLS_DIR_UNUSABLE: 'the directory for the CA and the server certificate cannot be used',
  COLLECTOR_UNREACHABLE: 'the OpenTelemetry Collector does not accept data',
  KUBE_CONFIG_UNUSABLE: 'there is no usable way to the API server of a cluster',
  KUBE_API_FAILED: 'the API server of the cluster does not answer a request as it should',
  KUBE_API_FORBIDDEN: 'the API server of the cluster does not allow a request',
  REPORT_INVALID: 'a report is not of a known version or shape',
  REPORT_TOO_LARGE: 'a report is over the size limit',
  UNAUTHENTICATED: 'a report came without a valid token',
  TOKEN_EXPIRED: 'a report came with a token that has expired',
  TOKEN_WRONG_AUDIENCE: 'a report came with a token that is meant for another service',
  TOKEN_WRONG_ACCOUNT: "a report came with a token of a ServiceAccount that is not the agents'",
  TOKEN_WITHOUT_NODE: 'a report came with a token that is bound to no node',
  NODE_MISMATCH: 'a report names another node than its token',
  TOO_MANY_REVIEWS: 'more tokens came than the operator has reviewed in a second',
  REVIEW_FAILED: 'the API server did not review a token',
  NOT_LEADER: 'the operator that was asked does not lead',
  TLS_SECRET_UNUSABLE: 'the Secret or the ConfigMap for the CA and the server certificate cannot be used',
  TLS_FILES_UNUSABLE: 'the mounted server certificate or its key cannot be used',
  REQUEST_TIMEOUT: 'a request took too long to arrive',
  REQUEST_INVALID: 'a request is not one that finwait answers',
  NOT_FOUND: 'there is nothing at the path of a request',
  METHOD_NOT_ALLOWED: 'a path does not take the method of a request',
  CONNECTIONS_CUT: 'connections were cut because a bound was reached',
  HOST_NOT_ALLOWED: 'a request names a host that finwait does not serve',
  INTERNAL: 'finwait made a mistake; its log says more',
  CHILD_DIED: 'the agent or the operator of this machine ended unexpectedly',
  WORKER_DIED: 'a worker thread of the agent ended unexpectedly',
  RESOURCES_EXHAUSTED: 'the machine or a limit of the process has no room for what finwait needs to start',
  OUTPUT_FAILED: 'what a command prints cannot be written to standard output',
  NOT_SET_UP: 'packages that finwait consists of are not installed',
  UNSUPPORTED_PLATFORM: 'finwait runs on Linux with Node 26',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** An operational error; `message` says what happened, `hint` what to do about it. */
export class FinwaitError extends Error {
  override readonly name = 'FinwaitError';
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hint = hint;
  }
}

/** A standing fault as data: what reports, health answers and the terminal show. */
export interface Condition {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** The condition that says the same as an error. Unknown errors are bugs and are thrown on. */
export function conditionOf(error: unknown): Condition {
  if (!(error instanceof FinwaitError)) throw error;
  return { code: error.code, message: error.message, hint: error.hint };
}

/** An error as the lines a person reads: `finwait: CODE: message`, the causes, the hint; what strangers wrote is made harmless. */
export function errorLines(error: FinwaitError): string[] {
  const lines = [`finwait: ${error.code}: ${cleanText(error.message)}`];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    // Many a message ends with its cause already.
    if (!error.message.includes(cause.message)) lines.push(`  cause: ${cleanText(cause.message)}`);
  }
  lines.push(`  hint: ${cleanText(error.hint)}`);
  return lines;
}
