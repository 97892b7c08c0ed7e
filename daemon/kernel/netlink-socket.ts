/**
 * A netlink socket for requests: sends a message, reads the kernel's answer to its end. Answers from anyone but
 * the kernel (port id 0) and answers to other requests are dropped and counted.
 * Multicast is not its matter: a socket either asks or listens.
 */

import { FinwaitError } from '#base/errors.ts';
import type { NetlinkMessage } from '../netlink/message.ts';
import { decodeErrno, decodeMessages, NLMSG_DONE, NLMSG_ERROR, viewOf } from '../netlink/message.ts';
import * as libc from './libc.ts';

/** A dump's datagrams hold at most 32 KiB; a shorter buffer makes the kernel send more and smaller ones. */
const RECEIVE_BYTES = 64 * 1024;
const RECEIVE_TIMEOUT_MS = 5_000;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;

export interface NetlinkCounters {
  foreignSender: number;
  foreignSequence: number;
  truncated: number;
  undecodable: number;
}

/** An error the kernel answered with; `errno` is positive. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  readonly errno: number;

  constructor(errno: number, doing: string) {
    super(`${doing}: ${libc.errnoName(errno)}`);
    this.errno = errno;
  }
}

export class NetlinkSocket implements Disposable {
  readonly counters: NetlinkCounters = { foreignSender: 0, foreignSequence: 0, truncated: 0, undecodable: 0 };
  readonly #fd: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #sender = new Uint8Array(12);
  #seq = 0;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * @param protocol NETLINK_ROUTE 0, NETLINK_SOCK_DIAG 4, NETLINK_NETFILTER 12
   * @throws NetlinkError when the kernel has no such family or forbids it
   */
  static open(protocol: number): NetlinkSocket {
    const fd = libc.socket(libc.AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC, protocol);
    if (fd < 0) throw new NetlinkError(-fd, `open a netlink socket of protocol ${protocol}`);
    const address = new Uint8Array(12);
    viewOf(address).setUint16(0, libc.AF_NETLINK, true);
    const bound = libc.bind(fd, address);
    if (bound < 0) {
      libc.close(fd);
      throw new NetlinkError(-bound, 'bind a netlink socket');
    }
    libc.setSockOpt(fd, SOL_NETLINK, NETLINK_CAP_ACK, new Uint8Array([1, 0, 0, 0]));
    return new NetlinkSocket(fd);
  }

  /** The next sequence number, for messages that the caller encodes. */
  nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0;
    return this.#seq;
  }

  /**
   * Sends one request and hands every answer message to `onMessage` until the kernel says the answer is whole.
   * The messages' payloads are views that the next read overwrites.
   * @param encode makes the message from its sequence number
   * @param doing what is being done, for the error's text
   * @throws NetlinkError the kernel's errno
   */
  request(
    encode: (seq: number) => Uint8Array,
    doing: string,
    onMessage: (message: NetlinkMessage) => void = () => {},
  ): void {
    const seq = this.nextSeq();
    const sent = libc.send(this.#fd, encode(seq));
    if (sent < 0) throw new NetlinkError(-sent, doing);
    while (!this.#readAnswer((s) => s === seq, doing, onMessage)) {
      // every turn consumes one datagram; #readAnswer throws when none comes in time
    }
  }

  /**
   * Sends a batch (nftables) and waits until each of the sequence numbers in `acks` is acknowledged.
   * @throws NetlinkError the first errno the kernel answered with
   */
  batch(datagram: Uint8Array, acks: readonly number[], doing: string): void {
    const sent = libc.send(this.#fd, datagram);
    if (sent < 0) throw new NetlinkError(-sent, doing);
    const open = new Set(acks);
    while (open.size > 0) {
      this.#readAnswer(
        (s) => open.delete(s),
        doing,
        () => {},
      );
    }
  }

  /** Reads one datagram; true when it ended an answer that `mine` accepts. */
  #readAnswer(
    mine: (seq: number) => boolean,
    doing: string,
    onMessage: (message: NetlinkMessage) => void,
  ): boolean {
    const datagram = this.#receive(doing);
    if (datagram === undefined) return false;
    const messages = decodeMessages(datagram);
    if (!messages.ok) {
      this.counters.undecodable++;
      return false;
    }
    let done = false;
    for (const message of messages.value) {
      if (!mine(message.seq)) {
        this.counters.foreignSequence++;
      } else if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        const errno = message.payload.length >= 4 ? decodeErrno(message.payload) : 0;
        if (errno < 0) throw new NetlinkError(-errno, doing);
        done = true;
      } else {
        onMessage(message);
      }
    }
    return done;
  }

  #receive(doing: string): Uint8Array | undefined {
    const pollfd = new Uint8Array(8);
    viewOf(pollfd).setInt32(0, this.#fd, true);
    viewOf(pollfd).setInt16(4, libc.POLLIN, true);
    if (libc.poll(pollfd, RECEIVE_TIMEOUT_MS) === 0) {
      throw new FinwaitError(
        'NETLINK_FAILED',
        `${doing}: the kernel did not answer`,
        'try again; report it if it persists',
      );
    }
    const length = libc.recvFrom(this.#fd, this.#buffer, libc.MSG_TRUNC, this.#sender);
    if (length < 0) {
      if (-length === libc.EINTR) return undefined;
      throw new NetlinkError(-length, doing);
    }
    if (viewOf(this.#sender).getUint32(4, true) !== 0) {
      this.counters.foreignSender++;
      return undefined;
    }
    if (length > this.#buffer.length) {
      this.counters.truncated++;
      return undefined;
    }
    return this.#buffer.subarray(0, length);
  }

  [Symbol.dispose](): void {
    libc.close(this.#fd);
  }
}
