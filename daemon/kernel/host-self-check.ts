/**
 * A check at the start that this machine answers what the engine sends: an echo request and a stray TCP segment
 * (which RFC 9293 3.10.7.1 has answered with RST, and which leaves nothing open) to each kind of its own addresses.
 */

import type { Condition } from '#base/errors.ts';
import type { IpAddress } from '../wire/address.ts';
import { ipFromBytes, parseIpAddress } from '../wire/address.ts';
import { writeU16 } from '../wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../wire/checksum.ts';
import { ECHO_REQUEST_V4, ECHO_REQUEST_V6, ICMP_CHECKSUM, ICMP_HEADER_BYTES } from '../wire/icmp.ts';
import { addressBytes, decodeIp, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP } from '../wire/ip.ts';
import { encodeIpv4, IPV4_HEADER_BYTES, IPV4_SOURCE } from '../wire/ipv4.ts';
import { encodeIpv6, IPV6_HEADER_BYTES, IPV6_SOURCE } from '../wire/ipv6.ts';
import { seq } from '../wire/seq.ts';
import { ACK, encodeTcpHeader, TCP_CHECKSUM, TCP_HEADER_BYTES } from '../wire/tcp-header.ts';
import type { HostLink } from './host-link.ts';
import { createPoller } from './poller.ts';
import { ipv4Setting, readSetting } from './sysctl.ts';

/** The kernel answers within the write; the rest is for a machine that is very busy. */
const PATIENCE_MS = 500;
/** Discard (RFC 863): some port has to be named, any answers a stray segment. */
const PORT = 9;
const SOURCE_PORT = 61_000;

export interface SelfCheckParts {
  readonly fd: number;
  readonly device: string;
  readonly link: HostLink;
  readonly loopbackV6: boolean;
  readonly read: (into: Uint8Array) => number;
  readonly write: (packet: Uint8Array) => number;
}

/** @returns a condition for each kind of own address that does not answer. Takes half a second if one is silent. */
export function selfCheck(parts: SelfCheckParts): Condition[] {
  const { link, loopbackV6 } = parts;
  const v4 = { engine: link.v4.engine, blocked: machineSilent };
  const checks = [
    { ...v4, target: link.v4.host },
    { ...v4, target: address('127.0.0.1'), blocked: loopbackV4Silent },
  ];
  if (link.v6 !== undefined) {
    const v6 = { engine: link.v6.engine, blocked: machineSilent };
    checks.push({ ...v6, target: link.v6.host });
    if (loopbackV6) checks.push({ ...v6, target: address('::1'), blocked: loopbackV6Silent });
  }
  const silent = new Map(checks.map((check) => [check.target.text, check]));
  for (const { engine, target } of checks) {
    parts.write(echoRequest(engine, target));
    parts.write(straySegment(engine, target));
  }
  const packet = new Uint8Array(65_535);
  hear(parts, packet, (from) => {
    silent.delete(from.text);
    return silent.size === 0;
  });
  // The engine need not see the second answers, nor what the kernel says to a device that has just come up.
  while (parts.read(packet) > 0);
  return [...silent.values()].map(({ target, blocked }) => blocked(target, parts.device));
}

/** Hands the source of each packet to `enough` until it says so or patience is over. */
function hear({ fd, read }: SelfCheckParts, packet: Uint8Array, enough: (from: IpAddress) => boolean): void {
  using poller = createPoller(fd);
  const endMs = performance.now() + PATIENCE_MS;
  for (let leftMs = PATIENCE_MS; leftMs > 0; leftMs = endMs - performance.now()) {
    if (!poller.wait(leftMs)) continue;
    const length = read(packet);
    if (length < 0) return;
    const ip = decodeIp(packet.subarray(0, length));
    if (!ip.ok) continue;
    const { source, family } = ip.value;
    if (enough(ipFromBytes(packet.subarray(source, source + addressBytes(family))))) return;
  }
}

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}

function echoRequest(source: IpAddress, destination: IpAddress): Uint8Array {
  const v4 = source.family === 4;
  const protocol = v4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
  const { packet, payload } = ipPacket(source, destination, protocol, ICMP_HEADER_BYTES);
  packet[payload] = v4 ? ECHO_REQUEST_V4 : ECHO_REQUEST_V6;
  const pseudo = v4 ? 0 : pseudoHeaderSum(packet, IPV6_SOURCE, 32, protocol, ICMP_HEADER_BYTES);
  writeU16(
    packet,
    payload + ICMP_CHECKSUM,
    checksumFinish(checksumAdd(pseudo, packet, payload, packet.length)),
  );
  return packet;
}

function straySegment(source: IpAddress, destination: IpAddress): Uint8Array {
  const { packet, payload } = ipPacket(source, destination, PROTOCOL_TCP, TCP_HEADER_BYTES);
  encodeTcpHeader(packet, payload, {
    sourcePort: SOURCE_PORT,
    destinationPort: PORT,
    seq: seq(1),
    ack: seq(1),
    flags: ACK,
    window: 0,
    urgentPointer: 0,
    optionBytes: 0,
  });
  const [at, length] = source.family === 4 ? [IPV4_SOURCE, 8] : [IPV6_SOURCE, 32];
  const pseudo = pseudoHeaderSum(packet, at, length, PROTOCOL_TCP, TCP_HEADER_BYTES);
  writeU16(
    packet,
    payload + TCP_CHECKSUM,
    checksumFinish(checksumAdd(pseudo, packet, payload, packet.length)),
  );
  return packet;
}

function ipPacket(source: IpAddress, destination: IpAddress, protocol: number, payloadBytes: number) {
  const payload = source.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const packet = new Uint8Array(payload + payloadBytes);
  const both = { source: source.bytes, destination: destination.bytes, protocol, ttl: 64, trafficClass: 0 };
  if (source.family === 4) encodeIpv4(packet, { ...both, identification: 0 });
  else encodeIpv6(packet, { ...both, flowLabel: 0 });
  return { packet, payload };
}

function machineSilent(target: IpAddress, device: string): Condition {
  const [all, own] = ['all', device].map((name) => readSetting(ipv4Setting(name, 'rp_filter')));
  return {
    code: 'TUN_UNANSWERED',
    message: `${target.text} is this machine's own, and answers neither a ping nor TCP that comes in by ${device}`,
    hint:
      `a firewall's input chain drops it: accept what comes in by ${device}` +
      (target.family === 4
        ? `; or rp_filter does, with policy routing (all: ${all}, ${device}: ${own})`
        : ''),
  };
}

function loopbackV4Silent(target: IpAddress, device: string): Condition {
  const routeLocalnet = readSetting(ipv4Setting(device, 'route_localnet'));
  return {
    code: 'LOOPBACK_V4_UNREACHABLE',
    message: `${target.text} does not answer what comes in by ${device}`,
    hint:
      routeLocalnet === '1'
        ? `a firewall drops packets to 127.0.0.0/8 that do not come from there, as the kubelet's KUBE-FIREWALL chain does: accept what comes in by ${device} before that`
        : `set net.ipv4.conf.${device}.route_localnet=1`,
  };
}

function loopbackV6Silent(target: IpAddress, device: string): Condition {
  return {
    code: 'LOOPBACK_V6_UNREACHABLE',
    message: `${target.text} does not answer what the engine's address of ${device} sends it`,
    hint: `accept what comes in by lo from the address of ${device} in the firewall's input chain`,
  };
}
