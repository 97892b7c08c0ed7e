/** A packet from the link: what it is, whose it is, and where it goes. Everything else is counted and dropped. */

import { addressKindAt, type IpAddress, ipAt, isV4Mapped } from '../wire/address.ts';
import { sameBytes } from '../wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../wire/checksum.ts';
import { decodeIcmp } from '../wire/icmp.ts';
import {
  addressBytes,
  decodeIp,
  type IpHeader,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
} from '../wire/ip.ts';
import { decodeTcpHeader } from '../wire/tcp-header.ts';
import { decodeTcpOptions, NO_OPTIONS } from '../wire/tcp-options.ts';
import { icmpErrorArrives } from './icmp-reaction.ts';
import type { PassiveOpener } from './passive-open.ts';
import type { Registry } from './registry.ts';
import { isAck, isSyn, type Segment, segmentOf } from './segment.ts';
import { segmentArrives } from './segment-arrives.ts';
import type { Strangers } from './strangers.ts';
import { mayReplaceTimeWait } from './time-wait.ts';

export class Arrivals {
  readonly #registry: Registry;
  readonly #strangers: Strangers;
  readonly #opener: PassiveOpener;
  readonly #addresses: readonly IpAddress[];

  constructor(
    registry: Registry,
    strangers: Strangers,
    opener: PassiveOpener,
    addresses: readonly IpAddress[],
  ) {
    this.#registry = registry;
    this.#strangers = strangers;
    this.#opener = opener;
    this.#addresses = addresses;
  }

  packet(packet: Uint8Array, nowUs: number): void {
    this.#registry.counters.packetsIn += 1;
    const decoded = decodeIp(packet);
    if (!decoded.ok) return this.#registry.drop('ip-malformed');
    const ip = decoded.value;
    // MUST-57: what is sent to a multicast or broadcast address is not for us.
    const localIndex = this.#indexOf(packet, ip.destination, ip);
    if (localIndex < 0) return this.#registry.drop('not-ours');
    if (this.#isBadSource(packet, ip)) return this.#registry.drop('bad-source');
    if (ip.fragment) return this.#registry.drop('fragment');
    if (ip.protocol === PROTOCOL_TCP) return this.#tcp(packet, ip, localIndex, nowUs);
    if (ip.protocol === (ip.family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6)) {
      return this.#icmp(packet, ip, localIndex, nowUs);
    }
    this.#registry.drop('protocol-unknown');
  }

  #indexOf(packet: Uint8Array, offset: number, ip: IpHeader): number {
    for (let i = 0; i < this.#addresses.length; i += 1) {
      const { family, bytes } = this.#addresses[i] as IpAddress;
      if (family === ip.family && sameBytes(bytes, 0, packet, offset, bytes.length)) return i;
    }
    return -1;
  }

  /** MUST-63: nobody can be answered there; our own address as source is a forgery (land attack). */
  #isBadSource(packet: Uint8Array, ip: IpHeader): boolean {
    const kind = addressKindAt(packet, ip.source, ip.family);
    if (kind === 'unspecified' || kind === 'multicast' || kind === 'broadcast') return true;
    if (ip.family === 6 && isV4Mapped(packet, ip.source)) return true;
    return this.#indexOf(packet, ip.source, ip) >= 0;
  }

  #tcp(packet: Uint8Array, ip: IpHeader, localIndex: number, nowUs: number): void {
    const registry = this.#registry;
    const { payload: start, end } = ip;
    const header = decodeTcpHeader(packet, start, end);
    if (!header.ok) return registry.drop('tcp-malformed');
    const addresses = 2 * addressBytes(ip.family);
    const pseudo = pseudoHeaderSum(packet, ip.source, addresses, PROTOCOL_TCP, end - start);
    // MUST-3
    if (checksumFinish(checksumAdd(pseudo, packet, start, end)) !== 0) return registry.drop('checksum');
    const { options: optionsAt, payload, sourcePort, destinationPort } = header.value;
    const options = optionsAt === payload ? NO_OPTIONS : decodeTcpOptions(packet, optionsAt, payload);
    // MUST-7: what could be read of the options counts, the rest is lost.
    if (options.malformed) registry.drop('options-malformed');
    const segment = segmentOf(packet, ip, header.value, options);
    registry.counters.segmentsIn += 1;

    const bytes = addressBytes(ip.family);
    let connection = registry.byTuple.find(localIndex, destinationPort, packet, ip.source, bytes, sourcePort);
    const address = this.#addresses[localIndex] as IpAddress;
    let minimumIss: Segment['seq'] | undefined;
    if (connection?.state.name === 'TIME-WAIT' && isSyn(segment)) {
      const drops = registry.profile.timeWaitSyn === 'dropped';
      const listening = registry.listeners.find(address, destinationPort) !== undefined;
      const replaces = mayReplaceTimeWait(connection.state, segment);
      if (drops && !replaces && !isAck(segment)) return registry.drop('syn-in-connection');
      if (replaces && (listening || drops)) {
        minimumIss = connection.state.sent.nxt;
        registry.end(connection, 'closed', nowUs);
        connection = undefined;
      }
    }
    if (connection !== undefined) {
      segmentArrives(registry, connection, segment, nowUs);
      registry.touch(connection);
      return;
    }
    // MUST-63: answers of this machine come from there, but nobody else does.
    if (addressKindAt(packet, ip.source, ip.family) === 'loopback') return registry.drop('bad-source');
    const listener = registry.listeners.find(address, destinationPort);
    // Decided before anything is made: of a flood there is more than can be answered.
    if (listener !== undefined && isSyn(segment) && !this.#opener.mayAnswer(listener, packet, ip)) return;
    const local = { address, port: destinationPort };
    const remote = { address: ipAt(packet, ip.source, ip.family), port: sourcePort };
    if (listener === undefined) {
      return this.#strangers.segment(segment, local, remote, ip.trafficClass & ~3, nowUs);
    }
    this.#opener.arrives(listener, segment, { local, remote, localIndex }, minimumIss, nowUs);
  }

  #icmp(packet: Uint8Array, ip: IpHeader, localIndex: number, nowUs: number): void {
    const registry = this.#registry;
    const message = decodeIcmp(packet, ip);
    if (!message.ok) return registry.drop('icmp-malformed');
    switch (message.value.kind) {
      case 'echo-request':
        return this.#strangers.echo(packet, ip, this.#addresses[localIndex] as IpAddress);
      case 'echo-reply':
        return registry.drop('echo-reply');
      case 'other':
        return registry.drop('icmp-ignored');
      case 'error': {
        registry.counters.icmpErrorsIn += 1;
        const { error, quoted } = message.value;
        if (quoted === undefined) return registry.drop('icmp-unmatched');
        const { source, sourcePort, destination, destinationPort } = quoted;
        const from = this.#addresses.findIndex((ours) => ours.text === source.text);
        const remote = { address: destination, port: destinationPort };
        const connection = from < 0 ? undefined : registry.byTuple.findTuple(from, sourcePort, remote);
        if (connection === undefined) return registry.drop('icmp-unmatched');
        const sender = ipAt(packet, ip.source, ip.family);
        icmpErrorArrives(registry, connection, sender, error, quoted.seq, nowUs);
        registry.touch(connection);
      }
    }
  }
}
