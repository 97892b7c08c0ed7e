/** How calls fail: the names of errno(3), and what becomes one. */

import type { IcmpError } from '../../wire/icmp.ts';
import type { EngineErrorReason } from '../types.ts';

/** Every error a call can answer. EAGAIN and EINPROGRESS are the answers of a call that would have to wait. */
export type Errno =
  | 'EACCES'
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EAFNOSUPPORT'
  | 'EAGAIN'
  | 'EALREADY'
  | 'EBADF'
  | 'ECONNABORTED'
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'EHOSTDOWN'
  | 'EHOSTUNREACH'
  | 'EINPROGRESS'
  | 'EINVAL'
  | 'EISCONN'
  | 'EMSGSIZE'
  | 'ENETUNREACH'
  | 'ENOBUFS'
  | 'ENOENT'
  | 'ENONET'
  | 'ENOPROTOOPT'
  | 'ENOTCONN'
  | 'EOPNOTSUPP'
  | 'EPIPE'
  | 'EPROTO'
  | 'EPROTONOSUPPORT'
  | 'ESOCKTNOSUPPORT'
  | 'ETIMEDOUT';

export type Answer<T> = { readonly ok: true; readonly value: T } | Failure;

export interface Failure {
  readonly ok: false;
  readonly errno: Errno;
}

export function answer<T>(value: T): Answer<T> {
  return { ok: true, value };
}

export function failure(errno: Errno): Failure {
  return { ok: false, errno };
}

const OF_ENGINE: Readonly<Record<EngineErrorReason, Errno>> = {
  // No address of that family is no way to there.
  'address-family-unsupported': 'ENETUNREACH',
  'address-not-available': 'EADDRNOTAVAIL',
  'address-in-use': 'EADDRINUSE',
  // tcp_v4_connect: no route to multicast or broadcast
  'invalid-remote': 'ENETUNREACH',
  // inet_hash_connect: the four-tuple is taken, or no port is left
  'connection-exists': 'EADDRNOTAVAIL',
  'no-ports-left': 'EADDRNOTAVAIL',
  'too-many-connections': 'ENOBUFS',
  'no-such-connection': 'ENOTCONN',
  'no-such-listener': 'EINVAL',
  'not-connected': 'ENOTCONN',
  'already-closing': 'EPIPE',
};

export function errnoOfEngine(reason: EngineErrorReason): Errno {
  return OF_ENGINE[reason];
}

/** Codes of ICMP "destination unreachable". Linux icmp_err_convert */
const V4_UNREACHABLE: readonly Errno[] = [
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENOPROTOOPT',
  'ECONNREFUSED',
  'EMSGSIZE',
  'EOPNOTSUPP',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENONET',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'EHOSTUNREACH',
  'EHOSTUNREACH',
  'EHOSTUNREACH',
];

/** Linux icmpv6_err_convert */
const V6_UNREACHABLE: readonly Errno[] = [
  'ENETUNREACH',
  'EACCES',
  'EHOSTUNREACH',
  'EHOSTUNREACH',
  'ECONNREFUSED',
  'EACCES',
  'EACCES',
];

export function errnoOfIcmp({ family, type, code, kind }: IcmpError): Errno {
  if (kind === 'too-big') return 'EMSGSIZE';
  if (kind === 'time-exceeded') return 'EHOSTUNREACH';
  if (family === 4 && type === 3) return V4_UNREACHABLE[code] ?? 'EHOSTUNREACH';
  if (family === 6 && type === 1) return V6_UNREACHABLE[code] ?? 'EPROTO';
  return 'EPROTO';
}
