import * as assert from 'uvu/assert';
import { decodeIcmp, type IcmpMessage } from '../../../daemon/wire/icmp.ts';
import { encodeIcmpError } from '../../../daemon/wire/icmp-encode.ts';
import { decodeIp } from '../../../daemon/wire/ip.ts';
import { SYN } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import { ip, tcpPacket, V4, V6 } from './support.ts';

const ports = { sourcePort: 40_000, destinationPort: 443, seq: 0xdead_beef, flags: SYN };
const ROUTER_V4 = ip('203.0.113.1');
const ROUTER_V6 = ip('2001:db8:ffff::1');

function read(packet: Uint8Array): IcmpMessage | string {
  const header = decodeIp(packet);
  if (!header.ok) return header.reason;
  const message = decodeIcmp(packet, header.value);
  return message.ok ? message.value : message.reason;
}

spec('ICMP', (test) => {
  const about = {
    v4: tcpPacket({ source: V4.a, destination: V4.b, ...ports }),
    v6: tcpPacket({ source: V6.a, destination: V6.b, ...ports }),
  };

  test('an error says which segment of which connection it is about', () => {
    const v4 = encodeIcmpError(about.v4, ROUTER_V4.bytes, 3, 1);
    const v6 = encodeIcmpError(about.v6, ROUTER_V6.bytes, 1, 4);
    const segment = { sourcePort: 40_000, destinationPort: 443, seq: 0xdead_beef };
    assert.equal(read(v4), {
      kind: 'error',
      error: { family: 4, type: 3, code: 1, kind: 'host-unreachable' },
      quoted: { source: V4.a, destination: V4.b, ...segment },
    });
    assert.equal(read(v6), {
      kind: 'error',
      error: { family: 6, type: 1, code: 4, kind: 'port-unreachable' },
      quoted: { source: V6.a, destination: V6.b, ...segment },
    });
  });

  test('too big carries the MTU', () => {
    const v4 = read(encodeIcmpError(about.v4, ROUTER_V4.bytes, 3, 4, 1400));
    const v6 = read(encodeIcmpError(about.v6, ROUTER_V6.bytes, 2, 0, 1280));
    assert.equal((v4 as { error: unknown }).error, {
      family: 4,
      type: 3,
      code: 4,
      kind: 'too-big',
      mtu: 1400,
    });
    assert.equal((v6 as { error: unknown }).error, {
      family: 6,
      type: 2,
      code: 0,
      kind: 'too-big',
      mtu: 1280,
    });
  });

  test('eight bytes of the segment are enough (RFC 792)', () => {
    const cut = read(encodeIcmpError(about.v4.subarray(0, 28), ROUTER_V4.bytes, 11, 0));
    assert.is((cut as { quoted: { seq: number } }).quoted.seq, 0xdead_beef);
    const short = read(encodeIcmpError(about.v4.subarray(0, 27), ROUTER_V4.bytes, 11, 0));
    assert.is((short as { quoted: unknown }).quoted, undefined);
  });

  test('every error has a kind, known code or not', () => {
    const kindOf = (type: number, code: number) =>
      (read(encodeIcmpError(about.v4, ROUTER_V4.bytes, type, code)) as { error: { kind: string } }).error
        .kind;
    assert.is(kindOf(3, 2), 'protocol-unreachable');
    assert.is(kindOf(3, 13), 'administratively-prohibited');
    assert.is(kindOf(3, 99), 'unreachable');
    assert.is(kindOf(4, 0), 'source-quench');
    assert.is(kindOf(11, 0), 'time-exceeded');
    assert.is(kindOf(12, 0), 'parameter-problem');
    const other = read(encodeIcmpError(about.v4, ROUTER_V4.bytes, 5, 0));
    assert.equal(other, { kind: 'other', type: 5, code: 0 });
  });

  test('a flipped bit anywhere in the message is noticed', () => {
    for (const packet of [
      encodeIcmpError(about.v4, ROUTER_V4.bytes, 3, 1),
      encodeIcmpError(about.v6, ROUTER_V6.bytes, 1, 4),
    ]) {
      const start = packet[0] === 0x45 ? 20 : 40;
      for (let at = start; at < packet.length; at += 1) {
        const broken = packet.slice();
        broken[at] = (broken[at] ?? 0) ^ 0x10;
        assert.is(read(broken), 'checksum');
      }
    }
  });
});
