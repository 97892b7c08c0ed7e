/**
 * A netlink socket for requests: sends a message, reads the kernel's answer to its end. Answers from anyone but
 * the kernel (port id 0) and answers to other requests are dropped and counted.
 * Multicast is not its matter: a socket either asks or listens.
 */

import { FinwaitError } from '#base/errors.ts';
import type { NetlinkMessage } from '../netlink/message.ts';
import {
  decodeErrno,
  decodeExtendedError,
  decodeMessages,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  viewOf,
} from '../netlink/message.ts';
import * as libc from './libc.ts';

/** A dump's datagrams hold at most 32 KiB; a shorter buffer makes the kernel send more and smaller ones. */
const RECEIVE_BYTES = 64 * 1024;
/**
 * Longest wait for the next datagram of an answer. The kernel makes it while the request is sent or the one before
 * is read, so what is not there then has been lost.
 */
const PATIENCE_MS = 200;
const HEADER_BYTES = 16;
/** `struct timeval` */
const RECEIVE_TIMEOUT = new Uint8Array(new BigInt64Array([0n, BigInt(PATIENCE_MS) * 1000n]).buffer);
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const ON = Uint8Array.of(1, 0, 0, 0);

export interface NetlinkCounters {
  foreignSender: number;
  foreignSequence: number;
  truncated: number;
  undecodable: number;
  /** Dumps during which the table changed, so that rows may be missing or double. */
  interrupted: number;
  /** Answers that found no room in the socket's queue, or were not there in time. */
  unanswered: number;
}

export function noNetlinkFaults(): NetlinkCounters {
  return {
    foreignSender: 0,
    foreignSequence: 0,
    truncated: 0,
    undecodable: 0,
    interrupted: 0,
    unanswered: 0,
  };
}

/** An error the kernel answered with; `errno` is positive. */
export class NetlinkError extends Error {
  override readonly name: string = 'NetlinkError';
  readonly errno: number;

  /** @param words the kernel's own explanation, if it gave one */
  constructor(errno: number, doing: string, words?: string) {
    super(`${doing}: ${libc.errnoName(errno)}${words === undefined ? '' : `: ${words}`}`);
    this.errno = errno;
  }
}

/** The answer got lost on the way, so nothing is known of how the request fared. */
export class NoAnswer extends NetlinkError {
  constructor(errno: number, doing: string) {
    super(errno, doing, "the kernel's answer got lost");
  }
}

/** For a request that does not fail on a sound machine. */
export function netlinkFailed(error: NetlinkError): FinwaitError {
  const hint =
    error instanceof NoAnswer
      ? 'it is tried again; if it persists, some program floods the netlink sockets of this machine'
      : 'if finwait runs with a seccomp profile, allow it netlink; else report this';
  return new FinwaitError('NETLINK_FAILED', error.message, hint, error);
}

export class NetlinkSocket implements Disposable {
  readonly counters: NetlinkCounters;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #view = viewOf(this.#buffer);
  readonly #sender = new Uint8Array(12);
  #seq = 0;
  #closed = false;
  /** When the kernel last said something. */
  #heardMs = 0;

  private constructor(fd: number, counters: NetlinkCounters) {
    this.#fd = fd;
    this.counters = counters;
  }

  /**
   * @param protocol NETLINK_ROUTE 0, NETLINK_SOCK_DIAG 4, NETLINK_NETFILTER 12
   * @param counters where it counts what it had to drop
   * @throws NetlinkError when the kernel has no such family or forbids it
   */
  static open(protocol: number, counters = noNetlinkFaults()): NetlinkSocket {
    const fd = libc.socket(libc.AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC, protocol);
    if (fd < 0) throw new NetlinkError(-fd, `open a netlink socket of protocol ${protocol}`);
    const address = new Uint8Array(12);
    viewOf(address).setUint16(0, libc.AF_NETLINK, true);
    const bound = libc.bind(fd, address);
    if (bound < 0) {
      libc.close(fd);
      throw new NetlinkError(-bound, 'bind a netlink socket');
    }
    libc.setSockOpt(fd, SOL_SOCKET, SO_RCVTIMEO, RECEIVE_TIMEOUT);
    // Comfort of newer kernels: short acknowledgements, and errors in words.
    libc.setSockOpt(fd, SOL_NETLINK, NETLINK_CAP_ACK, ON);
    libc.setSockOpt(fd, SOL_NETLINK, NETLINK_EXT_ACK, ON);
    return new NetlinkSocket(fd, counters);
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
    this.#send(encode(seq), doing);
    let whole = false;
    const end = () => {
      whole = true;
    };
    while (!whole) this.#readDatagram((s) => s === seq, doing, onMessage, end);
  }

  /**
   * The same for tables of many rows: nothing is made for a row.
   * @param onPayload gets where a message's payload lies in a view that the next read overwrites
   * @param between is called before each datagram is waited for
   * @throws NetlinkError the kernel's errno
   */
  dump(
    encode: (seq: number) => Uint8Array,
    doing: string,
    onPayload: (view: DataView, from: number, to: number) => void,
    between = () => {},
  ): void {
    const seq = this.nextSeq();
    this.#send(encode(seq), doing);
    for (let whole = false; !whole; ) {
      between();
      const datagram = this.#receive(doing);
      if (datagram !== undefined) whole = this.#walk(datagram.length, seq, doing, onPayload);
    }
  }

  /** @returns whether the answer is whole */
  #walk(
    length: number,
    seq: number,
    doing: string,
    onPayload: (view: DataView, from: number, to: number) => void,
  ): boolean {
    const view = this.#view;
    let interrupted = false;
    for (let at = 0, next = 0; at < length; at = next) {
      const whole = length - at < HEADER_BYTES ? 0 : view.getUint32(at, true);
      if (whole < HEADER_BYTES || whole > length - at) {
        this.counters.undecodable++;
        break;
      }
      next = at + ((whole + 3) & ~3);
      const type = view.getUint16(at + 4, true);
      if (view.getUint32(at + 8, true) !== seq) {
        this.counters.foreignSequence++;
        continue;
      }
      if ((view.getUint16(at + 6, true) & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (type === NLMSG_ERROR || type === NLMSG_DONE) {
        if (interrupted) this.counters.interrupted++;
        const end = decodeMessages(this.#buffer.subarray(at, at + whole));
        for (const message of end.ok ? end.value : []) throwIfError(message, doing);
        return true;
      }
      onPayload(view, at + HEADER_BYTES, at + whole);
    }
    if (interrupted) this.counters.interrupted++;
    return false;
  }

  /**
   * Sends a batch (nftables) and waits until each of its messages that asks for it is acknowledged.
   * @param seqs sequence numbers of all messages, taken from `nextSeq`; an error may come for any of them
   * @param acks those that carry NLM_F_ACK
   * @throws NetlinkError the first errno the kernel answered with; then nothing of the batch was done
   */
  batch(datagram: Uint8Array, seqs: readonly number[], acks: readonly number[], doing: string): void {
    this.#send(datagram, doing);
    const open = new Set(acks);
    const end = (seq: number) => {
      open.delete(seq);
    };
    while (open.size > 0)
      this.#readDatagram(
        (s) => seqs.includes(s),
        doing,
        () => {},
        end,
      );
  }

  #send(datagram: Uint8Array, doing: string): void {
    const sent = libc.send(this.#fd, datagram);
    if (sent < 0) throw new NetlinkError(-sent, doing);
    this.#heardMs = performance.now();
  }

  /** Reads one datagram: messages that are `isMine` go to `onMessage`, acknowledgements and ends of dumps to `onEnd`. */
  #readDatagram(
    isMine: (seq: number) => boolean,
    doing: string,
    onMessage: (message: NetlinkMessage) => void,
    onEnd: (seq: number) => void,
  ): void {
    const datagram = this.#receive(doing);
    if (datagram === undefined) return;
    const messages = decodeMessages(datagram);
    if (!messages.ok) {
      this.counters.undecodable++;
      return;
    }
    let interrupted = false;
    for (const message of messages.value) {
      if (!isMine(message.seq)) {
        this.counters.foreignSequence++;
        continue;
      }
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        throwIfError(message, doing);
        onEnd(message.seq);
      } else {
        onMessage(message);
      }
    }
    if (interrupted) this.counters.interrupted++;
  }

  #receive(doing: string): Uint8Array | undefined {
    const length = libc.recvFrom(this.#fd, this.#buffer, libc.MSG_TRUNC, this.#sender);
    if (length < 0) {
      if (-length === libc.EINTR) return undefined;
      if (-length !== libc.EAGAIN && -length !== libc.ENOBUFS) throw new NetlinkError(-length, doing);
      return this.#noAnswer(-length, doing);
    }
    if (viewOf(this.#sender).getUint32(4, true) !== 0) {
      this.counters.foreignSender++;
      // Others may send without end; they are listened to no longer than silence is.
      if (performance.now() - this.#heardMs > PATIENCE_MS) this.#noAnswer(libc.EAGAIN, doing);
      return undefined;
    }
    this.#heardMs = performance.now();
    if (length > this.#buffer.length) {
      this.counters.truncated++;
      return undefined;
    }
    return this.#buffer.subarray(0, length);
  }

  #noAnswer(errno: number, doing: string): never {
    this.counters.unanswered++;
    throw new NoAnswer(errno, doing);
  }

  /** Closes the socket; what the kernel keeps for it, such as an nftables table it owns, goes too. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }
}

/** @param message of type NLMSG_ERROR or NLMSG_DONE */
function throwIfError(message: NetlinkMessage, doing: string): void {
  const errno = message.payload.length >= 4 ? decodeErrno(message.payload) : 0;
  if (errno < 0) throw new NetlinkError(-errno, doing, decodeExtendedError(message));
}
