/** A netlink socket that hears when a link, its addresses or its routes change. It only listens; who asks has another. */

import { decodeMessages, viewOf } from '../netlink/message.ts';
import { concernsLink, LINK_CHANGES } from '../netlink/rtnetlink-events.ts';
import * as libc from './libc.ts';
import { NetlinkError } from './netlink-socket.ts';

const NETLINK_ROUTE = 0;
const RECEIVE_BYTES = 64 * 1024;
/** A busy router tells of thousands of routes: what lies beyond waits for the next look. */
const DATAGRAMS_PER_LOOK = 256;

export class LinkEvents implements Disposable {
  /** Readable when something has changed somewhere. */
  readonly fd: number;
  readonly counters = { foreignSender: 0, undecodable: 0 };
  readonly #index: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #sender = new Uint8Array(12);

  /** @throws NetlinkError when the kernel forbids it */
  constructor(index: number) {
    this.#index = index;
    const type = libc.SOCK_RAW | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK;
    this.fd = libc.socket(libc.AF_NETLINK, type, NETLINK_ROUTE);
    if (this.fd < 0) throw new NetlinkError(-this.fd, 'open a netlink socket for changes of links');
    const address = new Uint8Array(12);
    viewOf(address).setUint16(0, libc.AF_NETLINK, true);
    viewOf(address).setUint32(8, LINK_CHANGES, true);
    const bound = libc.bind(this.fd, address);
    if (bound >= 0) return;
    libc.close(this.fd);
    throw new NetlinkError(-bound, 'listen for changes of links');
  }

  /** Whether the link may have changed since the last call; also when too much happened for the kernel to tell it all. */
  changed(): boolean {
    let changed = false;
    for (let taken = 0; taken < DATAGRAMS_PER_LOOK; taken++) {
      const length = libc.recvFrom(this.fd, this.#buffer, libc.MSG_TRUNC, this.#sender);
      if (length === -libc.EAGAIN || length === -libc.EINTR) return changed;
      if (length < 0)
        changed = true; // ENOBUFS
      else if (viewOf(this.#sender).getUint32(4, true) !== 0) this.counters.foreignSender++;
      else changed = this.#concerns(length) || changed;
    }
    return changed;
  }

  #concerns(length: number): boolean {
    const messages = decodeMessages(this.#buffer.subarray(0, Math.min(length, this.#buffer.length)));
    if (messages.ok) return messages.value.some((message) => concernsLink(message, this.#index));
    this.counters.undecodable++;
    return true;
  }

  [Symbol.dispose](): void {
    libc.close(this.fd);
  }
}
