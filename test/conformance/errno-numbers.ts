/** errno as a number, as Linux counts on x86-64 and arm64 (asm-generic/errno.h). */

import type { Errno } from '../../daemon/tcp/sockets/errno.ts';

/** What a call can answer that the socket API itself never does. */
type CallErrno = Errno | 'EIO' | 'EMFILE' | 'ENOTTY' | 'ENOSYS';

export const ERRNO: Readonly<Record<CallErrno, number>> = {
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  EPIPE: 32,
  ENOSYS: 38,
  ENONET: 64,
  EPROTO: 71,
  EMSGSIZE: 90,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
};

/** The name of an errno; the number itself for one that is not ours. */
export function errnoName(number: number): string {
  return Object.entries(ERRNO).find(([, value]) => value === number)?.[0] ?? String(number);
}
