/** What the kernel's refusal to show a table means to a person, and what to do about it. */

import type { Condition, ErrorCode } from '#base/errors.ts';
import { conditionOf, FinwaitError } from '#base/errors.ts';
import {
  EACCES,
  EAFNOSUPPORT,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  EPROTONOSUPPORT,
} from '../kernel/libc.ts';
import { NetlinkError } from '../kernel/netlink-socket.ts';

interface Refusals {
  readonly table: string;
  readonly denied: readonly [code: ErrorCode, hint: string];
  readonly missing: readonly [code: ErrorCode, hint: string];
}

const SOCKETS: Refusals = {
  table: 'the socket table',
  denied: [
    'SOCK_DIAG_DENIED',
    'allow netlink sockets (NETLINK_SOCK_DIAG) in the seccomp or SELinux profile finwait runs under',
  ],
  missing: ['SOCK_DIAG_MISSING', 'load the modules: modprobe inet_diag tcp_diag'],
};

const CONNTRACK: Refusals = {
  table: 'the conntrack table',
  denied: [
    'CONNTRACK_DENIED',
    'run finwait as root, or give it CAP_NET_ADMIN (in a container: capabilities.add NET_ADMIN); where it has that, allow netlink sockets (NETLINK_NETFILTER) in its seccomp or SELinux profile',
  ],
  missing: ['CONNTRACK_MISSING', 'load the modules: modprobe nf_conntrack nf_conntrack_netlink'],
};

const CONNTRACK_EVENTS: Refusals = { ...CONNTRACK, table: 'events of conntrack' };

/** The kernel knows no such protocol, no such subsystem, no such socket family. */
const MISSING: ReadonlySet<number> = new Set([EPROTONOSUPPORT, EINVAL, ENOENT, EOPNOTSUPP]);
/** The last two are how the seccomp profiles of container runtimes answer for what they do not allow. */
const DENIED: ReadonlySet<number> = new Set([EPERM, EACCES, EAFNOSUPPORT, ENOSYS]);

/** Runs a read of the socket table; what the kernel refuses becomes an error with a code. */
export function readingSockets<T>(read: () => T): T {
  return translating(SOCKETS, read);
}

/** Runs a read of the conntrack table; what the kernel refuses becomes an error with a code. */
export function readingConntrack<T>(read: () => T): T {
  return translating(CONNTRACK, read);
}

/** Listening to conntrack's events; what the kernel refuses becomes an error with a code. */
export function readingConntrackEvents<T>(read: () => T): T {
  return translating(CONNTRACK_EVENTS, read);
}

function translating<T>(refusals: Refusals, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    const { table, denied, missing } = refusals;
    if (DENIED.has(error.errno)) {
      throw new FinwaitError(denied[0], `${table} may not be read`, denied[1], error);
    }
    if (MISSING.has(error.errno)) {
      throw new FinwaitError(missing[0], `this kernel does not offer ${table}`, missing[1], error);
    }
    throw new FinwaitError(
      'NETLINK_FAILED',
      `${table} could not be read`,
      'it is read again with the next sweep; report it if it persists',
      error,
    );
  }
}

/** What `read` gives; a refusal is added to the conditions, and the rest goes on. */
export function unlessRefused<T>(conditions: Condition[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    conditions.push(conditionOf(isOutOfFiles(error) ? outOfFiles(error) : error));
    return undefined;
  }
}

/** Whether it is the failure of an open(2) for which the process, or the machine, has no descriptor left. */
export function isOutOfFiles(error: unknown): boolean {
  if (error instanceof NetlinkError) return error.errno === EMFILE || error.errno === ENFILE;
  if (error instanceof FinwaitError) return isOutOfFiles(error.cause);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'EMFILE' || code === 'ENFILE';
}

function outOfFiles(cause: unknown): FinwaitError {
  return new FinwaitError(
    'RESOURCES_EXHAUSTED',
    'a table could not be read: no file can be opened any more (EMFILE)',
    'it is read again with the next sweep; raise the limit of open files (LimitNOFILE= of the container runtime, ulimit -n)',
    cause,
  );
}
