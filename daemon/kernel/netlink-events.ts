/**
 * A netlink socket that only listens: to groups of the kernel, many messages with one call. What anybody but the
 * kernel sends is dropped and counted, and so is what is longer than a slot. When the socket's queue is full the
 * kernel drops everything until the queue is empty, and says so once.
 */

import { viewOf } from '../netlink/message.ts';
import * as libc from './libc.ts';
import { NetlinkError } from './netlink-socket.ts';

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;

const SLOTS = 64;
const SLOT_BYTES = 4096;
const SOCKADDR_NL_BYTES = 12;
const IOVEC_BYTES = 16;
/** `struct mmsghdr`: msghdr of 56 bytes, msg_len, padding. */
const MMSGHDR_BYTES = 64;
const MSGHDR_FLAGS = 48;
const MMSGHDR_LENGTH = 56;

export interface ListenOptions {
  /** NETLINK_NETFILTER 12 */
  readonly protocol: number;
  /** Numbers of the groups. */
  readonly groups: readonly number[];
  /** Bytes of queue asked for. The kernel allows itself twice as much, and counts its own overhead. */
  readonly queueBytes: number;
  /** Classic BPF: what it rejects is never queued. */
  readonly filter?: Uint8Array;
}

/** Gets one datagram: where it lies in the view, which the next read overwrites. */
export type OnDatagram = (view: DataView, from: number, to: number) => void;

export class NetlinkEvents implements Disposable {
  readonly counters = { foreignSender: 0, truncated: 0, overflows: 0 };
  /** Whether the kernel gave the queue that was asked for; without the capability it is bounded by net.core.rmem_max. */
  readonly queueForced: boolean;
  readonly #fd: number;
  /** One block that neither moves nor is collected, because the kernel is told addresses in it. */
  readonly #block = libc.allocate(SLOTS * (SLOT_BYTES + MMSGHDR_BYTES + IOVEC_BYTES + SOCKADDR_NL_BYTES));
  readonly #view: DataView;
  #closed = false;

  /** @throws NetlinkError when the kernel has no such family or group, or forbids it */
  constructor({ protocol, groups, queueBytes, filter }: ListenOptions) {
    this.#view = viewOf(this.#block.bytes);
    this.#describeSlots();
    this.#fd = libc.socket(libc.AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK, protocol);
    try {
      if (this.#fd < 0) throw new NetlinkError(-this.#fd, 'open a netlink socket for events');
      this.queueForced = this.#setOption(SOL_SOCKET, SO_RCVBUFFORCE, queueBytes) >= 0;
      if (!this.queueForced) this.#setOption(SOL_SOCKET, SO_RCVBUF, queueBytes);
      // Before the groups are joined, so that nothing comes which the filter would reject.
      if (filter !== undefined) {
        this.#must(libc.attachFilter(this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, filter), 'filter events');
      }
      const address = new Uint8Array(SOCKADDR_NL_BYTES);
      viewOf(address).setUint16(0, libc.AF_NETLINK, true);
      this.#must(libc.bind(this.#fd, address), 'bind a netlink socket for events');
      for (const group of groups) {
        this.#must(this.#setOption(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group), 'listen for events');
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Reads what waits, at most `most` datagrams and some.
   * @returns `empty`: nothing waits any more; `more`: something may; `overflowed`: the queue was full, so that
   *   messages are lost; what still waits in it has to be read before the kernel queues anything again
   */
  read(onDatagram: OnDatagram, most: number): 'empty' | 'more' | 'overflowed' {
    for (let taken = 0; taken < most; ) {
      const count = libc.recvMmsg(this.#fd, this.#block.pointer, SLOTS);
      if (count === -libc.EAGAIN) return 'empty';
      if (count === -libc.EINTR) continue;
      if (count === -libc.ENOBUFS) {
        this.counters.overflows++;
        return 'overflowed';
      }
      if (count < 0) throw new NetlinkError(-count, 'read events');
      for (let slot = 0; slot < count; slot++) this.#take(slot, onDatagram);
      taken += count;
    }
    return 'more';
  }

  #take(slot: number, onDatagram: OnDatagram): void {
    const header = slot * MMSGHDR_BYTES;
    const length = this.#view.getUint32(header + MMSGHDR_LENGTH, true);
    if (this.#view.getUint32(senderAt(slot) + 4, true) !== 0) this.counters.foreignSender++;
    else if ((this.#view.getUint32(header + MSGHDR_FLAGS, true) & libc.MSG_TRUNC) !== 0)
      this.counters.truncated++;
    else onDatagram(this.#view, slotAt(slot), slotAt(slot) + length);
  }

  #describeSlots(): void {
    const { address } = this.#block;
    for (let slot = 0; slot < SLOTS; slot++) {
      const header = slot * MMSGHDR_BYTES;
      this.#view.setBigUint64(header, address + BigInt(senderAt(slot)), true);
      this.#view.setUint32(header + 8, SOCKADDR_NL_BYTES, true);
      this.#view.setBigUint64(header + 16, address + BigInt(vectorAt(slot)), true);
      this.#view.setBigUint64(header + 24, 1n, true);
      this.#view.setBigUint64(vectorAt(slot), address + BigInt(slotAt(slot)), true);
      this.#view.setBigUint64(vectorAt(slot) + 8, BigInt(SLOT_BYTES), true);
    }
  }

  #setOption(level: number, name: number, value: number): number {
    return libc.setSockOpt(this.#fd, level, name, new Uint8Array(Int32Array.of(value).buffer));
  }

  #must(result: number, doing: string): void {
    if (result < 0) throw new NetlinkError(-result, doing);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#block.free();
  }
}

// The block: headers, vectors, senders, slots.
function vectorAt(slot: number): number {
  return SLOTS * MMSGHDR_BYTES + slot * IOVEC_BYTES;
}

function senderAt(slot: number): number {
  return SLOTS * (MMSGHDR_BYTES + IOVEC_BYTES) + slot * SOCKADDR_NL_BYTES;
}

function slotAt(slot: number): number {
  return SLOTS * (MMSGHDR_BYTES + IOVEC_BYTES + SOCKADDR_NL_BYTES) + slot * SLOT_BYTES;
}
