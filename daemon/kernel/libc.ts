/**
 * Every system call finwait makes beyond Node's own, through koffi and the C library. Blocking is the caller's
 * matter; errors are numbers, read at once on the same thread. Buffers passed by address inside structures must
 * be kept alive by the caller: a pointer does not keep a Buffer from being collected.
 * Linux headers: sys/socket.h, poll.h, sys/eventfd.h, sched.h, sys/ioctl.h
 */

import { getSystemErrorMap } from 'node:util';
import koffi from 'koffi';

const lib = koffi.load(null);

const c = {
  socket: lib.func('int socket(int domain, int type, int protocol)'),
  bind: lib.func('int bind(int fd, const void *addr, uint32_t len)'),
  send: lib.func('int64_t send(int fd, const void *buf, size_t len, int flags)'),
  sendto: lib.func(
    'int64_t sendto(int fd, const void *buf, size_t len, int flags, const void *addr, uint32_t alen)',
  ),
  recv: lib.func('int64_t recv(int fd, _Out_ void *buf, size_t len, int flags)'),
  recvfrom: lib.func(
    'int64_t recvfrom(int fd, _Out_ void *buf, size_t len, int flags, _Out_ void *addr, _Inout_ uint32_t *alen)',
  ),
  read: lib.func('int64_t read(int fd, _Out_ void *buf, size_t len)'),
  write: lib.func('int64_t write(int fd, const void *buf, size_t len)'),
  ppoll: lib.func('int ppoll(_Inout_ void *fds, uint64_t nfds, const void *timeout, const void *sigmask)'),
  setsockopt: lib.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t len)'),
  open: lib.func('int open(const char *path, int flags)'),
  close: lib.func('int close(int fd)'),
  ioctl: lib.func('int ioctl(int fd, uint64_t request, _Inout_ void *arg)'),
  eventfd: lib.func('int eventfd(uint32_t initial, int flags)'),
  flock: lib.func('int flock(int fd, int operation)'),
  setns: lib.func('int setns(int fd, int nstype)'),
  malloc_trim: lib.func('int malloc_trim(size_t pad)'),
  recvmmsg: lib.func('int recvmmsg(int fd, void *messages, unsigned int count, int flags, void *timeout)'),
};

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;
export const POLLIN = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const MSG_TRUNC = 0x20;

/** The answer of a system call: a value >= 0, or -errno. */
export type SyscallResult = number;

function result(value: number): SyscallResult {
  return value < 0 ? -koffi.errno() : value;
}

export function socket(domain: number, type: number, protocol: number): SyscallResult {
  return result(c.socket(domain, type, protocol));
}

export function bind(fd: number, address: Uint8Array): SyscallResult {
  return result(c.bind(fd, address, address.length));
}

export function send(fd: number, data: Uint8Array, flags = 0): SyscallResult {
  return result(c.send(fd, data, data.length, flags));
}

export function sendTo(fd: number, data: Uint8Array, flags: number, address: Uint8Array): SyscallResult {
  return result(c.sendto(fd, data, data.length, flags, address, address.length));
}

/** With MSG_TRUNC in `flags` the answer is the datagram's whole length even when the buffer is shorter. */
export function recv(fd: number, into: Uint8Array, flags = 0): SyscallResult {
  return result(c.recv(fd, into, into.length, flags));
}

/** Like `recv`, and writes the sender's address into `address`. */
export function recvFrom(fd: number, into: Uint8Array, flags: number, address: Uint8Array): SyscallResult {
  return result(c.recvfrom(fd, into, into.length, flags, address, [address.length]));
}

export function read(fd: number, into: Uint8Array): SyscallResult {
  return result(c.read(fd, into, into.length));
}

export function write(fd: number, data: Uint8Array): SyscallResult {
  return result(c.write(fd, data, data.length));
}

/**
 * @param pollfds array of `struct pollfd` (fd i32, events i16, revents i16), updated in place
 * @param timeout `struct timespec` (seconds i64, nanoseconds i64)
 */
export function ppoll(pollfds: Uint8Array, timeout: Uint8Array): SyscallResult {
  return result(c.ppoll(pollfds, pollfds.length / 8, timeout, null));
}

export function setSockOpt(fd: number, level: number, name: number, value: Uint8Array): SyscallResult {
  return result(c.setsockopt(fd, level, name, value, value.length));
}

export function open(path: string, flags: number): SyscallResult {
  return result(c.open(path, flags));
}

export function close(fd: number): SyscallResult {
  return result(c.close(fd));
}

/** @param argument structure read and written by the kernel */
export function ioctl(fd: number, request: number, argument: Uint8Array): SyscallResult {
  return result(c.ioctl(fd, request, argument));
}

export function eventfd(): SyscallResult {
  return result(c.eventfd(0, O_NONBLOCK | O_CLOEXEC));
}

/** The lock is the open file's, not the process's, and goes with it. @param operation LOCK_EX, with LOCK_NB or without */
export function flock(fd: number, operation: number): SyscallResult {
  return result(c.flock(fd, operation));
}

/** Memory that stays where it is until `free`, for structures that hold addresses. */
export interface NativeBlock {
  readonly pointer: unknown;
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** After it neither may be used. */
  free(): void;
}

/** Zeroed memory outside of the garbage collector's. */
export function allocate(length: number): NativeBlock {
  const pointer = koffi.alloc('uint8_t', length);
  const bytes = new Uint8Array(koffi.view(pointer, length));
  bytes.fill(0);
  return { pointer, address: koffi.address(pointer), bytes, free: () => koffi.free(pointer) };
}

/** Gives back to the kernel the pages in which all memory has been freed, of every thread. malloc_trim(3) */
export function mallocTrim(): void {
  c.malloc_trim(0);
}

/** Reads up to `count` datagrams that are there. @param messages address of `struct mmsghdr[count]` */
export function recvMmsg(fd: number, messages: unknown, count: number): SyscallResult {
  return result(c.recvmmsg(fd, messages, count, 0, null));
}

/** @param program `struct sock_filter[]`, of which the kernel makes a copy */
export function attachFilter(fd: number, level: number, name: number, program: Uint8Array): SyscallResult {
  const block = allocate(program.length);
  block.bytes.set(program);
  // struct sock_fprog
  const head = new DataView(new ArrayBuffer(16));
  head.setUint16(0, program.length / 8, true);
  head.setBigUint64(8, block.address, true);
  const answer = setSockOpt(fd, level, name, new Uint8Array(head.buffer));
  block.free();
  return answer;
}

/** Moves the calling thread, and it alone, into the namespace of `fd`. */
export function setns(fd: number, type: number): SyscallResult {
  return result(c.setns(fd, type));
}

// The error numbers finwait tells apart. asm-generic/errno-base.h, errno.h
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOSYS = 38;
export const EBADFD = 77;
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const EADDRNOTAVAIL = 99;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const EHOSTUNREACH = 113;

/** `EPERM (operation not permitted)`; a number that has no name here is `errno N`. */
export function errnoName(errno: number): string {
  const found = getSystemErrorMap().get(-errno);
  return found === undefined ? `errno ${errno}` : `${found[0]} (${found[1]})`;
}
