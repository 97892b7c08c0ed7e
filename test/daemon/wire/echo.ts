/** Echo requests made by hand. */

import type { IpAddress } from '../../../daemon/wire/address.ts';
import { writeU16 } from '../../../daemon/wire/bytes.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../../daemon/wire/checksum.ts';
import { encodeIpv4 } from '../../../daemon/wire/ipv4.ts';
import { encodeIpv6 } from '../../../daemon/wire/ipv6.ts';

export function echoRequest(source: IpAddress, destination: IpAddress, content: string): Uint8Array {
  const v4 = source.family === 4;
  const at = v4 ? 20 : 40;
  const packet = new Uint8Array(at + 8 + content.length);
  const common = { source: source.bytes, destination: destination.bytes, ttl: 64, trafficClass: 0 };
  if (v4) encodeIpv4(packet, { ...common, protocol: 1, identification: 1 });
  else encodeIpv6(packet, { ...common, protocol: 58, flowLabel: 0 });
  packet[at] = v4 ? 8 : 128;
  writeU16(packet, at + 4, 4711);
  packet.set(Buffer.from(content), at + 8);
  const pseudo = v4 ? 0 : pseudoHeaderSum(packet, 8, 32, 58, packet.length - at);
  writeU16(packet, at + 2, checksumFinish(checksumAdd(pseudo, packet, at, packet.length)));
  return packet;
}
