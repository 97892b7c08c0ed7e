/** Packets for the decoders that a seed decides: none may make them throw, or read beyond its end. */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../daemon/netsim/random.ts';
import { decodeIcmp } from '../../daemon/wire/icmp.ts';
import { encodeIcmpError } from '../../daemon/wire/icmp-encode.ts';
import { decodeIp, type IpHeader } from '../../daemon/wire/ip.ts';
import { ACK, decodeQuotedTcp, decodeTcpHeader, SYN } from '../../daemon/wire/tcp-header.ts';
import { decodeTcpOptions } from '../../daemon/wire/tcp-options.ts';
import { tcpPacket, V4, V6, withExtensionHeaders, withIpv4Options } from '../daemon/wire/support.ts';

const OPTIONS = Uint8Array.of(2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7);
const rest = { sourcePort: 1, destinationPort: 2, seq: 3, flags: SYN | ACK, options: OPTIONS };
const V4_PACKET = tcpPacket({ source: V4.a, destination: V4.b, ...rest, data: new Uint8Array(9) });
const V6_PACKET = tcpPacket({ source: V6.a, destination: V6.b, ...rest, data: new Uint8Array(9) });
const GOOD = [
  V4_PACKET,
  V6_PACKET,
  withIpv4Options(V4_PACKET, Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0)),
  withExtensionHeaders(V6_PACKET, [
    [0, [0, 1, 4, 0, 0, 0, 0]],
    [44, [0, 0, 0, 0, 0, 0, 1]],
    [43, [1, ...new Array(14).fill(0)]],
  ]),
  encodeIcmpError(V4_PACKET, V4.b.bytes, 3, 4, 1400),
  encodeIcmpError(V6_PACKET, V6.b.bytes, 2, 0, 1400),
];

/** Random bytes, or a good packet with some bytes changed, cut off or repeated. */
export function anyPacket(random: SeededRandom): Uint8Array {
  if (random.chance(0.2)) return random.bytes(random.below(120));
  const packet = (GOOD[random.below(GOOD.length)] as Uint8Array).slice();
  for (let changes = random.below(5); changes > 0; changes -= 1) {
    packet[random.below(Math.min(packet.length, 80))] = random.chance(0.3) ? 255 : random.below(256);
  }
  const cut = random.chance(0.3) ? packet.subarray(0, random.below(packet.length + 1)) : packet;
  // An ICMP error about it, with a right checksum, shows it to the decoder of quotations.
  if (random.chance(0.2)) return encodeIcmpError(cut, V4.b.bytes, 3, random.below(16));
  return random.chance(0.1) ? encodeIcmpError(cut, V6.b.bytes, 1 + random.below(4), 0) : cut;
}

/** All decoders, one after the other, as far as each lets the next read. */
function decodeAll(packet: Uint8Array): void {
  const ip = decodeIp(packet);
  const header = ip.ok ? ip.value : guess(packet);
  assert.ok(header.payload <= header.end && header.end <= packet.length);
  decodeIcmp(packet, header);
  decodeQuotedTcp(packet, header.payload);
  const tcp = decodeTcpHeader(packet, header.payload, header.end);
  if (tcp.ok) {
    const { options, payload } = tcp.value;
    assert.ok(options <= payload && payload <= header.end);
    isDecent(decodeTcpOptions(packet, options, payload));
  }
  isDecent(decodeTcpOptions(packet, 0, packet.length + 4));
}

/** A header that lets the inner decoders see what the outer one refused. */
function guess(packet: Uint8Array): IpHeader {
  const family = (packet[0] ?? 0) % 2 === 0 ? 4 : 6;
  const payload = Math.min(family === 4 ? 20 : 40, packet.length);
  const source = family === 4 ? 12 : 8;
  return {
    family,
    source,
    destination: source * 2,
    protocol: 6,
    ttl: 1,
    trafficClass: 0,
    fragment: false,
    payload,
    end: packet.length,
  };
}

/** A read beyond the packet would show as something that is not a number. */
function isDecent({
  mss = 0,
  windowScale = 0,
  timestamps,
  sack = [],
}: ReturnType<typeof decodeTcpOptions>): void {
  const all = [mss, windowScale, timestamps?.value ?? 0, timestamps?.echo ?? 0];
  for (const { left, right } of sack) all.push(left, right);
  assert.ok(all.every((value) => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff));
}

/** Shows the decoders `inputs` packets. Throws, with the packet, when one of them fails. */
export function playWire(seed: number, inputs: number): void {
  const random = new SeededRandom(seed);
  for (let input = 0; input < inputs; input += 1) {
    const packet = anyPacket(random);
    try {
      decodeAll(packet);
    } catch (error) {
      const what = error instanceof Error ? error.message : error;
      throw new Error(`${what}: packet ${Buffer.from(packet).toString('hex')}`, { cause: error });
    }
  }
}
