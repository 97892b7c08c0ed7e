/**
 * One socket of an inet_diag message, read into an object that is used again for the next: a dump has a hundred
 * thousand. Ports and addresses are big-endian, all else is in host order (little-endian).
 * linux/inet_diag.h, linux/tcp.h; net/ipv4/inet_diag.c tells which fields a TIME-WAIT socket has.
 */

import type { DiagDetails, SocketMemory, TcpInfo, TcpTransmission } from './inet-diag.ts';
import { KERNEL_STATE } from './inet-diag.ts';
import { decodeCString } from './message.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const MESSAGE_BYTES = 72;
/** The third word of a v4-mapped address. */
const MAPPED = 0xffff_0000;
const NLA_HEADER = 4;
const NLA_TYPE_MASK = 0x3fff;

const INET_DIAG_INFO = 2;
const INET_DIAG_CONG = 4;
const INET_DIAG_SKMEMINFO = 7;
const INET_DIAG_SHUTDOWN = 8;
const INET_DIAG_SKV6ONLY = 11;
const INET_DIAG_CGROUP_ID = 21;
const INET_DIAG_SOCKOPT = 22;

/** Length of `tcp_info` up to `tcpi_total_retrans`: what every kernel since 2.6 sends. */
const INFO_BYTES = 104;
const INFO_BYTES_WITH_TOTALS = 136;
const INFO_BYTES_WITH_SENT = 216;
/** TCP_INFINITE_SSTHRESH, net/tcp.h */
const NO_THRESHOLD = 0x7fff_ffff;
/** Length of SKMEMINFO up to the backlog; the drops came with Linux 4.7. */
const MEMORY_BYTES = 32;

/** Values of the message read last; those it does not hold are as `#clear` leaves them. */
export class DiagRecord {
  /** Of the socket, not of its packets: an AF_INET6 socket may speak IPv4 through v4-mapped addresses. */
  family: 4 | 6 = 4;
  /** One of `KERNEL_STATE`. The kernel itself writes SYN_RECV for its request sockets (NEW_SYN_RECV). */
  state = 0;
  /** One of `TIMER`. */
  timer = 0;
  retransmits = 0;
  /** Bits of `SHUTDOWN`; -1 when it is not told. */
  shutdown = -1;
  /** Of an IPv6 listener: that it takes no IPv4. -1 when it is not told. */
  v6Only = -1;
  /** IP_BIND_ADDRESS_NO_PORT, 0 or 1; -1 when it is not told. Since Linux 5.10. */
  bindAddressNoPort = -1;
  /** Id of the control group (version 2) the socket was made in, which is the inode of its folder; 0 when it is not told. Since Linux 5.8. */
  cgroupId = 0;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #from = 0;
  /** Offsets of payloads in the view, 0 without: a message begins behind its header. */
  #infoAt = 0;
  #infoEnd = 0;
  #memoryAt = 0;
  #memoryEnd = 0;
  #congestionAt = 0;
  #congestionEnd = 0;

  /**
   * Reads the payload that lies in `[from, to)`.
   * @returns why it is no socket, or undefined when it was read
   */
  read(view: DataView, from: number, to: number): string | undefined {
    if (to - from < MESSAGE_BYTES) return 'shorter than inet_diag_msg';
    const family = view.getUint8(from);
    if (family !== AF_INET && family !== AF_INET6) return 'neither IPv4 nor IPv6';
    this.#clear();
    this.#view = view;
    this.#from = from;
    this.family = family === AF_INET ? 4 : 6;
    this.state = view.getUint8(from + 1);
    this.timer = view.getUint8(from + 2);
    this.retransmits = view.getUint8(from + 3);
    for (let at = from + MESSAGE_BYTES; at + NLA_HEADER <= to; ) {
      const length = view.getUint16(at, true);
      if (length < NLA_HEADER || length > to - at) return 'attribute length out of bounds';
      this.#attribute(view.getUint16(at + 2, true) & NLA_TYPE_MASK, at + NLA_HEADER, at + length);
      at += (length + 3) & ~3;
    }
    return undefined;
  }

  /** A word of `inet_diag_msg` as it lies in memory: 1 the ports, 2 to 5 and 6 to 9 the addresses, 10 the interface. */
  word(index: number): number {
    return this.#view.getUint32(this.#from + 4 * index, true);
  }

  /** The family of its packets. */
  get spokenFamily(): 4 | 6 {
    if (this.family === 4) return 4;
    return this.word(2) === 0 && this.word(3) === 0 && this.word(4) === MAPPED ? 4 : 6;
  }

  get localPort(): number {
    return this.#view.getUint16(this.#from + 4);
  }

  get remotePort(): number {
    return this.#view.getUint16(this.#from + 6);
  }

  /** The kernel's number for this socket, in two halves; the one that takes its place in TIME-WAIT has another. */
  get cookieLow(): number {
    return this.word(11);
  }

  get cookieHigh(): number {
    return this.word(12);
  }

  /** When the timer fires. In TIME-WAIT: how long the socket stays. */
  get expiresMs(): number {
    return this.word(13);
  }

  /** In LISTEN: connections that wait to be accepted. */
  get receiveQueue(): number {
    return this.word(14);
  }

  /** In LISTEN: the backlog. */
  get sendQueue(): number {
    return this.word(15);
  }

  get uid(): number {
    return this.word(16);
  }

  /** 0 in TIME-WAIT, in SYN-RECEIVED and in an accept queue. */
  get inode(): number {
    return this.word(17);
  }

  /** Whether there is a tcp_info. */
  get hasInfo(): boolean {
    return this.#infoAt > 0;
  }

  /**
   * Whether the times below are told. Before its handshake a connection has none of them, and the kernel tells of all
   * three how long ago its clock was zero; so it does of one that ended before it had begun.
   */
  get hasTimes(): boolean {
    if (!this.hasInfo || this.state === KERNEL_STATE.SYN_SENT) return false;
    if (this.state !== KERNEL_STATE.CLOSE || this.#info(68) > 0) return true;
    const { lastDataSentMs, lastDataReceivedMs, lastAckReceivedMs } = this;
    return lastDataSentMs !== lastDataReceivedMs || lastDataSentMs !== lastAckReceivedMs;
  }

  get lastDataSentMs(): number {
    return this.#info(44);
  }

  get lastDataReceivedMs(): number {
    return this.#info(52);
  }

  get lastAckReceivedMs(): number {
    return this.#info(56);
  }

  /**
   * The low 32 bits of how many bytes were sent over the connection's life, each counted once however often it was
   * sent again; 0 where the kernel does not tell (before Linux 4.19).
   */
  get bytesSentOnce(): number {
    if (!this.hasInfo || this.#infoEnd - this.#infoAt < INFO_BYTES_WITH_SENT) return 0;
    return (this.#info(200) - this.#info(208)) >>> 0;
  }

  details(): DiagDetails {
    return {
      ...(this.hasInfo ? { info: this.#tcpInfo() } : {}),
      ...(this.#memoryAt > 0 ? { memory: this.#memory() } : {}),
      ...(this.#congestionAt > 0 ? { congestion: this.#congestion() } : {}),
    };
  }

  #clear(): void {
    this.shutdown = -1;
    this.v6Only = -1;
    this.bindAddressNoPort = -1;
    this.cgroupId = 0;
    this.#infoAt = 0;
    this.#memoryAt = 0;
    this.#congestionAt = 0;
  }

  #attribute(type: number, start: number, end: number): void {
    const view = this.#view;
    const length = end - start;
    if (type === INET_DIAG_INFO && length >= INFO_BYTES) {
      this.#infoAt = start;
      this.#infoEnd = end;
    } else if (type === INET_DIAG_SHUTDOWN && length >= 1) this.shutdown = view.getUint8(start);
    else if (type === INET_DIAG_SKV6ONLY && length >= 1) this.v6Only = view.getUint8(start) === 0 ? 0 : 1;
    else if (type === INET_DIAG_CGROUP_ID && length >= 8) this.cgroupId = this.#u64(start);
    else if (type === INET_DIAG_SOCKOPT && length >= 2) {
      this.bindAddressNoPort = view.getUint8(start + 1) & 1;
    } else if (type === INET_DIAG_SKMEMINFO && length >= MEMORY_BYTES) {
      this.#memoryAt = start;
      this.#memoryEnd = end;
    } else if (type === INET_DIAG_CONG) {
      this.#congestionAt = start;
      this.#congestionEnd = end;
    }
  }

  #tcpInfo(): TcpInfo {
    const totals = this.#infoEnd - this.#infoAt >= INFO_BYTES_WITH_TOTALS;
    return {
      ...(this.hasTimes
        ? {
            lastDataSentMs: this.lastDataSentMs,
            lastDataReceivedMs: this.lastDataReceivedMs,
            lastAckReceivedMs: this.lastAckReceivedMs,
          }
        : {}),
      rttUs: this.#info(68),
      retransmits: this.#info(100),
      ...(totals
        ? { bytesAcked: this.#u64(this.#infoAt + 120), bytesReceived: this.#u64(this.#infoAt + 128) }
        : {}),
      transmission: this.#transmission(),
    };
  }

  #transmission(): TcpTransmission {
    const length = this.#infoEnd - this.#infoAt;
    const threshold = this.#info(76);
    return {
      rttVarUs: this.#info(72),
      rtoMs: this.#info(8) / 1000,
      backoff: this.#view.getUint8(this.#infoAt + 4),
      mss: this.#info(16),
      pathMtu: this.#info(60),
      congestionWindow: this.#info(80),
      slowStartThreshold: threshold >= NO_THRESHOLD ? null : threshold,
      unacknowledged: this.#info(24),
      lost: this.#info(32),
      ...(length < 144
        ? {}
        : {
            pacingRate: this.#u64(this.#infoAt + 104),
            segmentsSent: this.#info(136),
            segmentsReceived: this.#info(140),
          }),
      ...(length < 152 ? {} : { bytesNotSent: this.#info(144), minRttUs: this.#info(148) }),
      ...(length < 168 ? {} : { deliveryRate: this.#u64(this.#infoAt + 160) }),
      ...(length < INFO_BYTES_WITH_SENT
        ? {}
        : {
            bytesSent: this.#u64(this.#infoAt + 200),
            bytesRetransmitted: this.#u64(this.#infoAt + 208),
          }),
      ...(length < 232 ? {} : { peerWindow: this.#info(228) }),
    };
  }

  #memory(): SocketMemory {
    const u32 = (index: number) => this.#view.getUint32(this.#memoryAt + 4 * index, true);
    return {
      receive: u32(0),
      receiveLimit: u32(1),
      send: u32(2),
      sendLimit: u32(3),
      forward: u32(4),
      queued: u32(5),
      options: u32(6),
      backlog: u32(7),
      drops: this.#memoryEnd - this.#memoryAt > MEMORY_BYTES ? u32(8) : 0,
    };
  }

  #congestion(): string {
    const { buffer, byteOffset } = this.#view;
    const length = this.#congestionEnd - this.#congestionAt;
    return decodeCString(new Uint8Array(buffer, byteOffset + this.#congestionAt, length));
  }

  #info(offset: number): number {
    return this.#view.getUint32(this.#infoAt + offset, true);
  }

  /** Exact up to 2^53. */
  #u64(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }
}
