/**
 * Other network namespaces. A thread enters one, makes a socket or reads a file, and goes back; a socket stays in
 * there for as long as it is open, and keeps the namespace from going away for as long.
 * setns(2), network_namespaces(7)
 */

import { fstatSync } from 'node:fs';
import * as libc from './libc.ts';
import type { NetlinkCounters } from './netlink-socket.ts';
import { NetlinkError, NetlinkSocket } from './netlink-socket.ts';

const CLONE_NEWNET = 0x4000_0000;

/**
 * A netlink socket in another network namespace.
 * @throws NetlinkError as `insideNamespace`
 */
export function openNetlinkInside(
  path: string,
  inode: number,
  protocol: number,
  counters: NetlinkCounters,
): NetlinkSocket {
  return insideNamespace(path, inode, () => NetlinkSocket.open(protocol, counters));
}

/**
 * Does something with the thread in another network namespace, such as reading /proc/sys/net, which shows the
 * thread's own. Nothing in it may wait: whatever thread were started meanwhile, such as those of libuv's pool, would
 * stay in there for good.
 * @param path of the namespace, such as /proc/PID/ns/net
 * @param inode what the path is expected to lead to: a process id may belong to another by now
 * @throws NetlinkError ENOENT when it leads elsewhere or nowhere, EPERM or EACCES when it may not be entered
 */
export function insideNamespace<T>(path: string, inode: number, use: () => T): T {
  using there = openNamespace(path);
  if (fstatSync(there.fd).ino !== inode) throw new NetlinkError(libc.ENOENT, `find what ${path} was`);
  using home = openNamespace('/proc/thread-self/ns/net');
  const entered = libc.setns(there.fd, CLONE_NEWNET);
  if (entered < 0) throw new NetlinkError(-entered, `enter the network namespace ${path}`);
  using _back = goingBackTo(home.fd, path);
  return use();
}

function openNamespace(path: string): Disposable & { readonly fd: number } {
  const fd = libc.open(path, libc.O_RDONLY | libc.O_CLOEXEC);
  if (fd < 0) throw new NetlinkError(-fd, `open ${path}`);
  return { fd, [Symbol.dispose]: () => void libc.close(fd) };
}

function goingBackTo(home: number, path: string): Disposable {
  return {
    [Symbol.dispose]() {
      const back = libc.setns(home, CLONE_NEWNET);
      // A thread that went on in there would tell of the wrong sockets; nobody catches this.
      if (back < 0) throw new Error(`the thread cannot leave ${path}: ${libc.errnoName(-back)}`);
    },
  };
}
