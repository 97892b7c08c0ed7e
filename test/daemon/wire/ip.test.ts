import * as assert from 'uvu/assert';
import { decodeIp, PROTOCOL_TCP } from '../../../daemon/wire/ip.ts';
import { FIN } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import { tcpPacket, V4, V6, withExtensionHeaders, withIpv4Options } from './support.ts';

const rest = { sourcePort: 1, destinationPort: 2, seq: 3, flags: FIN, data: Uint8Array.of(7, 8, 9) };
const v4 = () => tcpPacket({ source: V4.a, destination: V4.b, trafficClass: 0xb8, ttl: 17, ...rest });
const v6 = () => tcpPacket({ source: V6.a, destination: V6.b, trafficClass: 0xb8, ttl: 17, ...rest });

function read(packet: Uint8Array) {
  const ip = decodeIp(packet);
  return ip.ok ? ip.value : ip.reason;
}

spec('IP headers', (test) => {
  test('an IPv4 header is read as it was written', () => {
    assert.equal(read(v4()), {
      family: 4,
      source: 12,
      destination: 16,
      protocol: PROTOCOL_TCP,
      ttl: 17,
      trafficClass: 0xb8,
      fragment: false,
      payload: 20,
      end: 43,
    });
  });

  test('an IPv6 header is read as it was written', () => {
    assert.equal(read(v6()), {
      family: 6,
      source: 8,
      destination: 24,
      protocol: PROTOCOL_TCP,
      ttl: 17,
      trafficClass: 0xb8,
      fragment: false,
      payload: 40,
      end: 63,
    });
  });

  test('bytes after the packet are not part of it (padding of a link)', () => {
    const padded = new Uint8Array(60);
    padded.set(v4());
    assert.is((read(padded) as { end: number }).end, 43);
  });

  test('MUST-50: IPv4 options are skipped, known or not', () => {
    const header = read(withIpv4Options(v4(), Uint8Array.of(0x99, 4, 1, 2, 7, 3, 4, 0))) as {
      payload: number;
    };
    assert.is(header.payload, 28);
  });

  test('MUST-50: IPv6 extension headers are skipped', () => {
    const packet = withExtensionHeaders(v6(), [
      [0, [0, 1, 4, 0, 0, 0, 0]],
      [60, [1, ...new Array(14).fill(1)]],
      [43, [0, 0, 0, 0, 0, 0, 0]],
      [51, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ]);
    const header = read(packet) as { payload: number; protocol: number };
    assert.is(header.protocol, PROTOCOL_TCP);
    assert.is(header.payload, 40 + 8 + 16 + 8 + 12);
  });

  test('fragments are recognised, atomic ones are whole packets', () => {
    const more = v4();
    more[6] = 0x20;
    assert.is(read(more), 'header-checksum');
    const fragment = (offsetAndMore: number) =>
      withExtensionHeaders(v6(), [[44, [0, offsetAndMore >> 8, offsetAndMore & 0xff, 0, 0, 0, 1]]]);
    assert.ok((read(fragment(1)) as { fragment: boolean }).fragment);
    assert.ok((read(fragment(1 << 3)) as { fragment: boolean }).fragment);
    assert.not((read(fragment(0)) as { fragment: boolean }).fragment);
  });

  test('what cannot be is refused with the reason', () => {
    const changed = (packet: Uint8Array, at: number, value: number) => {
      packet[at] = value;
      return read(packet);
    };
    assert.is(read(new Uint8Array(0)), 'short');
    assert.is(read(v4().subarray(0, 19)), 'short');
    assert.is(read(v6().subarray(0, 39)), 'short');
    assert.is(changed(v4(), 0, 0x55), 'version');
    assert.is(changed(v4(), 0, 0x44), 'header-length');
    assert.is(changed(v4(), 3, 19), 'total-length');
    assert.is(changed(v4(), 3, 44), 'total-length');
    assert.is(changed(v4(), 8, 18), 'header-checksum');
    assert.is(read(v6().subarray(0, 62)), 'total-length');
  });

  test('the walk over extension headers has an end', () => {
    const many = withExtensionHeaders(v6(), new Array(9).fill([60, [0, 1, 4, 0, 0, 0, 0]]));
    assert.is(read(many), 'extension-headers');
    const beyond = withExtensionHeaders(v6(), [[60, [255, 1, 4, 0, 0, 0, 0]]]);
    assert.is(read(beyond), 'extension-header-length');
  });
});
