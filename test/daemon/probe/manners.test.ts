/** What RFC 9293 asks of a program that uses TCP, of the one program that uses this engine. */

import * as assert from 'uvu/assert';
import { decodeIp } from '../../../daemon/wire/ip.ts';
import { URG } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import { CLOSES, headerOf, probeOnce } from './scene.ts';

/** Packets of a whole probe: handshake, text and close. */
function packetsOf(family: 4 | 6): Uint8Array[] {
  const { scene } = probeOnce({ peer: CLOSES, family, send: 'HEAD / HTTP/1.0\r\n\r\n' });
  const packets = scene.sent.filter(({ from }) => from === 'engine').map(({ packet }) => packet);
  assert.ok(packets.length >= 4, String(packets.length));
  return packets;
}

spec('a probe', (test) => {
  test('SHLD-13: it uses no urgent data', () => {
    for (const family of [4, 6] as const) {
      for (const packet of packetsOf(family)) assert.is(headerOf(packet).flags & URG, 0);
    }
  });

  test('SHLD-23: it keeps one traffic class from the SYN to the last ACK', () => {
    for (const family of [4, 6] as const) {
      const classes = packetsOf(family).map((packet) => {
        const ip = decodeIp(packet);
        return ip.ok ? ip.value.trafficClass : undefined;
      });
      assert.equal([...new Set(classes)], [0]);
    }
  });
});
