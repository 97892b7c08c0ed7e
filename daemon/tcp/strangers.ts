/** Answers to packets that belong to no connection: echo replies, RSTs, cookies. They wait here, already made, for `next`. */

import { type IpAddress, ipAt } from '../wire/address.ts';
import { writeU16 } from '../wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../wire/checksum.ts';
import { ECHO_REPLY_V4, ECHO_REPLY_V6, ICMP_CHECKSUM } from '../wire/icmp.ts';
import { type IpHeader, PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../wire/ip.ts';
import { IPV6_SOURCE } from '../wire/ipv6.ts';
import { NO_OPTIONS } from '../wire/tcp-options.ts';
import { ipHeaderBytes } from './agreement.ts';
import type { Core } from './core.ts';
import { Fifo } from './fifo.ts';
import { resetAnswer } from './listen.ts';
import type { OutgoingSegment, PacketBuilder } from './packets.ts';
import { type Segment, viewOf } from './segment.ts';
import type { SocketAddress } from './types.ts';

/** Strangers decide how many there are; what goes beyond is dropped and counted. The same of those to known peers. */
const REPLIES_MAX = 1024;
/** Strays told between two calls of `events`. */
const STRAYS_MAX = 1024;

export class Strangers {
  readonly #core: Core;
  readonly #packets: PacketBuilder;
  readonly #replies = new Fifo<Uint8Array>();
  /** Those to peers that are known: they come before everything else. */
  readonly #urgent = new Fifo<Uint8Array>();
  #straysTold = 0;

  constructor(core: Core, packets: PacketBuilder) {
    this.#core = core;
    this.#packets = packets;
  }

  get queued(): number {
    return this.#replies.length + this.#urgent.length;
  }

  next(): Uint8Array | undefined {
    return this.#replies.shift();
  }

  nextUrgent(): Uint8Array | undefined {
    return this.#urgent.shift();
  }

  /** The events were taken: there is room for more. */
  eventsTaken(): void {
    this.#straysTold = 0;
  }

  /** A segment for no connection: RFC 9293 3.10.7.1. */
  segment(
    segment: Segment,
    local: SocketAddress,
    remote: SocketAddress,
    trafficClass: number,
    nowUs: number,
  ): void {
    this.#core.counters.straySegments += 1;
    if (this.#straysTold < STRAYS_MAX) {
      this.#straysTold += 1;
      this.#core.tell({ kind: 'stray', atUs: nowUs, remote, local, segment: viewOf(segment, false) });
    } else this.#core.drop('stray-unreported');
    const answer = resetAnswer(segment);
    if (answer === undefined) return;
    if (this.#core.profile.blackhole) return this.#core.drop('blackhole');
    const reset = { ...answer, window: 0, options: NO_OPTIONS, layout: [] };
    const { ttl } = this.#core.profile;
    if (this.answer({ local, remote, ttl }, trafficClass, reset)) this.#core.counters.resetsSent += 1;
  }

  /** Answers with a segment that belongs to no connection; false when there is no room for it. */
  answer(
    ends: { readonly local: SocketAddress; readonly remote: SocketAddress; readonly ttl: number },
    trafficClass: number,
    segment: Pick<OutgoingSegment, 'seq' | 'ack' | 'flags' | 'window' | 'options' | 'layout'>,
    urgent = false,
  ): boolean {
    if (!this.hasRoom(urgent)) return false;
    this.#core.counters.segmentsOut += 1;
    const { local, remote, ttl } = ends;
    const { seq, ack, flags, window, options, layout } = segment;
    const packet = this.#packets.segment(
      { local, remote, ttl, trafficClass, flowLabel: 0 },
      { seq, ack, flags, window, options, layout, urgentPointer: 0, ring: undefined, offset: 0, length: 0 },
    );
    (urgent ? this.#urgent : this.#replies).push(packet);
    return true;
  }

  /** An echo request for one of our addresses. RFC 1122 3.2.2.6, RFC 4443 4.2 */
  echo(packet: Uint8Array, ip: IpHeader, local: IpAddress): void {
    if (!this.hasRoom(false)) return;
    const { family } = ip;
    const at = ipHeaderBytes(family);
    const reply = this.#packets.take(at + ip.end - ip.payload);
    reply.set(packet.subarray(ip.payload, ip.end), at);
    reply[at] = family === 4 ? ECHO_REPLY_V4 : ECHO_REPLY_V6;
    const remote = ipAt(packet, ip.source, family);
    const path = {
      local: { address: local, port: 0 },
      remote: { address: remote, port: 0 },
      ttl: this.#core.profile.ttl,
      trafficClass: ip.trafficClass & ~3,
      flowLabel: 0,
    };
    const protocol = family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
    this.#packets.writeIpHeader(reply, path, protocol);
    writeU16(reply, at + ICMP_CHECKSUM, 0);
    const length = reply.length - at;
    const pseudo = family === 4 ? 0 : pseudoHeaderSum(reply, IPV6_SOURCE, 32, protocol, length);
    writeU16(reply, at + ICMP_CHECKSUM, checksumFinish(checksumAdd(pseudo, reply, at, reply.length)));
    this.#core.counters.echoRepliesSent += 1;
    this.#replies.push(reply);
  }

  /** Whether one more answer can wait; if not, that is counted. */
  hasRoom(urgent: boolean): boolean {
    if ((urgent ? this.#urgent : this.#replies).length < REPLIES_MAX) return true;
    this.#core.drop('reply-queue-full');
    return false;
  }
}
