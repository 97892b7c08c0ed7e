/**
 * Packets to ::1 and the like. The kernel drops a packet to a loopback address that comes in from another device
 * (RFC 4291 2.5.3), but a raw socket sends the same packet by lo, and the answer comes out of the TUN device.
 * Linux: raw(7), IPPROTO_RAW: the caller writes the IPv6 header
 */

import * as libc from './libc.ts';

const IPPROTO_RAW = 255;
const SOCKADDR_IN6_BYTES = 28;
const ADDRESS_AT = 8;
const IPV6_DESTINATION = 24;

export interface RawV6 extends Disposable {
  /**
   * Sends a whole IPv6 packet to the destination that its header says.
   * @returns bytes sent, or -errno
   */
  send(packet: Uint8Array): number;
}

/** @returns undefined when the kernel forbids it (NET_RAW) or has no IPv6 */
export function openRawV6(): RawV6 | undefined {
  const fd = libc.socket(libc.AF_INET6, libc.SOCK_RAW | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) return undefined;
  const address = new Uint8Array(SOCKADDR_IN6_BYTES);
  new DataView(address.buffer).setUint16(0, libc.AF_INET6, true);
  return {
    send(packet) {
      for (let i = 0; i < 16; i++) address[ADDRESS_AT + i] = packet[IPV6_DESTINATION + i] ?? 0;
      return libc.sendTo(fd, packet, 0, address);
    },
    [Symbol.dispose]() {
      libc.close(fd);
    },
  };
}

/** Whether the packet is IPv6 and goes to ::1. */
export function isToLoopbackV6(packet: Uint8Array): boolean {
  if (packet.length < 40 || (packet[0] ?? 0) >> 4 !== 6 || packet[IPV6_DESTINATION + 15] !== 1) return false;
  for (let i = IPV6_DESTINATION; i < IPV6_DESTINATION + 15; i++) if (packet[i] !== 0) return false;
  return true;
}
