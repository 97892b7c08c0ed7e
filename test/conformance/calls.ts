/** What each call does, once the clock stands where it should. */

import type { Answer } from '../../daemon/tcp/sockets/errno.ts';
import type { Socket } from '../../daemon/tcp/sockets/socket.ts';
import { addressKind, ipFromBytes } from '../../daemon/wire/address.ts';
import { addressBytes, decodeIp } from '../../daemon/wire/ip.ts';
import { ERRNO } from './errno-numbers.ts';
import { OP, type Request } from './frames.ts';
import { getsockopt, ioctl, setsockopt } from './option-calls.ts';
import { pollNow } from './poll-call.ts';
import { AF_INET, AF_INET6, decodeSockaddr, encodeSockaddr } from './sockaddr.ts';
import type { Descriptor, World } from './world.ts';

/** What a call answers; the time is the clock's, unless it says another. */
export interface Outcome {
  readonly errno: number;
  readonly result: number;
  readonly blob: Uint8Array;
  readonly timeUs?: number;
}

/** A call that has to wait: it is tried again until it answers. */
interface Pending {
  readonly attempt: () => Outcome | undefined;
  readonly deadlineUs: number;
}

export type Called = Outcome | Pending;

type Args = Request['args'];

const NOTHING = new Uint8Array(0);
const NEVER = Number.POSITIVE_INFINITY;
const MILLISECOND_US = 1_000;
const SOCK_STREAM = 1;
const SOCK_TYPE_MASK = 0xf;
const SOCK_MAX = 11;
const SOCK_NONBLOCK = 0x800;
const IPPROTO_TCP = 6;
const MSG_OOB = 0x1;
const MSG_DONTWAIT = 0x40;
const MSG_MORE = 0x8000;
const F_GETFL = 3;
const F_SETFL = 4;
const O_RDWR = 2;
const O_NONBLOCK = 0x800;
const DESCRIPTORS_MAX = 65_536;
/** Linux net.core.somaxconn */
const BACKLOG_MAX = 4096;
const BYTES_MAX = 16 * 1024 * 1024;
/** Longer than any timer runs: nobody waits for what would happen in all that time. */
export const LEAP_MAX_US = 1e13;

const CALLS: Readonly<Record<number, (world: World, args: Args, blob: Uint8Array) => Called>> = {
  [OP.socket]: socket,
  [OP.bind]: (world, [fd], blob) =>
    withSocket(world, fd, ({ socket }) => {
      const local = decodeSockaddr(blob, socket.family);
      if (typeof local === 'string') return failed(local);
      const any = addressKind(local.address) === 'unspecified';
      if (!any) world.adopt(local.address);
      return outcomeOf(world.sockets.bind(socket, any ? undefined : local.address, local.port));
    }),
  [OP.listen]: (world, [fd, backlog]) =>
    withSocket(world, fd, ({ socket }) => {
      const bounded = backlog < 0 ? BACKLOG_MAX : Math.min(backlog, BACKLOG_MAX);
      return outcomeOf(world.sockets.listen(socket, bounded));
    }),
  [OP.accept]: accept,
  [OP.connect]: connect,
  [OP.read]: (world, [fd, max]) =>
    withSocket(world, fd, (descriptor) => {
      const { socket } = descriptor;
      return retried(descriptor.nonBlocking, () => {
        const read = world.sockets.receive(socket, Math.min(Math.max(max, 0), BYTES_MAX), world.nowUs);
        return read.ok ? done(read.value.length, read.value) : failed(read.errno);
      });
    }),
  [OP.write]: write,
  [OP.close]: close,
  [OP.shutdown]: (world, [fd, how]) =>
    withSocket(world, fd, ({ socket }) => {
      const direction = (['read', 'write', 'both'] as const)[how];
      if (direction === undefined) return failed('EINVAL');
      return outcomeOf(world.sockets.shutdown(socket, direction, world.nowUs));
    }),
  [OP.getsockopt]: (world, [fd, level, option, length]) =>
    withSocket(world, fd, ({ socket }) => {
      const value = getsockopt(world, socket, level, option);
      if (typeof value === 'string') return failed(value);
      return length < 0 ? failed('EINVAL') : done(0, value.subarray(0, length));
    }),
  [OP.setsockopt]: (world, [fd, level, option], blob) =>
    withSocket(world, fd, ({ socket }) => {
      const errno = setsockopt(world, socket, level, option, blob);
      return errno === undefined ? done(0) : failed(errno);
    }),
  [OP.fcntl]: (world, [fd, command, flags]) =>
    withSocket(world, fd, (descriptor) => {
      if (command === F_GETFL) return done(O_RDWR | (descriptor.nonBlocking ? O_NONBLOCK : 0));
      if (command !== F_SETFL) return failed('EINVAL');
      descriptor.nonBlocking = (flags & O_NONBLOCK) !== 0;
      return done(0);
    }),
  [OP.ioctl]: (world, [fd, request]) =>
    withSocket(world, fd, ({ socket }) => {
      const value = ioctl(world, socket, request);
      return value instanceof Uint8Array ? done(0, value) : failed(value);
    }),
  [OP.poll]: poll,
  [OP.inject]: inject,
  [OP.nextPacket]: (world) => {
    const sent = world.nextPacket();
    if (sent === undefined) return failed('EAGAIN');
    return { errno: 0, result: sent.packet.length, blob: sent.packet, timeUs: sent.atUs };
  },
  [OP.sleep]: (world, [us]) => {
    if (us < 0 || us > LEAP_MAX_US) return failed('EINVAL');
    world.advanceTo(world.nowUs + us);
    return done(0);
  },
};

/** Carries a call out. The frame was whole; what it says may mean nothing. */
export function call(world: World, { op, args, blob }: Request): Called {
  return CALLS[op]?.(world, args, blob) ?? failed('ENOSYS');
}

export function failed(errno: keyof typeof ERRNO): Outcome {
  return { errno: ERRNO[errno], result: -1, blob: NOTHING };
}

export function done(result: number, blob: Uint8Array = NOTHING): Outcome {
  return { errno: 0, result, blob };
}

function outcomeOf(answered: Answer<void>): Outcome {
  return answered.ok ? done(0) : failed(answered.errno);
}

function withSocket(world: World, fd: number, act: (descriptor: Descriptor) => Called): Called {
  const descriptor = world.descriptors.get(fd);
  return descriptor === undefined ? failed('EBADF') : act(descriptor);
}

/** EAGAIN is an answer for who does not want to wait; for others it means: later. */
function retried(atOnce: boolean, attempt: () => Outcome, deadlineUs = NEVER): Called {
  if (atOnce) return attempt();
  return {
    attempt: () => {
      const outcome = attempt();
      return outcome.errno === ERRNO.EAGAIN || outcome.errno === ERRNO.EINPROGRESS ? undefined : outcome;
    },
    deadlineUs,
  };
}

function socket(world: World, [fd, domain, type, protocol]: Args): Called {
  if (domain !== AF_INET && domain !== AF_INET6) return failed('EAFNOSUPPORT');
  const kind = type & SOCK_TYPE_MASK;
  if (kind >= SOCK_MAX) return failed('EINVAL');
  if (kind !== SOCK_STREAM) return failed('ESOCKTNOSUPPORT');
  if (protocol !== 0 && protocol !== IPPROTO_TCP) return failed('EPROTONOSUPPORT');
  const refused = badNewDescriptor(world, fd);
  if (refused !== undefined) return refused;
  world.descriptors.set(fd, {
    socket: world.sockets.socket(domain === AF_INET ? 4 : 6),
    nonBlocking: (type & SOCK_NONBLOCK) !== 0,
  });
  return done(fd);
}

function badNewDescriptor(world: World, fd: number): Outcome | undefined {
  if (fd < 0 || world.descriptors.has(fd)) return failed('EINVAL');
  return world.descriptors.size >= DESCRIPTORS_MAX ? failed('EMFILE') : undefined;
}

function accept(world: World, [fd, newFd]: Args): Called {
  return withSocket(world, fd, ({ socket, nonBlocking }) => {
    const refused = badNewDescriptor(world, newFd);
    if (refused !== undefined) return refused;
    return retried(nonBlocking, () => {
      if (world.descriptors.has(newFd)) return failed('EINVAL');
      const accepted = world.sockets.accept(socket);
      if (!accepted.ok) return failed(accepted.errno);
      const { value } = accepted;
      world.descriptors.set(newFd, { socket: value, nonBlocking: false });
      return done(newFd, value.peer === undefined ? NOTHING : encodeSockaddr(value.peer, value.family));
    });
  });
}

function connect(world: World, [fd]: Args, blob: Uint8Array): Called {
  return withSocket(world, fd, ({ socket, nonBlocking }) => {
    const remote = decodeSockaddr(blob, socket.family);
    if (typeof remote === 'string') return failed(remote);
    const started = outcomeOf(world.sockets.connect(socket, remote, world.nowUs));
    const undecided = started.errno === ERRNO.EINPROGRESS || started.errno === ERRNO.EALREADY;
    if (nonBlocking || !undecided) return started;
    return retried(false, () => outcomeOf(world.sockets.connected(socket)));
  });
}

function write(world: World, [fd, length, flags]: Args, blob: Uint8Array): Called {
  return withSocket(world, fd, ({ socket, nonBlocking }) => {
    if (length < 0 || length > BYTES_MAX || blob.length > length) return failed('EINVAL');
    const data = new Uint8Array(length);
    data.set(blob);
    const atOnce = nonBlocking || (flags & MSG_DONTWAIT) !== 0;
    const how = { more: (flags & MSG_MORE) !== 0, urgent: (flags & MSG_OOB) !== 0 };
    let written = 0;
    return retried(atOnce, () => {
      while (written < length || length === 0) {
        // An error after some bytes were taken is for the next call.
        if (written > 0 && isDead(socket)) break;
        const sent = world.sockets.send(socket, data.subarray(written), how, world.nowUs);
        if (sent.ok) written += sent.value;
        else if (sent.errno === 'EAGAIN' && atOnce && written > 0) break;
        else return failed(sent.errno);
        if (length === 0) break;
      }
      return done(written);
    });
  });
}

function isDead(socket: Socket): boolean {
  return socket.error !== undefined || socket.writeShut;
}

function close(world: World, [fd]: Args): Called {
  return withSocket(world, fd, ({ socket }) => {
    world.descriptors.delete(fd);
    const untilUs = world.sockets.close(socket, world.nowUs);
    if (untilUs === undefined) return done(0);
    // SO_LINGER: as long as the peer has not acknowledged everything.
    const attempt = () =>
      world.sockets.lingers(socket) && world.nowUs < untilUs ? failed('EAGAIN') : done(0);
    return retried(false, attempt, untilUs);
  });
}

function poll(world: World, [count, timeoutMs]: Args, blob: Uint8Array): Called {
  if (count < 0 || blob.length < 8 * count) return failed('EINVAL');
  const deadlineUs = timeoutMs < 0 ? NEVER : world.nowUs + timeoutMs * MILLISECOND_US;
  const attempt = () => {
    const { ready, answered } = pollNow(world, blob.subarray(0, 8 * count));
    return ready > 0 || world.nowUs >= deadlineUs ? done(ready, answered) : failed('EAGAIN');
  };
  return retried(timeoutMs === 0, attempt, deadlineUs);
}

function inject(world: World, _args: Args, packet: Uint8Array): Called {
  if (packet.length === 0) return failed('EINVAL');
  const ip = decodeIp(packet);
  if (ip.ok) {
    const { destination, family } = ip.value;
    world.adopt(ipFromBytes(packet.subarray(destination, destination + addressBytes(family))));
  }
  world.stack.input(packet, world.nowUs);
  return done(0);
}
