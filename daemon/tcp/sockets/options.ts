/** getsockopt(2) and setsockopt(2) as a table: what each option reads, and what it takes. Linux sock.c, tcp.c, ip_sockglue.c */

import type { Profile } from '../profile.ts';
import { createSettings } from '../settings.ts';
import type { SocketOptions, TcpStack } from '../types.ts';
import { type Answer, answer, type Errno, failure } from './errno.ts';
import { type Linger, type Socket, takeError } from './socket.ts';

/** Flags are 0 and 1; times have the unit that the manual page of the option says. SO_ERROR is a name, or ''. */
export type OptionValue = number | string | Linger;

interface Engine {
  readonly stack: TcpStack;
  readonly profile: Profile;
}

interface SocketOption {
  readonly get: (socket: Socket, engine: Engine) => OptionValue;
  /** Absent: ENOPROTOOPT. Answers why a value is not taken. */
  readonly set?: (socket: Socket, value: OptionValue, engine: Engine) => Errno | undefined;
}

const SECOND_US = 1_000_000;
const MILLISECOND_US = 1_000;
/** Linux MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT, TCP_FIN_TIMEOUT_MAX */
const MAX_KEEP_SECONDS = 32_767;
const MAX_KEEP_COUNT = 127;
const MAX_LINGER2_SECONDS = 120;
/** Linux TCP_MIN_MSS, MAX_TCP_WINDOW, and the MSS of who knows nothing (TCP_MSS_DEFAULT). */
const MIN_MSS = 88;
const MAX_MSS = 32_767;
const UNKNOWN_MSS = 536;
/** The smallest buffers that can be asked for (Linux SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF), and the largest. */
const MIN_RECEIVE_BYTES = 2_304;
const MIN_SEND_BYTES = 4_608;
const MAX_BUFFER_BYTES = 4 * 1024 * 1024;
const ECN_BITS = 3;

const CONGESTION = { reno: 'newreno', newreno: 'newreno', cubic: 'cubic' } as const;

const SOCKET_OPTIONS = {
  SO_ERROR: {
    get: (socket) => {
      const errno = takeError(socket) ?? socket.softError;
      socket.softError = undefined;
      return errno ?? '';
    },
  },
  SO_ACCEPTCONN: { get: ({ state }) => Number(state === 'LISTEN') },
  SO_REUSEADDR: ownFlag('reuseAddress'),
  SO_LINGER: {
    get: ({ settings }) => settings.linger,
    set: ({ settings }, value) => {
      if (typeof value !== 'object') return 'EINVAL';
      settings.linger = value;
      return undefined;
    },
  },
  SO_KEEPALIVE: engineFlag('keepAlive'),
  SO_OOBINLINE: ownFlag('urgentInline'),
  SO_RCVBUF: {
    // Linux counts what the kernel needs around the data, too: twice as much as was asked for.
    get: (socket, engine) => inForce(socket, engine).receiveBufferBytes * bookkeeping(engine.profile),
    set: anyWhole((socket, value, { profile }) => {
      const least = MIN_RECEIVE_BYTES / bookkeeping(profile);
      socket.settings.engine.receiveBufferBytes = Math.max(bufferBytes(value), least);
    }),
  },
  SO_SNDBUF: {
    get: (socket, engine) => inForce(socket, engine).sendBufferBytes,
    set: anyWhole((socket, value, { profile }) => {
      const bytes = bufferBytes(value) * bookkeeping(profile);
      socket.settings.engine.sendBufferBytes = Math.max(bytes, MIN_SEND_BYTES);
    }),
  },
  // A byte of whatever is given.
  IP_TOS: trafficClass(
    anyWhole(({ settings }, value) => {
      settings.engine.trafficClass = value & 0xff & ~ECN_BITS;
    }),
  ),
  IPV6_TCLASS: trafficClass(
    whole(-1, 255, ({ settings }, value) => {
      settings.engine.trafficClass = Math.max(value, 0) & ~ECN_BITS;
    }),
  ),
  IP_TTL: hops(),
  IP_RECVERR: ownFlag('reportIcmp'),
  IPV6_RECVERR: ownFlag('reportIcmp'),
  IPV6_UNICAST_HOPS: hops(),
  IPV6_V6ONLY: {
    get: ({ settings }) => Number(settings.v6Only),
    set: (socket, value) => {
      if (socket.bound !== undefined) return 'EINVAL';
      socket.settings.v6Only = value !== 0;
      return undefined;
    },
  },
  TCP_NODELAY: flag(
    ({ settings }) => settings.noDelay,
    ({ settings }, on) => {
      settings.noDelay = on;
      settings.engine.nagle = !on;
    },
  ),
  TCP_CORK: engineFlag('cork'),
  TCP_MAXSEG: {
    get: ({ id, state, settings }, { stack }) => {
      const info = id === undefined || state === 'LISTEN' ? undefined : stack.info(id);
      return info?.sendMss ?? settings.engine.maxSegment ?? UNKNOWN_MSS;
    },
    set: whole(0, MAX_MSS, (socket, value) => {
      if (value !== 0 && value < MIN_MSS) return 'EINVAL';
      socket.settings.engine.maxSegment = value === 0 ? undefined : value;
      return undefined;
    }),
  },
  TCP_KEEPIDLE: engineTime('keepIdleUs', SECOND_US, MAX_KEEP_SECONDS),
  TCP_KEEPINTVL: engineTime('keepIntervalUs', SECOND_US, MAX_KEEP_SECONDS),
  TCP_KEEPCNT: engineTime('keepCount', 1, MAX_KEEP_COUNT),
  TCP_USER_TIMEOUT: {
    get: (socket, engine) => (inForce(socket, engine).userTimeoutUs ?? 0) / MILLISECOND_US,
    set: whole(0, Number.MAX_SAFE_INTEGER, (socket, value) => {
      socket.settings.engine.userTimeoutUs = value === 0 ? undefined : value * MILLISECOND_US;
    }),
  },
  TCP_LINGER2: {
    get: (socket, engine) =>
      socket.settings.linger2Seconds ??
      Math.floor((inForce(socket, engine).finWait2TimeoutUs ?? 0) / SECOND_US),
    set: anyWhole(({ settings }, value, { profile }) => {
      // Negative: FIN-WAIT-2 ends as it begins. Zero: as long as the system has it.
      const seconds = Math.min(Math.max(value, -1), MAX_LINGER2_SECONDS);
      settings.linger2Seconds = seconds === 0 ? undefined : seconds;
      settings.engine.finWait2TimeoutUs =
        seconds === 0 ? profile.finWait2TimeoutUs : Math.max(seconds, 0) * SECOND_US;
    }),
  },
  TCP_QUICKACK: {
    get: ({ settings }) => Number(settings.engine.quickAck ?? true),
    set: anyWhole(({ settings }, value) => {
      settings.engine.quickAck = value !== 0;
    }),
  },
  TCP_CONGESTION: {
    get: (socket, engine) => {
      const { congestion } = inForce(socket, engine);
      const unnamed = engine.profile.name === 'linux' && congestion === 'newreno' ? 'reno' : congestion;
      return socket.settings.congestionName ?? unnamed;
    },
    set: ({ settings }, value) => {
      if (typeof value !== 'string' || !Object.hasOwn(CONGESTION, value)) return 'ENOENT';
      settings.congestionName = value;
      settings.engine.congestion = CONGESTION[value as keyof typeof CONGESTION];
      return undefined;
    },
  },
} as const satisfies Readonly<Record<string, SocketOption>>;

export type OptionName = keyof typeof SOCKET_OPTIONS;

export function getOption(socket: Socket, name: OptionName, engine: Engine): Answer<OptionValue> {
  return answer(SOCKET_OPTIONS[name].get(socket, engine));
}

/** @returns ENOPROTOOPT for what can only be read, EINVAL or ENOENT for a value that means nothing */
export function setOption(
  socket: Socket,
  name: OptionName,
  value: OptionValue,
  engine: Engine,
  nowUs: number,
): Answer<void> {
  const { set }: SocketOption = SOCKET_OPTIONS[name];
  if (set === undefined) return failure('ENOPROTOOPT');
  const errno = set(socket, value, engine);
  if (errno !== undefined) return failure(errno);
  if (socket.id !== undefined) engine.stack.configure(socket.id, socket.settings.engine, nowUs);
  return answer(undefined);
}

/** What holds for the connection; for one that is yet to come, what it would begin with. */
function inForce({ id, settings }: Socket, { stack, profile }: Engine): SocketOptions {
  const known = id === undefined ? undefined : stack.optionsOf(id);
  return known ?? createSettings(profile, settings.engine);
}

function bookkeeping({ name }: Profile): number {
  return name === 'freebsd' ? 1 : 2;
}

/** A setter of a whole number in a range; anything else is EINVAL. */
function whole(
  min: number,
  max: number,
  // biome-ignore lint/suspicious/noConfusingVoidType: most setters take every number in the range
  take: (socket: Socket, value: number, engine: Engine) => Errno | undefined | void,
): NonNullable<SocketOption['set']> {
  return (socket, value, engine) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) return 'EINVAL';
    return take(socket, value, engine) ?? undefined;
  };
}

/** A setter of any whole number. */
function anyWhole(take: Parameters<typeof whole>[2]): NonNullable<SocketOption['set']> {
  return whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, take);
}

/** Linux takes the number as one without a sign: a negative one is larger than all. */
function bufferBytes(value: number): number {
  return value < 0 ? MAX_BUFFER_BYTES : Math.min(value, MAX_BUFFER_BYTES);
}

function flag(read: (socket: Socket) => boolean, write: (socket: Socket, on: boolean) => void): SocketOption {
  return {
    get: (socket) => Number(read(socket)),
    set: (socket, value) => {
      if (typeof value !== 'number') return 'EINVAL';
      write(socket, value !== 0);
      return undefined;
    },
  };
}

function ownFlag(key: 'reuseAddress' | 'urgentInline' | 'reportIcmp'): SocketOption {
  return flag(
    ({ settings }) => settings[key],
    ({ settings }, on) => {
      settings[key] = on;
    },
  );
}

function engineFlag(key: 'keepAlive' | 'cork'): SocketOption {
  return flag(
    ({ settings }) => settings.engine[key] ?? false,
    ({ settings }, on) => {
      settings.engine[key] = on;
    },
  );
}

/** An option that counts in `unitUs`, from 1 to `max`. */
function engineTime(
  key: 'keepIdleUs' | 'keepIntervalUs' | 'keepCount',
  unitUs: number,
  max: number,
): SocketOption {
  return {
    get: (socket, engine) => Math.floor(inForce(socket, engine)[key] / unitUs),
    set: whole(1, max, ({ settings }, value) => {
      settings.engine[key] = value * unitUs;
    }),
  };
}

/** The two ECN bits are TCP's own. */
function trafficClass(set: NonNullable<SocketOption['set']>): SocketOption {
  return { get: (socket, engine) => inForce(socket, engine).trafficClass, set };
}

/** -1: the system's default. */
function hops(): SocketOption {
  return {
    get: (socket, engine) => inForce(socket, engine).ttl,
    set: whole(-1, 255, ({ settings }, value, { profile }) => {
      if (value === 0) return 'EINVAL';
      settings.engine.ttl = value === -1 ? profile.ttl : value;
      return undefined;
    }),
  };
}
