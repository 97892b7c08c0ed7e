/** Packets as the tests of the host part send and read them, without an engine. */

import type { IpAddress } from '../../daemon/wire/address.ts';
import { ipFromBytes, parseIpAddress } from '../../daemon/wire/address.ts';
import { writeU16 } from '../../daemon/wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../daemon/wire/checksum.ts';
import { decodeIcmp } from '../../daemon/wire/icmp.ts';
import { addressBytes, decodeIp, PROTOCOL_TCP } from '../../daemon/wire/ip.ts';
import { encodeIpv4 } from '../../daemon/wire/ipv4.ts';
import { encodeIpv6 } from '../../daemon/wire/ipv6.ts';
import { seq } from '../../daemon/wire/seq.ts';
import { decodeTcpHeader, encodeTcpHeader, flagNames } from '../../daemon/wire/tcp-header.ts';
import type { Packet } from './host-run.ts';

const SOURCE_PORT = 40_000;

export function echoRequest(source: string, destination: string): Uint8Array {
  const v4 = !source.includes(':');
  return packet(source, destination, v4 ? 1 : 58, 8, (bytes, at) => {
    bytes[at] = v4 ? 8 : 128;
    writeU16(bytes, at + 4, process.pid & 0xffff);
    return { checksumAt: at + 2, pseudo: !v4 };
  });
}

export function segment(
  source: string,
  destination: string,
  to: { readonly port: number; readonly flags: number; readonly seq: number; readonly ack: number },
): Uint8Array {
  return packet(source, destination, PROTOCOL_TCP, 20, (bytes, at) => {
    encodeTcpHeader(bytes, at, {
      sourcePort: SOURCE_PORT,
      destinationPort: to.port,
      seq: seq(to.seq),
      ack: seq(to.ack),
      flags: to.flags,
      window: 65_535,
      urgentPointer: 0,
      optionBytes: 0,
    });
    return { checksumAt: at + 16, pseudo: true };
  });
}

/** @returns undefined for what is neither TCP nor an answer to a ping */
export function decodePacket(bytes: Uint8Array): Packet | undefined {
  const ip = decodeIp(bytes);
  if (!ip.ok) return undefined;
  const { source, destination, family, payload, end, protocol } = ip.value;
  const text = (at: number) => ipFromBytes(bytes.subarray(at, at + addressBytes(family))).text;
  const ends = { source: text(source), destination: text(destination) };
  if (protocol === PROTOCOL_TCP) {
    const header = decodeTcpHeader(bytes, payload, end);
    if (!header.ok) return undefined;
    return { ...ends, what: flagNames(header.value.flags).toSorted().join(' '), seq: header.value.seq };
  }
  const icmp = decodeIcmp(bytes, ip.value);
  return icmp.ok ? { ...ends, what: icmp.value.kind } : undefined;
}

function packet(
  source: string,
  destination: string,
  protocol: number,
  payloadBytes: number,
  fill: (bytes: Uint8Array, at: number) => { checksumAt: number; pseudo: boolean },
): Uint8Array {
  const from = address(source);
  const to = address(destination);
  const v4 = from.family === 4;
  const at = v4 ? 20 : 40;
  const bytes = new Uint8Array(at + payloadBytes);
  const header = { source: from.bytes, destination: to.bytes, protocol, ttl: 64, trafficClass: 0 };
  if (v4) encodeIpv4(bytes, { ...header, identification: 0 });
  else encodeIpv6(bytes, { ...header, flowLabel: 0 });
  const { checksumAt, pseudo } = fill(bytes, at);
  const sum = pseudo ? pseudoHeaderSum(bytes, v4 ? 12 : 8, v4 ? 8 : 32, protocol, payloadBytes) : 0;
  writeU16(bytes, checksumAt, checksumFinish(checksumAdd(sum, bytes, at, bytes.length)));
  return bytes;
}

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}
