/** Between the segments of scripts and packets. */

import type { IpAddress } from '../../daemon/wire/address.ts';
import { readU16, readU32, writeU16, writeU32 } from '../../daemon/wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../daemon/wire/checksum.ts';
import { addressBytes, decodeIp, PROTOCOL_TCP } from '../../daemon/wire/ip.ts';
import { encodeIpv4, IPV4_HEADER_BYTES, IPV4_SOURCE } from '../../daemon/wire/ipv4.ts';
import { encodeIpv6, IPV6_HEADER_BYTES, IPV6_SOURCE } from '../../daemon/wire/ipv6.ts';
import { seqAdd, seqDiff, seq as toSeq } from '../../daemon/wire/seq.ts';
import {
  decodeTcpHeader,
  encodeTcpHeader,
  TCP_CHECKSUM,
  TCP_HEADER_BYTES,
} from '../../daemon/wire/tcp-header.ts';
import { flagBits, flagsOf, type SegmentText } from './segment-text.ts';

/** One connection as the script sees it: where its numbers begin. */
export interface Flow {
  readonly peerPort: number;
  enginePort: number;
  /** Initial sequence numbers, of the engine once its SYN was seen. */
  iss: number;
  readonly irs: number;
  /** The last TSval of the engine. */
  lastTsval: number;
}

export interface Ends {
  readonly engine: IpAddress;
  readonly peer: IpAddress;
}

const TTL = 255;
const OPTION = { eol: 0, nop: 1, mss: 2, wscale: 3, sackOK: 4, sack: 5, TS: 8 } as const;

/** The packet of a segment from the peer, checksums and all. */
export function packetOf(segment: SegmentText, flow: Flow, { engine, peer }: Ends): Uint8Array {
  const options = encodeOptions(segment.options ?? [], flow);
  const ipBytes = engine.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const packet = new Uint8Array(ipBytes + TCP_HEADER_BYTES + options.length + segment.length);
  const header = {
    source: peer.bytes,
    destination: engine.bytes,
    protocol: PROTOCOL_TCP,
    ttl: segment.ttl ?? TTL,
    trafficClass: segment.tos ?? 0,
  };
  if (engine.family === 4) encodeIpv4(packet, { ...header, identification: 0, dontFragment: true });
  else encodeIpv6(packet, { ...header, flowLabel: 0 });
  encodeTcpHeader(packet, ipBytes, {
    sourcePort: flow.peerPort,
    destinationPort: flow.enginePort,
    seq: seqAdd(toSeq(flow.irs), segment.first),
    ack: segment.ack === undefined ? toSeq(0) : seqAdd(toSeq(flow.iss), segment.ack),
    flags: flagBits(segment.flags),
    window: segment.win ?? 0xffff,
    urgentPointer: segment.urg ?? 0,
    optionBytes: options.length,
  });
  packet.set(options, ipBytes + TCP_HEADER_BYTES);
  writeU16(packet, ipBytes + TCP_CHECKSUM, tcpChecksum(packet, ipBytes));
  return packet;
}

function tcpChecksum(packet: Uint8Array, ipBytes: number): number {
  const v4 = ipBytes === IPV4_HEADER_BYTES;
  const addresses = 2 * addressBytes(v4 ? 4 : 6);
  const length = packet.length - ipBytes;
  const pseudo = pseudoHeaderSum(packet, v4 ? IPV4_SOURCE : IPV6_SOURCE, addresses, PROTOCOL_TCP, length);
  return checksumFinish(checksumAdd(pseudo, packet, ipBytes, packet.length));
}

/** In the order they are written, padded with zeros to whole words. */
function encodeOptions(options: readonly string[], flow: Flow): Uint8Array {
  const bytes: number[] = [];
  for (const option of options) {
    const [name = '', ...words] = option.split(/\s+/);
    const kind = OPTION[name as keyof typeof OPTION];
    if (kind === undefined) throw new Error(`there is no option ${option}`);
    if (kind <= OPTION.nop) bytes.push(kind);
    else {
      const value = optionValue(name, words, flow);
      bytes.push(kind, 2 + value.length, ...value);
    }
  }
  while (bytes.length % 4 !== 0) bytes.push(0);
  return Uint8Array.from(bytes);
}

function optionValue(name: string, words: readonly string[], flow: Flow): number[] {
  const number = (word: string | undefined) => (word === 'last' ? flow.lastTsval : Number(word));
  switch (name) {
    case 'mss':
      return [Number(words[0]) >>> 8, Number(words[0]) & 0xff];
    case 'wscale':
      return [Number(words[0])];
    case 'TS':
      return [...u32(number(words[0])), ...u32(number(words[1]))];
    case 'sack':
      return words.flatMap((block) => block.split(':').flatMap((edge) => u32(flow.iss + Number(edge))));
    default:
      return [];
  }
}

function u32(value: number): number[] {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value >>> 0);
  return [...bytes];
}

/** The ports of a packet of the engine; undefined when it carries no TCP. */
export function portsOf(packet: Uint8Array): { readonly engine: number; readonly peer: number } | undefined {
  const ip = decodeIp(packet);
  if (!ip.ok || ip.value.protocol !== PROTOCOL_TCP) return undefined;
  const header = decodeTcpHeader(packet, ip.value.payload, ip.value.end);
  return header.ok ? { engine: header.value.sourcePort, peer: header.value.destinationPort } : undefined;
}

/** What the engine sent, in the script's numbers. A SYN begins the flow's. @throws Error for a wrong checksum */
export function segmentOf(packet: Uint8Array, flow: Flow): SegmentText {
  const ip = decodeIp(packet);
  if (!ip.ok) throw new Error('the engine sent something that is no IP packet');
  const { payload: start, end, ttl, trafficClass } = ip.value;
  const header = decodeTcpHeader(packet, start, end);
  if (!header.ok) throw new Error('the engine sent something that is no segment');
  if (tcpChecksum(packet, start) !== 0) throw new Error('the engine sent a wrong checksum');
  const { flags, seq, ack, window, urgentPointer, options, payload, sourcePort } = header.value;
  const names = flagsOf(flags);
  flow.enginePort = sourcePort;
  if (names.includes('SYN')) flow.iss = seq;
  return {
    flags: names,
    first: seqDiff(seq, toSeq(flow.iss)),
    length: end - payload,
    ack: names.includes('ACK') ? seqDiff(ack, toSeq(flow.irs)) : undefined,
    win: window,
    urg: names.includes('URG') ? urgentPointer : undefined,
    ttl,
    tos: trafficClass,
    options: decodeOptions(packet, options, payload, flow),
  };
}

/** Every option in its place, NOP and EOL as well: the order is part of what is tested. */
function decodeOptions(packet: Uint8Array, start: number, end: number, flow: Flow): string[] {
  const options: string[] = [];
  for (let at = start; at < end; ) {
    const kind = packet[at] ?? 0;
    if (kind <= OPTION.nop) {
      options.push(kind === OPTION.nop ? 'nop' : 'eol');
      at += 1;
      continue;
    }
    const length = Math.max(packet[at + 1] ?? 2, 2);
    options.push(optionText(packet, at, kind, length, flow));
    at += length;
  }
  return options;
}

function optionText(packet: Uint8Array, at: number, kind: number, length: number, flow: Flow): string {
  switch (kind) {
    case OPTION.mss:
      return `mss ${readU16(packet, at + 2)}`;
    case OPTION.wscale:
      return `wscale ${packet[at + 2]}`;
    case OPTION.sackOK:
      return 'sackOK';
    case OPTION.TS:
      flow.lastTsval = readU32(packet, at + 2);
      return `TS ${flow.lastTsval} ${readU32(packet, at + 6)}`;
    case OPTION.sack: {
      const edge = (offset: number) => seqDiff(toSeq(readU32(packet, offset)), toSeq(flow.irs));
      const blocks = Array.from({ length: (length - 2) / 8 }, (_, i) => at + 2 + 8 * i);
      return ['sack', ...blocks.map((block) => `${edge(block)}:${edge(block + 4)}`)].join(' ');
    }
    default:
      return `kind ${kind}`;
  }
}
