/** getsockopt, setsockopt and ioctl in numbers and bytes. */

import type { Errno } from '../../daemon/tcp/sockets/errno.ts';
import type { Socket } from '../../daemon/tcp/sockets/socket.ts';
import type { StateName } from '../../daemon/tcp/types.ts';
import {
  decodeOption,
  encodeOption,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  int32s,
  optionName,
  SOL_SOCKET,
  TCP_CC_INFO,
  TCP_INFO,
} from './option-codec.ts';
import { AF_INET, AF_INET6 } from './sockaddr.ts';
import { listenerInfoBytes, tcpInfoBytes } from './tcp-info-bytes.ts';
import type { World } from './world.ts';

const IP_MTU = 14;
const IPV6_MTU = 24;
const SO_TYPE = 3;
const SO_PROTOCOL = 38;
const SO_DOMAIN = 39;
const SOCK_STREAM = 1;
/** asm-generic/ioctls.h, linux/sockios.h */
const SIOCINQ = 0x541b;
const SIOCOUTQ = 0x5411;
const SIOCATMARK = 0x8905;
const SIOCOUTQNSD = 0x894b;

/** Our FIN is queued or on its way. */
const FIN_UNACKED: ReadonlySet<StateName> = new Set(['FIN-WAIT-1', 'CLOSING', 'LAST-ACK']);

export function getsockopt(world: World, socket: Socket, level: number, option: number): Uint8Array | Errno {
  if (level === IPPROTO_TCP && option === TCP_INFO) {
    const { id, state } = socket;
    const listener = [...world.stack.listeners()].find((one) => one.id === id);
    if (listener !== undefined) return listenerInfoBytes(listener);
    const info = id === undefined ? undefined : world.stack.info(id);
    return tcpInfoBytes(state, info, world.nowUs);
  }
  // Neither NewReno nor CUBIC has anything to tell there, on Linux either.
  if (level === IPPROTO_TCP && option === TCP_CC_INFO) return new Uint8Array(0);
  if (level === SOL_SOCKET) {
    if (option === SO_TYPE) return int32s(SOCK_STREAM);
    if (option === SO_PROTOCOL) return int32s(IPPROTO_TCP);
    if (option === SO_DOMAIN) return int32s(socket.family === 4 ? AF_INET : AF_INET6);
  }
  if ((level === IPPROTO_IP && option === IP_MTU) || (level === IPPROTO_IPV6 && option === IPV6_MTU)) {
    const mtu = socket.id === undefined ? undefined : world.stack.info(socket.id)?.pathMtu;
    return mtu === undefined ? 'ENOTCONN' : int32s(mtu);
  }
  const name = optionOf(socket, level, option);
  if (name === undefined) return 'ENOPROTOOPT';
  const value = world.sockets.getOption(socket, name);
  return value.ok ? encodeOption(name, value.value) : value.errno;
}

export function setsockopt(
  world: World,
  socket: Socket,
  level: number,
  option: number,
  bytes: Uint8Array,
): Errno | undefined {
  const name = optionOf(socket, level, option);
  if (name === undefined) return 'ENOPROTOOPT';
  const value = decodeOption(name, bytes);
  if (value === 'EINVAL') return value;
  const set = world.sockets.setOption(socket, name, value, world.nowUs);
  return set.ok ? undefined : set.errno;
}

function optionOf(socket: Socket, level: number, option: number): ReturnType<typeof optionName> {
  return level === IPPROTO_IPV6 && socket.family === 4 ? undefined : optionName(level, option);
}

/** The value as bytes; EINVAL for a listener's queues, ENOTTY for a request that sockets do not know. */
export function ioctl(world: World, socket: Socket, request: number): Uint8Array | 'EINVAL' | 'ENOTTY' {
  const { id, state, leftOver, settings } = socket;
  const info = id === undefined || state === 'LISTEN' ? undefined : world.stack.info(id);
  if (request !== SIOCATMARK && state === 'LISTEN') return 'EINVAL';
  const urgent = id === undefined ? undefined : world.stack.urgent(id);
  switch (request) {
    case SIOCINQ: {
      const unread = info?.unreadBytes ?? leftOver.length;
      // Up to the mark: a read stops there.
      return int32s(urgent === undefined || settings.urgentInline ? unread : Math.min(urgent.toMark, unread));
    }
    case SIOCOUTQ:
      // A FIN that is not acknowledged counts as an octet.
      return int32s((info?.unsentBytes ?? 0) + (info?.unackedBytes ?? 0) + Number(FIN_UNACKED.has(state)));
    case SIOCOUTQNSD:
      return int32s(info?.unsentBytes ?? 0);
    case SIOCATMARK:
      return int32s(Number(urgent?.toMark === 0));
    default:
      return 'ENOTTY';
  }
}
