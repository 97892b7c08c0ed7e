/**
 * Fills the queue of the netlink sockets of a process with what nobody asked for, as a hostile or broken program of
 * root may: `sprayNetlink` until there is no room, or as a program, `netlink-spray.ts PID SECONDS`, all the time.
 */

import { readFileSync } from 'node:fs';
import * as libc from '../../daemon/kernel/libc.ts';
import { encodeMessage, NLMSG_DONE } from '../../daemon/netlink/message.ts';

const NETLINK_ROUTE = 0;
/** More than any queue holds. */
const MOST = 20_000;

/** The ports of the rtnetlink sockets of this network namespace. The kernel's own is 0. */
export function rtnetlinkPorts(): number[] {
  return readFileSync('/proc/thread-self/net/netlink', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, protocol, port]) => protocol === String(NETLINK_ROUTE) && port !== '0')
    .map(([, , port]) => Number(port));
}

/** Sends to each port until its queue is full. @returns how many messages arrived */
export function sprayNetlink(ports: readonly number[]): number {
  const type = libc.SOCK_RAW | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK;
  const fd = libc.socket(libc.AF_NETLINK, type, NETLINK_ROUTE);
  const forged = encodeMessage(NLMSG_DONE, 0, 1, new Uint8Array(4));
  let sent = 0;
  try {
    for (const port of ports) {
      const address = new Uint8Array(12);
      new DataView(address.buffer).setUint16(0, libc.AF_NETLINK, true);
      new DataView(address.buffer).setUint32(4, port, true);
      for (let i = 0; i < MOST && libc.sendTo(fd, forged, 0, address) > 0; i++) sent++;
    }
  } finally {
    libc.close(fd);
  }
  return sent;
}

const [, program, seconds] = process.argv;
if (program === import.meta.filename) {
  const endMs = performance.now() + Number(seconds) * 1000;
  process.stdout.write('spraying\n');
  while (performance.now() < endMs) sprayNetlink(rtnetlinkPorts());
}
